"""Takes typed values out of one section and remembers everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from harness.lab.findings import Finding, nearest
from harness.lab.ini import IniKey, IniSection
from harness.lab.keys import Key
from harness.lab.readers import Reader, Unfit

__all__ = ["SectionReader"]

T = TypeVar("T")
_SHOWN = 80


class SectionReader:
    """One section of a file. Mistakes go to ``findings``; reading goes on with defaults."""

    def __init__(self, file: Path, section: IniSection, findings: list[Finding]) -> None:
        self._file = file
        self._section = section
        self._findings = findings
        self._keys: dict[str, IniKey] = {}
        for key in section.keys:
            first = self._keys.setdefault(key.name, key)
            if first is not key:
                self.complain(
                    key.line, key.name, f"a second one, the first is on line {first.line}", "each key once"
                )

    def complain(self, line: int, key: str, found: str, allowed: str) -> None:
        """Remember a mistake; line 0 stands for the section's header."""
        line = line or self._section.line
        self._findings.append(Finding(self._file, line, self._section.name, key, found, allowed))

    def line_of(self, key: Key[Any]) -> int:
        """Where a key stands; the section's header if it is not there."""
        return self._keys[key.name].line if key.name in self._keys else self._section.line

    def take(self, key: Key[T], kind: StrEnum) -> T:
        """The value of a key in the section of a host or template of this kind, or its default."""
        entry = self._keys.get(key.name)
        if entry is None:
            if kind in key.required:
                self.complain(0, key.name, "nothing", key.reader.allowed)
            return key.default
        if key.only and kind not in key.only:
            kinds = " or ".join(key.only)
            self.complain(
                entry.line, key.name, f"the key in a section of kind {kind}", f"for kind {kinds} only"
            )
            return key.default
        value = self.parse(entry, key.reader)
        return key.default if value is None else value

    def parse(self, entry: IniKey, reader: Reader[T]) -> T | None:
        """The value behind a key, or None if it is not allowed and was complained about."""
        fault = _fault_of_layout(entry.value)
        if fault is None:
            try:
                return reader.parse(entry.value, self._file.parent)
            except Unfit:
                fault = _shown(entry.value, reader)
        self.complain(entry.line, entry.name, fault, nearest(entry.value, reader.words) + reader.allowed)
        return None

    def others(self, known: Iterable[Key[Any]]) -> tuple[IniKey, ...]:
        """Keys beside the known ones, each once."""
        names = {key.name for key in known}
        return tuple(entry for entry in self._keys.values() if entry.name not in names)

    def refuse_unknown(self, entries: Iterable[IniKey], known: Iterable[str]) -> None:
        """Complain about keys nobody knows, without their values: ``pasword`` may be one of them."""
        words = tuple(known)
        for entry in entries:
            hint = nearest(entry.name, words)
            self.complain(entry.line, entry.name, "a key nobody knows", hint + ", ".join(words))


def _fault_of_layout(value: str) -> str | None:
    """What is wrong with a value whatever it should mean."""
    if not value:
        return "an empty value"
    if "\n" in value:
        return "a value that goes on over indented lines (not shown); keys begin where the first one begins"
    if any(ord(character) < ord(" ") for character in value.replace("\t", " ")):
        return "a control character in the value (not shown)"
    if " #" in value or " ;" in value:
        return "a comment behind the value (not shown); it has to stand on a line of its own"
    return None


def _shown(value: str, reader: Reader[Any]) -> str:
    if reader.hidden:
        return "text that is no reference (not shown)"
    return repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}...")
