"""The command line: ``pvhck COMMAND``. One module per group of commands; each ends in an exit code."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from harness.cli.main import main as command

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command as the last thing this process does."""
    try:
        return command(arguments)
    finally:
        # all is said and written: one more Ctrl-C need not show what the interpreter is doing
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
