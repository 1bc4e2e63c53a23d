"""INF files: their text into sections of lines, with strings expanded. Pure.

The syntax is that of "General Syntax Rules for INF Files" (learn.microsoft.com,
windows-hardware/drivers/install): names do not depend on case, sections of the same name are
one, a backslash at its end continues a line, ``;`` begins a comment, quotes keep what is in
them, ``%token%`` stands for an entry of ``[Strings]``.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["Inf", "InfLine", "decode_inf", "parse_inf"]

_TOKEN = re.compile(r"%([^%]*)%")
_SECTION = re.compile(r"\s*\[([^\]]*)\]")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ENGLISH = "strings.0409"


@dataclass(frozen=True)
class InfLine:
    """``key = value, value``; the key is empty in a line that has none."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Inf:
    """Sections by their names in lower case, lines in order, strings expanded."""

    sections: Mapping[str, tuple[InfLine, ...]]

    def has(self, section: str) -> bool:
        """Whether there is such a section."""
        return section.lower() in self.sections

    def lines(self, section: str) -> tuple[InfLine, ...]:
        """The lines of a section, none when there is no such section."""
        return self.sections.get(section.lower(), ())

    def entries(self, section: str, key: str) -> Iterator[tuple[str, ...]]:
        """The values of every line with that key."""
        return (line.values for line in self.lines(section) if line.key.lower() == key.lower())

    def value(self, section: str, key: str) -> str:
        """The first value of the first line with that key, empty when there is none."""
        return next((values[0] for values in self.entries(section, key) if values), "")


def decode_inf(data: bytes) -> str:
    """The text of an INF file: UTF-16 or UTF-8 by its mark, else UTF-8 if it is that, else ANSI.

    Bytes that mean nothing are replaced.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data[len(bom) :].decode(encoding, errors="replace")
    zeros = data[1::2].count(0)
    if data and zeros > len(data) // 4:  # UTF-16 without its mark: every second byte of Latin text is 0
        return data.decode("utf-16-le", errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def parse_inf(text: str) -> Inf:
    """An INF's text as sections. Text of any kind can be read; what is no INF has no sections."""
    raw: dict[str, list[InfLine]] = {}
    current: list[InfLine] | None = None
    for line in _logical_lines(text):
        header = _SECTION.match(line)
        if header:
            current = raw.setdefault(header[1].strip().lower(), [])
        elif current is not None:
            current.append(_split(line))
    strings = _strings(raw)
    return Inf(
        {name: tuple(_expanded(line, strings) for line in lines) for name, lines in raw.items()},
    )


def _logical_lines(text: str) -> Iterator[str]:
    """Lines without comments, joined where a backslash continues them, without empty ones."""
    joined = ""
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        bare = _without_comment(line).rstrip()
        if bare.endswith("\\") and bare.count('"') % 2 == 0:
            joined += bare[:-1]
            continue
        joined += bare
        if joined.strip():
            yield joined
        joined = ""
    if joined.strip():
        yield joined


def _without_comment(line: str) -> str:
    quoted = False
    for place, character in enumerate(line):
        if character == '"':
            quoted = not quoted
        elif character == ";" and not quoted:
            return line[:place]
    return line


def _split(line: str) -> InfLine:
    """Key and values; quotes are taken away, doubled quotes inside them are one."""
    key = ""
    parts: list[str] = []
    token = _Token()
    place = 0
    while place < len(line):
        character = line[place]
        if character == '"':
            doubled = token.quoted and line[place + 1 : place + 2] == '"'
            if doubled:
                token.add('"')
                place += 1
            else:
                token.quoted = not token.quoted
        elif character == "=" and not token.quoted and not key and not parts:
            key, token = token.text(), _Token()
        elif character == "," and not token.quoted:
            parts.append(token.text())
            token = _Token()
        else:
            token.add(character)
        place += 1
    parts.append(token.text())
    return InfLine(key, () if parts == [""] else tuple(parts))


class _Token:
    """A value being read: blanks at its ends go, unless they were quoted."""

    def __init__(self) -> None:
        self.quoted = False
        self._characters: list[str] = []
        self._first: int | None = None  # where what must stay begins and ends
        self._last = 0

    def add(self, character: str) -> None:
        if self.quoted or not character.isspace():
            if self._first is None:
                self._first = len(self._characters)
            self._last = len(self._characters) + 1
        self._characters.append(character)

    def text(self) -> str:
        return "".join(self._characters[self._first or 0 : self._last])


def _strings(raw: Mapping[str, list[InfLine]]) -> dict[str, str]:
    """Tokens in lower case; a localised section fills what ``[Strings]`` leaves out, English first."""
    localised = sorted(
        (name for name in raw if name.startswith("strings.")), key=lambda name: name != _ENGLISH
    )
    tokens: dict[str, str] = {}
    for name in ("strings", *localised):
        for line in raw.get(name, ()):
            if line.key:
                tokens.setdefault(line.key.lower(), ",".join(line.values))
    return tokens


def _expanded(line: InfLine, strings: Mapping[str, str]) -> InfLine:
    def replace(match: re.Match[str]) -> str:
        token = match[1]
        return "%" if not token else strings.get(token.lower(), match[0])

    return InfLine(_TOKEN.sub(replace, line.key), tuple(_TOKEN.sub(replace, value) for value in line.values))
