"""A small reader of INF files: as much as Plug and Play needs to bind a driver."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from harness.model import Arch, DriverName

__all__ = ["Inf", "InfError", "InfModel", "InfService", "read_inf", "version_of"]

_STARTS: tuple[Literal["boot", "system", "auto", "demand", "disabled"], ...] = (
    "boot",
    "system",
    "auto",
    "demand",
    "disabled",
)
_USER_SERVICE = 0x10  # SERVICE_WIN32_OWN_PROCESS
_DECORATIONS = {Arch.X64: ("ntamd64",), Arch.X86: ("ntx86", "nt", "")}


class InfError(Exception):
    """The file cannot be used as an INF."""


@dataclass(frozen=True)
class InfModel:
    """A device the package is for."""

    hardware_id: str
    description: str


@dataclass(frozen=True)
class InfService:
    """A service the package brings; ``associated`` is the device's own driver."""

    name: str
    start: Literal["boot", "system", "auto", "demand", "disabled"]
    user: bool = False
    associated: bool = False


@dataclass(frozen=True)
class Inf:
    """What an INF says. ``models`` and ``services`` are those for the architecture it was read for.

    ``settings`` are the defaults of a network driver's advanced properties, ``files`` the
    package's files beside the INF.
    """

    provider: str
    device_class: str
    date: str
    version: str
    catalog: str
    models: tuple[InfModel, ...] = ()
    services: tuple[InfService, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    @property
    def service(self) -> str:
        """The device's own driver."""
        return next((service.name for service in self.services if service.associated), "")

    @property
    def driver(self) -> DriverName | None:
        """Which of the five this is, by its driver's name; None for any other package."""
        name = self.service.lower()
        return DriverName(name) if name in set(DriverName) else None

    @property
    def rank(self) -> tuple[int, ...]:
        """Date, then version: the greater one is the better driver."""
        month, day, year = (int(part) for part in self.date.split("/"))
        return (year, month, day, *version_of(self.version))


def version_of(text: str) -> tuple[int, ...]:
    """A version's four numbers."""
    return tuple(int(part) for part in text.split("."))


def read_inf(text: str, arch: Arch) -> Inf:
    """Read an INF for an architecture.

    Raises:
        InfError: no [Version] section with class and DriverVer.
    """
    file = _Sections(text)
    date, _, version = file.value("version", "driverver").partition(",")
    if not re.fullmatch(r"\d{1,2}/\d{1,2}/\d{4}", date.strip()) or not re.fullmatch(
        r"\d{1,9}(\.\d{1,9}){3}", version.strip()
    ):
        raise InfError("there is no [Version] section with a DriverVer")
    suffix = "ntamd64" if arch is Arch.X64 else "ntx86"
    models, services = [], []
    for section, model in _models(file, arch):
        models.append(model)
        services += [service for service in _services(file, section, suffix) if service not in services]
    return Inf(
        provider=file.value("version", "provider"),
        device_class=file.value("version", "class"),
        date=date.strip(),
        version=version.strip(),
        catalog=file.value("version", f"catalogfile.{suffix}") or file.value("version", "catalogfile"),
        models=tuple(models),
        services=tuple(services),
        settings=_settings(file),
        files=tuple(_files(file, suffix.removeprefix("nt"))),
    )


class _Sections:
    """Lines by section, both in lower case where they are names; %tokens% are replaced."""

    def __init__(self, text: str) -> None:
        self.lines: dict[str, list[tuple[str, list[str]]]] = {}
        here: list[tuple[str, list[str]]] = []
        for line in re.sub(r"\\[ \t]*\r?\n", "", text.lstrip("\ufeff")).splitlines():
            plain = _without_comment(line).strip()
            if header := re.fullmatch(r"\[(.+)\]", plain):
                here = self.lines.setdefault(header[1].strip().lower(), [])
            elif plain:
                key, equals, rest = _split_key(plain)
                here.append((key, _split(rest if equals else plain)))
        self._strings = {key.lower(): values[0] for key, values in self.lines.get("strings", []) if values}

    def value(self, section: str, key: str) -> str:
        """The first line's values with that key, as one text; "" without one."""
        for name, values in self.lines.get(section, []):
            if name.lower() == key:
                return self.text(",".join(values))
        return ""

    def values(self, section: str, key: str) -> Iterator[list[str]]:
        """The values of every line with that key."""
        for name, values in self.lines.get(section, []):
            if name.lower() == key:
                yield [self.text(value) for value in values]

    def text(self, value: str) -> str:
        """With its %tokens% replaced; unknown ones stay."""
        return re.sub(
            r"%([^%]+)%", lambda token: self._strings.get(token[1].lower(), token[0]), value
        ).strip()


def _models(file: _Sections, arch: Arch) -> Iterator[tuple[str, InfModel]]:
    """Install section and model of every line of [Manufacturer]'s sections for the architecture."""
    for _, values in file.lines.get("manufacturer", []):
        if not values:
            continue
        base, *decorations = (value.lower() for value in values)
        offered = {"": base} | {part.split(".")[0]: f"{base}.{part}" for part in decorations}
        section = next((offered[word] for word in _DECORATIONS[arch] if word in offered), None)
        for key, words in file.lines.get(section or "", []):
            if len(words) > 1:
                for hardware_id in words[1:]:
                    yield words[0].lower(), InfModel(file.text(hardware_id), file.text(key))


def _services(file: _Sections, section: str, suffix: str) -> Iterator[InfService]:
    for name in (f"{section}.{suffix}.services", f"{section}.nt.services", f"{section}.services"):
        for values in file.values(name, "addservice"):
            service, flags, install, *_ = [*values, "", "", ""]
            start = _number(file.value(install.lower(), "starttype"))
            if service and start < len(_STARTS):
                yield InfService(
                    name=service,
                    start=_STARTS[start],
                    user=bool(_number(file.value(install.lower(), "servicetype")) & _USER_SERVICE),
                    associated=bool(_number(flags) & 2),  # SPSVCINST_ASSOCSERVICE
                )


def _settings(file: _Sections) -> dict[str, str]:
    found = {}
    for lines in file.lines.values():
        for _, values in lines:
            match values:
                case ["HKR", key, "Default", _, value] if key.lower().startswith("ndi\\params\\"):
                    found[key.split("\\")[-1]] = file.text(value)
    return found


def _files(file: _Sections, suffix: str) -> Iterator[str]:
    for section in ("sourcedisksfiles", f"sourcedisksfiles.{suffix}"):
        for name, values in file.lines.get(section, []):
            folder = values[1] if len(values) > 1 else ""
            yield f"{folder}\\{name}" if folder else name


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return 0


def _without_comment(line: str) -> str:
    return re.match(r'(?:[^";]|"[^"]*"?)*', line)[0]  # type: ignore[index] # it matches everything


def _split_key(line: str) -> tuple[str, str, str]:
    """Key, equals sign and rest; a line without a key has neither."""
    found = re.match(r'\s*((?:"[^"]*"|[^"=,])+?)\s*=\s*(.*)', line)
    return (found[1].strip('"'), "=", found[2]) if found else ("", "", line)


def _split(text: str) -> list[str]:
    words = re.findall(r'((?:"(?:[^"]|"")*"|[^",])*)(?:,|$)', text)
    stripped = [word.strip() for word in words]
    if stripped and not stripped[-1]:
        stripped.pop()  # the pattern's last, empty match
    return [word[1:-1].replace('""', '"') if word.startswith('"') else word for word in stripped]
