"""The command line: ``pvhck COMMAND``. One module per group of commands; each ends in an exit code."""

from harness.cli.main import main

__all__ = ["main"]
