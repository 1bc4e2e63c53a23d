"""Room in a file system of a host."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import OutputNotUnderstood
from harness.host.ssh import SshShell

__all__ = ["Space", "parse_space", "space_of"]


@dataclass(frozen=True)
class Space:
    """A file system's size and what is free for us, in MiB, and where it is mounted."""

    total_mib: int
    free_mib: int
    mounted: str


def space_of(shell: SshShell, folder: str) -> Space:
    """The file system that a folder of a host lies in.

    Raises:
        CommandFailed: there is no such folder.
    """
    return parse_space(shell.check(["df", "-P", "-k", folder], repeatable=True))


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
