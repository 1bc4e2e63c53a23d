"""Room in a file system of a host."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import OutputNotUnderstood

__all__ = ["Space", "parse_space"]


@dataclass(frozen=True)
class Space:
    """A file system's size and what is free for us, in MiB, and where it is mounted."""

    total_mib: int
    free_mib: int
    mounted: str


def parse_space(text: str) -> Space:
    """``df -P -k FOLDER`` (POSIX): a header and one line, sizes in KiB."""
    lines = text.splitlines()
    fields = lines[-1].split(None, 5) if lines else []
    try:
        # a device's name may hold no blank; a mount point may
        _, total, _, free, _, mounted = fields
        return Space(int(total) // 1024, int(free) // 1024, mounted)
    except ValueError as error:
        raise OutputNotUnderstood("df: a line cannot be read", text=text) from error
