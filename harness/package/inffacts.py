"""What an INF says of a driver package: version, devices, services, files. Pure.

Sections and directives: "Summary of INF Directives" and "INF Manufacturer Section"
(learn.microsoft.com, windows-hardware/drivers/install); the shapes the Xen drivers use are in
win-xenbus src/xenbus.inf and its four sisters.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness.model import Arch
from harness.package.inf import Inf, decode_inf, parse_inf

__all__ = ["InfFacts", "InfService", "StartType", "architectures_of", "read_inf"]

StartType = Literal["boot", "system", "auto", "demand", "disabled"]

_STARTS: tuple[StartType, ...] = ("boot", "system", "auto", "demand", "disabled")
_DECORATION = {Arch.X86: "ntx86", Arch.X64: "ntamd64"}
_DATE = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})$")
_MOST_DIGITS = 18  # Python refuses to read some thousands of them
_ASSOCIATED = 0x2  # SPSVCINST_ASSOCSERVICE: the device's function driver


@dataclass(frozen=True)
class InfService:
    """A service the INF adds; ``function`` says that it is the device's own driver."""

    name: str
    start: StartType
    binary: str  # file name, as installed
    function: bool


@dataclass(frozen=True)
class InfFacts:
    """An INF for one architecture. Texts are expanded; ``version`` is as written, ``date`` its date.

    ``hardware_ids`` are those a device is matched by, as written. ``files`` are paths below the
    INF's folder of what it copies, as the package has to hold them.
    """

    provider: str
    device_class: str
    class_guid: str
    date: dt.date | None
    version: str
    catalog: str
    arches: frozenset[Arch]
    description: str
    hardware_ids: tuple[str, ...]
    services: tuple[InfService, ...]
    files: tuple[str, ...]


def architectures_of(inf: Inf) -> frozenset[Arch]:
    """The architectures for which ``[Manufacturer]`` names models; without decoration it is x86."""
    found = set()
    for line in inf.lines("Manufacturer"):
        decorations = line.values[1:] if line.values else ()
        for decoration in decorations or ("nt",):
            found |= {arch for arch in Arch if _speaks_of(decoration, arch)}
    return frozenset(found)


def read_inf(data: bytes, arch: Arch) -> InfFacts:
    """An INF file's facts for an architecture; what it does not say is empty."""
    inf = parse_inf(decode_inf(data))
    models = tuple(_models(inf, arch))
    installs = tuple(dict.fromkeys(install for _, install, _ in models))
    date, version = _driver_ver(inf)
    return InfFacts(
        provider=inf.value("Version", "Provider"),
        device_class=inf.value("Version", "Class"),
        class_guid=inf.value("Version", "ClassGuid").lower(),
        date=date,
        version=version,
        catalog=_decorated_value(inf, "Version", "CatalogFile", arch),
        arches=architectures_of(inf),
        description=models[0][0] if models else "",
        hardware_ids=tuple(dict.fromkeys(ids[0] for _, _, ids in models if ids)),
        services=tuple(_services(inf, installs, arch)),
        files=_files(inf, installs, arch),
    )


def _speaks_of(decoration: str, arch: Arch) -> bool:
    """Whether ``NTamd64.10.0...14393`` and the like mean an architecture; plain ``NT`` means x86."""
    platform = decoration.strip().lower().partition(".")[0]
    return platform == _DECORATION[arch] or (platform in {"nt", ""} and arch is Arch.X86)


def _models(inf: Inf, arch: Arch) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Description, install section and ids of every model for an architecture."""
    for maker in inf.lines("Manufacturer"):
        if not maker.values:
            continue
        section, *decorations = maker.values
        names = [
            f"{section}.{decoration.strip()}" for decoration in decorations if _speaks_of(decoration, arch)
        ]
        if not decorations and arch is Arch.X86:
            names = [section]
        for name in names:
            for line in inf.lines(name):
                install, *ids = line.values or ("",)
                yield line.key, install, tuple(identifier for identifier in ids if identifier)


def _driver_ver(inf: Inf) -> tuple[dt.date | None, str]:
    values = next(inf.entries("Version", "DriverVer"), ())
    date = None
    match = _DATE.match(values[0]) if values else None
    if match:
        month, day, year = map(int, match.groups())
        try:
            date = dt.date(year, month, day)
        except ValueError:
            date = None
    return date, values[1] if len(values) > 1 else ""


def _decorated_value(inf: Inf, section: str, key: str, arch: Arch) -> str:
    for name in (f"{key}.{_DECORATION[arch]}", f"{key}.nt", key):
        value = inf.value(section, name)
        if value:
            return value
    return ""


def _install_section(inf: Inf, install: str, arch: Arch) -> str:
    """The decorated form of an install section that Windows takes; the services' name follows it."""
    for suffix in (f".{_DECORATION[arch]}", ".nt", ""):
        if inf.has(install + suffix):
            return install + suffix
    return install


def _services(inf: Inf, installs: tuple[str, ...], arch: Arch) -> Iterator[InfService]:
    seen = set()
    for install in installs:
        section = _install_section(inf, install, arch)
        for values in inf.entries(f"{section}.Services", "AddService"):
            name, flags, details = (*values, "", "", "")[:3]
            if name and name.lower() not in seen:
                seen.add(name.lower())
                binary = inf.value(details, "ServiceBinary").replace("/", "\\").rpartition("\\")[2]
                start = _number(inf.value(details, "StartType"))
                known = start if 0 <= start < len(_STARTS) else _STARTS.index("demand")
                yield InfService(name, _STARTS[known], binary, function=bool(_number(flags) & _ASSOCIATED))


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else 0


def _files(inf: Inf, installs: tuple[str, ...], arch: Arch) -> tuple[str, ...]:
    """What the install sections and their co-installers copy, by its place in the package."""
    sources: dict[str, None] = {}
    for install in installs:
        section = _install_section(inf, install, arch)
        for name in (section, f"{section}.CoInstallers"):
            for lists in inf.entries(name, "CopyFiles"):
                for listed in lists:
                    sources.update(dict.fromkeys(_copied(inf, listed)))
    return tuple(_placed(inf, source, arch) for source in sources)


def _copied(inf: Inf, listed: str) -> Iterator[str]:
    """Source names of a CopyFiles value: a section of ``target,source`` lines, or ``@file``."""
    if listed.startswith("@"):
        yield listed[1:]
        return
    for line in inf.lines(listed):
        # "xen.sys" and "target.dll,source.dll" have no key
        target, source = (*line.values, "", "")[:2]
        if target:
            yield source or target


def _placed(inf: Inf, source: str, arch: Arch) -> str:
    """``[SourceDisksFiles]`` may say ``file = disk, folder``."""
    for section in (f"SourceDisksFiles.{_DECORATION[arch].removeprefix('nt')}", "SourceDisksFiles"):
        for values in inf.entries(section, source):
            folder = values[1].replace("\\", "/").strip("/") if len(values) > 1 else ""
            return f"{folder}/{source}" if folder else source
    return source
