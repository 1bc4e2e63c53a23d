"""A profile from TOML: strict, with every mistake of the file at once."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import harness
from harness.errors import ConfigurationError
from harness.lab.findings import Finding, ProfileError, nearest
from harness.lab.profile import Limits, Profile, limits_of

__all__ = ["load_profile", "parse_profile", "profile_names"]

P = TypeVar("P")

_BUILT_IN = Path(harness.__file__).resolve().parent.parent / "profiles"
_NAME = "name"  # said by the file's name, not in the file


def load_profile(name_or_path: str) -> Profile:
    """Read a profile: a built-in one by name, or any by a path (with a slash or ``.toml``).

    Raises:
        ProfileError: the file cannot be read, or with every mistake that is in it.
        ConfigurationError: there is no built-in profile of this name.
    """
    if "/" in name_or_path or name_or_path.endswith(".toml"):
        return _load(Path(name_or_path))
    names = profile_names()
    if name_or_path not in names:
        known = f"{nearest(name_or_path, names)}built-in profiles: {', '.join(names) or 'none'}"
        raise ConfigurationError(f"no profile {name_or_path!r}", mend=f"{known}; or give the path of a file")
    return _load(_BUILT_IN / f"{name_or_path}.toml")


def profile_names() -> tuple[str, ...]:
    """The built-in profiles."""
    return tuple(sorted(path.stem for path in _BUILT_IN.glob("*.toml")))


def _load(path: Path) -> Profile:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        found = error.strerror if isinstance(error, OSError) else "something that is no text in UTF-8"
        raise ProfileError([Finding(path, 0, "", "", str(found), "a readable TOML file")]) from error
    return parse_profile(text, path)


def parse_profile(text: str, source: Path) -> Profile:
    """The same from text; the profile's name is the file's.

    Raises:
        ProfileError: with every mistake that is in the text.
    """
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: a number of thousands of digits and endless brackets raise the others.
        line = _line_of(str(error), text)
        raise ProfileError([Finding(source, line, "", "", str(error)[:200], "TOML")]) from error
    reader = _Reader(source, _lines_of_keys(text))
    values = reader.values(Profile, content, "")
    if reader.findings:
        raise ProfileError(reader.findings)
    return Profile(name=source.stem, **values)


def _line_of(complaint: str, text: str) -> int:
    """Where tomllib says that it stopped, 0 if it does not say."""
    if complaint.endswith("(at end of document)"):
        return text.rstrip("\n").count("\n") + 1
    place = re.search(r"\(at line (\d+), column", complaint)
    return int(place.group(1)) if place else 0


class _Reader:
    """Fits TOML values to the fields of dataclasses; mistakes go to ``findings``."""

    def __init__(self, source: Path, lines: Mapping[tuple[str, str], int]) -> None:
        self._source = source
        self._lines = lines
        self.findings: list[Finding] = []

    def values(self, kind: type[Any], table: Mapping[str, Any], section: str) -> dict[str, Any]:
        """Constructor arguments for ``kind`` out of a table."""
        hints = get_type_hints(kind)
        fields = {field.name: field for field in dataclasses.fields(kind) if field.name != _NAME}
        values = {}
        for key, value in table.items():
            if key not in fields:
                self._complain(section, key, "a key nobody knows", nearest(key, fields) + ", ".join(fields))
            elif dataclasses.is_dataclass(hints[key]):
                values[key] = self._table(hints[key], value, key)
            else:
                limits = limits_of(fields[key].metadata)
                if not _fits(hints[key], value, limits):
                    self._complain(section, key, _shown(value), _allowed(hints[key], limits, value))
                    continue
                values[key] = _made(hints[key], value)
        return values

    def _table(self, kind: Any, value: object, key: str) -> Any:
        if not isinstance(value, dict):
            self._complain("", key, _shown(value), f"a table: [{key}] and lines below it")
            return None
        before = len(self.findings)
        values = self.values(kind, value, key)
        return kind(**values) if len(self.findings) == before else None

    def _complain(self, section: str, key: str, found: str, allowed: str) -> None:
        line = self._lines.get((section, key), self._lines.get((key, ""), 0))
        self.findings.append(Finding(self._source, line, section, key, found, allowed))


def _fits(hint: Any, value: object, limits: Limits | None) -> bool:
    if get_origin(hint) is tuple:
        element = get_args(hint)[0]
        fits = isinstance(value, list) and all(_fits(element, one, limits) for one in value)
        # No streams at all, or the same depth twice, is a slip of the pen.
        return (
            fits and isinstance(value, list) and len(set(value)) == len(value) and bool(value or not limits)
        )
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return isinstance(value, str) and value in set(hint)
    if hint is str:
        return isinstance(value, str)
    numbers = (int, float) if hint is float else (int,)
    if isinstance(value, bool) or not isinstance(value, numbers) or limits is None:
        return False
    return limits.low <= value <= limits.high  # false for nan


def _made(hint: Any, value: Any) -> Any:
    if get_origin(hint) is tuple:
        return tuple(_made(get_args(hint)[0], one) for one in value)
    return hint(value)


def _allowed(hint: Any, limits: Limits | None, value: object) -> str:
    if get_origin(hint) is tuple:
        element = get_args(hint)[0]
        wrong = [one for one in value if not _fits(element, one, limits)] if isinstance(value, list) else []
        return f"a list, each once, of: {_allowed(element, limits, wrong[0] if wrong else None)}"
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        words = [member.value for member in hint]
        return (nearest(value, words) if isinstance(value, str) else "") + " | ".join(words)
    if hint is str:
        return "text in quotes"
    span = f" from {limits.low:g} to {limits.high:g}" if limits else ""
    return f"a {'whole ' if hint is int else ''}number{span}"


def _shown(value: object, limit: int = 80) -> str:
    try:
        text = repr(value)
    except ValueError:  # a hexadecimal number of thousands of digits
        return "a number too long to be shown"
    return text if len(text) <= limit else f"{text[:limit]}..."


def _lines_of_keys(text: str) -> dict[tuple[str, str], int]:
    """(table, key) -> line, and (table, "") for headers, for files written as profiles are.

    tomllib tells no lines of what it could read. What this plain look misses (inline
    tables, quoted keys) is reported without a line.
    """
    lines: dict[tuple[str, str], int] = {}
    table = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if header := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            table = header.group(1)
            lines.setdefault((table, ""), number)
        elif key := re.match(r"\s*([\w-]+)\s*=", line):
            lines.setdefault((table, key.group(1)), number)
    return lines
