"""Words of a command, sorted: options with and without a value, and operands."""

from __future__ import annotations

import getopt
from collections.abc import Sequence
from dataclasses import dataclass

from harness.simlab.shell.process import CommandError, Process

__all__ = ["Options", "read_options"]


@dataclass(frozen=True)
class Options:
    """``flags`` as given, ``values`` by option, ``words`` are the operands."""

    flags: frozenset[str]
    values: dict[str, str]
    words: tuple[str, ...]

    def has(self, *names: str) -> bool:
        """Whether one of these flags is there."""
        return any(name in self.flags for name in names)


def read_options(process: Process, short: str, long: Sequence[str] = (), *, rc: int = 1) -> Options:
    """Options as getopt reads them, GNU's way; ``short`` and ``long`` as in Python's getopt.

    Raises:
        CommandError: an option that the program does not know.
    """
    reader = getopt.getopt if short.startswith("+") else getopt.gnu_getopt
    try:
        pairs, words = reader(list(process.args), short.removeprefix("+"), list(long))
    except getopt.GetoptError as error:
        name = process.argv[0]
        text = f"{name}: {_complaint(error)}\nTry '{name} --help' for more information.\n"
        raise CommandError(text, rc) from error
    flags = frozenset(name for name, value in pairs if not value)
    return Options(flags, {name: value for name, value in pairs if value}, tuple(words))


def _complaint(error: getopt.GetoptError) -> str:
    if len(error.opt or "") == 1:
        return f"invalid option -- '{error.opt}'"
    return f"unrecognized option '--{error.opt}'"
