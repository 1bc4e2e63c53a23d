"""Command lines as the played programs read them."""

from __future__ import annotations

import getopt
from collections.abc import Mapping, Sequence

__all__ = ["BadOption", "Options", "read_options"]

Options = Mapping[str, str]


class BadOption(Exception):
    """A command line the program refuses; ``text`` in getopt_long's words."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def read_options(
    arguments: Sequence[str], flags: Mapping[str, str], values: Mapping[str, str]
) -> tuple[Options, list[str]]:
    """Options by their long name, and the words that are none.

    ``flags`` and ``values`` map long names to their letters ("" for none); the latter take a value.

    Raises:
        BadOption: an option the program does not know, or one without its value.
    """
    letters = "".join(flags.values()) + "".join(f"{letter}:" for letter in values.values() if letter)
    names = [*flags, *(f"{name}=" for name in values)]
    by_letter = {f"-{letter}": name for name, letter in {**flags, **values}.items() if letter}
    try:
        found, words = getopt.gnu_getopt(list(arguments), letters, names)
    except getopt.GetoptError as error:
        raise BadOption(_as_glibc(error)) from error
    return {by_letter.get(word, word.removeprefix("--")): value for word, value in found}, words


def _as_glibc(error: getopt.GetoptError) -> str:
    """The same complaint as getopt_long of glibc makes it."""
    name = error.opt
    if "requires argument" in error.msg:
        dashed = f"option requires an argument -- '{name}'" if len(name) == 1 else ""
        return dashed or f"option '--{name}' requires an argument"
    return f"invalid option -- '{name}'" if len(name) == 1 else f"unrecognized option '--{name}'"
