"""The syntax of ``hosts.ini``: sections and keys with the line each stands on.

``configparser`` reads the text and decides what a comment, a key or a continued
value is. It forgets line numbers and stops at the first duplicate, so it is fed
section headers that are line numbers, and makes key names into line numbers: the
real words are kept aside under them, and nothing is ever a duplicate to it.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["IniKey", "IniProblem", "IniSection", "IniText", "read_ini"]

_HEADER = re.compile(r"\[([^\[\]]+)\]")


@dataclass(frozen=True)
class IniKey:
    """``name = value`` on ``line``; a value continued on indented lines holds newlines."""

    line: int
    name: str
    value: str


@dataclass(frozen=True)
class IniSection:
    """A section in the order of the file; a section that stands there twice comes twice."""

    line: int
    name: str
    keys: tuple[IniKey, ...]


@dataclass(frozen=True)
class IniProblem:
    """A line that is no INI. Its text is not kept: it may hold a secret."""

    line: int
    found: str
    allowed: str


@dataclass(frozen=True)
class IniText:
    """What a text says, and what in it could not be read."""

    sections: tuple[IniSection, ...]
    problems: tuple[IniProblem, ...]


def read_ini(text: str) -> IniText:
    """Read any text at all; what cannot be read becomes a problem, never an exception."""
    parser = _LineParser()
    problems = []
    try:
        parser.read_file(parser.numbered(text))
    except configparser.ParsingError as error:
        # Its numbers count our preamble as line 1. What it could read is in the parser all the same.
        problems = [_no_key(number - 1) for number, _ in error.errors]
    sections = []
    for number in parser.sections():
        keys = tuple(parser.keys_of(number))
        line, header = int(number), parser.headers[int(number)]
        name = _HEADER.fullmatch(header.strip())
        if not line:
            problems += [
                IniProblem(key.line, f"key {key.name!r} before any section", _SECTIONS) for key in keys
            ]
        elif name is None:
            problems.append(
                IniProblem(line, f"a section header that is none: {header.strip()[:60]!r}", _SECTIONS)
            )
        else:
            sections.append(IniSection(line, " ".join(name.group(1).split()), keys))
    return IniText(tuple(sections), tuple(problems))


_SECTIONS = "a line such as [host NAME], alone on its line, before the keys that belong to it"


def _no_key(line: int) -> IniProblem:
    return IniProblem(
        line, "a line that is neither section nor key (not shown)", "KEY = VALUE, or # before a comment"
    )


class _LineParser(configparser.RawConfigParser):
    """Sections and keys are known to ``configparser`` by their line numbers only."""

    def __init__(self) -> None:
        super().__init__(
            delimiters=("=",),
            comment_prefixes=("#", ";"),
            default_section="",
            empty_lines_in_values=False,
            interpolation=None,
        )
        self.headers: dict[int, str] = {0: ""}
        self._names: dict[int, str] = {}
        self._line = 0

    def numbered(self, text: str) -> Iterator[str]:
        """The lines of ``text`` behind a preamble, headers replaced; notes which line is being read."""
        yield "[0]\n"
        # Not splitlines(): it also cuts at form feeds and Unicode separators, and editors do not count those.
        for self._line, line in enumerate(text.split("\n"), start=1):
            if line.lstrip().startswith("["):
                self.headers[self._line] = line
                indent = line[: len(line) - len(line.lstrip())]
                yield f"{indent}[{self._line}]\n"
            else:
                yield f"{line}\n"

    def optionxform(self, optionstr: str) -> str:
        """Called once per key, while its line is the one last handed out."""
        self._names[self._line] = optionstr.strip()
        return str(self._line)

    def keys_of(self, section: str) -> Iterator[IniKey]:
        """The keys of a section; ``= VALUE`` has been a parsing error already."""
        for line, value in self.items(section, raw=True):
            if name := self._names[int(line)]:
                yield IniKey(int(line), name, value)
