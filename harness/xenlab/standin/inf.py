"""What the agent needs of a driver package's INF file, as Windows' setup would read it.

Not ``harness.package``: that is not in the guest, and what installs must not share its reader with what
judges.
Syntax: Microsoft's "General Syntax Rules for INF Files".
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["InfService", "Model", "Package", "parse_package", "read_package"]

# Windows on x64 takes decorated model sections only.
_DECORATION = "ntamd64"
_STARTS: dict[int, Literal["boot", "system", "auto", "demand", "disabled"]] = {
    0: "boot",
    1: "system",
    2: "auto",
    3: "demand",
    4: "disabled",
}
_TOKEN = re.compile(r"%([^%]*)%")

_Section = list[tuple[str, list[str]]]


@dataclass(frozen=True)
class InfService:
    """A service that the package adds; ``start`` in the words of ``harness.operations.Service``."""

    name: str
    start: Literal["boot", "system", "auto", "demand", "disabled"]


@dataclass(frozen=True)
class Model:
    """A device the package is for: its name for people, and its ids, the best first."""

    name: str
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Package:
    """One INF. ``published`` is oemN.inf once it is in the driver store; ``date`` is YYYY-MM-DD."""

    original: str
    provider: str
    device_class: str
    date: str
    version: str
    catalog: str
    models: tuple[Model, ...]
    services: tuple[InfService, ...]
    sha256: str
    published: str = ""

    @property
    def rank(self) -> tuple[str, tuple[int, ...]]:
        """What Windows compares when two packages fit a device equally: date, then version."""
        return self.date, tuple(
            int(part) for part in self.version.split(".") if re.fullmatch(r"[0-9]{1,9}", part)
        )

    def model_for(self, ids: tuple[str, ...]) -> Model | None:
        """The model that fits a device with these ids."""
        wanted = {one.upper() for one in ids}
        for model in self.models:
            if any(one.upper() in wanted for one in model.ids):
                return model
        return None


def read_package(path: Path, *, published: str = "") -> Package:
    """Read an INF file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no INF, or not for x64.
    """
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    text = data.decode(encoding, errors="replace")
    return parse_package(
        text, original=path.name.lower(), sha256=hashlib.sha256(data).hexdigest(), published=published
    )


def parse_package(text: str, *, original: str, sha256: str = "", published: str = "") -> Package:
    """An INF's text; names in it are compared without regard to case.

    Raises:
        ValueError: it has no [Version] section, or no models for x64.
    """
    sections = _sections(text)
    strings = {key.lower(): ",".join(values) for key, values in sections.get("strings", [])}
    version = {key.lower(): values for key, values in sections.get("version", [])}
    if not version:
        raise ValueError(f"{original} has no [Version] section")

    def words(key: str) -> list[str]:
        return [_expand(value, strings) for value in version.get(key, [""])]

    models = tuple(_models(sections, strings))
    if not models:
        raise ValueError(f"{original} has no models for x64")
    date, _, number = ",".join(words("driverver")).partition(",")
    return Package(
        original=original,
        provider=words("provider")[0],
        device_class=words("class")[0],
        date=_iso_date(date.strip()),
        version=number.strip(),
        catalog=next(
            (words(key)[0] for key in (f"catalogfile.{_DECORATION}", "catalogfile") if key in version), ""
        ),
        models=models,
        services=tuple(_services(sections, strings)),
        sha256=sha256,
        published=published,
    )


def _sections(text: str) -> dict[str, _Section]:
    found: dict[str, _Section] = {}
    here: _Section | None = None
    for line in _lines(text):
        if line.startswith("[") and "]" in line:
            here = found.setdefault(line[1 : line.index("]")].strip().lower(), [])
        elif here is not None:
            key, equals, rest = line.partition("=")
            here.append((key.strip().strip('"'), _split(rest)) if equals else ("", _split(line)))
    return found


def _lines(text: str) -> list[str]:
    """Lines without comments and blanks; one that ends with a backslash goes on in the next."""
    lines = []
    pending = ""
    for raw in text.splitlines():
        line = pending + _without_comment(raw).strip()
        pending = ""
        if line.endswith("\\"):
            pending = line[:-1]
        elif line:
            lines.append(line)
    return [*lines, pending] if pending else lines


def _without_comment(line: str) -> str:
    quoted = False
    for index, letter in enumerate(line):
        if letter == '"':
            quoted = not quoted
        elif letter == ";" and not quoted:
            return line[:index]
    return line


def _split(text: str) -> list[str]:
    """Values between commas; quotes are taken off, a doubled one inside stands for itself."""
    values, current, quoted, index = [], "", False, 0
    while index < len(text):
        letter = text[index]
        if letter == '"' and quoted and text[index + 1 : index + 2] == '"':
            current += '"'
            index += 1
        elif letter == '"':
            quoted = not quoted
        elif letter == "," and not quoted:
            values.append(current.strip())
            current = ""
        else:
            current += letter
        index += 1
    return [*values, current.strip()]


def _expand(value: str, strings: dict[str, str]) -> str:
    return _TOKEN.sub(lambda match: strings.get(match[1].lower(), match[0]) if match[1] else "%", value)


def _models(sections: dict[str, _Section], strings: dict[str, str]) -> list[Model]:
    models = []
    for _, values in sections.get("manufacturer", []):
        for decoration in values[1:]:
            if not decoration.lower().startswith(_DECORATION):
                continue
            for name, words in sections.get(f"{values[0]}.{decoration}".lower(), []):
                ids = tuple(_expand(word, strings) for word in words[1:] if word)
                if ids:
                    models.append(Model(_expand(name, strings), ids))
    return models


def _services(sections: dict[str, _Section], strings: dict[str, str]) -> list[InfService]:
    services: dict[str, InfService] = {}
    for section in sections.values():
        for key, values in section:
            if key.lower() != "addservice" or not values[0]:
                continue
            name = _expand(values[0], strings)
            install = sections.get(values[2].lower(), []) if len(values) > 2 else []  # noqa: PLR2004
            start = next((words[0] for word, words in install if word.lower() == "starttype"), "3")
            services.setdefault(name.lower(), InfService(name, _STARTS.get(_number(start), "demand")))
    return list(services.values())


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return -1


def _iso_date(text: str) -> str:
    """DriverVer's month/day/year as year-month-day, so that dates sort."""
    match = re.fullmatch(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})", text)
    return f"{match[3]}-{int(match[1]):02}-{int(match[2]):02}" if match else ""
