"""What a process says goes through here: whatever it is and whoever wrote it, no secret is in it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from harness.lab import without_found_secrets

__all__ = ["said_without_secrets"]


class _Clean:
    """A stream that writes what it is given without secrets; apart from that it is the one it stands for."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write it; what comes in one call is looked at as a whole."""
        self._stream.write(without_found_secrets(text))
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        """Write them, one by one."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def said_without_secrets() -> Iterator[None]:
    """Within it stdout and stderr show no secret that this process has fetched, tracebacks included."""
    out: Any = _Clean(sys.stdout)
    err: Any = _Clean(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield
