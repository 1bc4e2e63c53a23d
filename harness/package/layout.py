r"""Where in a build's folders the driver packages are. Reads names and INFs only.

Wanted is ``NAME/x86`` and ``NAME/x64`` as the drivers' own builds have it (facts/pv-drivers.md
1.2); what is around them does not matter: the INF's name says which driver it is, the nearest
folder named after an architecture, or else the INF itself, which architecture.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.model import Arch, DriverName
from harness.package.findings import BuildFinding, FindingKind, Severity
from harness.package.inf import decode_inf, parse_inf
from harness.package.inffacts import architectures_of
from harness.package.unpack import Budget, is_archive, unpack

__all__ = ["Place", "WorkFolder", "find_places", "gather"]

_ARCH_FOLDERS = {"x86": Arch.X86, "i386": Arch.X86, "win32": Arch.X86, "x64": Arch.X64, "amd64": Arch.X64}
_MAX_DEPTH = 6
_MAX_ENTRIES = 20_000
_LAYOUT = "a build holds NAME/x86 and NAME/x64 with NAME one of " + ", ".join(DriverName)
# Drivers of the same family that this harness has no scenarios for (facts/pv-drivers.md 1.1).
_SISTERS = {"xenhid.inf", "xenvkbd.inf", "xencons.inf"}


@dataclass(frozen=True)
class Place:
    """A package on disk."""

    name: DriverName
    arch: Arch
    folder: Path
    inf: Path


class WorkFolder:
    """Where archives are unpacked: numbered folders below one that is made when first needed."""

    def __init__(self, make: Callable[[], Path]) -> None:
        self._make = make
        self._count = 0

    def next(self) -> Path:
        """A folder that is not there yet."""
        self._count += 1
        return self._make() / f"part{self._count}"


def gather(path: Path, work: WorkFolder, budget: Budget) -> tuple[Path, ...]:
    """The folders that make up a build: itself, or what its archive and the archives in it hold.

    The drivers' own builds are folders with ``NAME.tar`` in them: those are unpacked as well.

    Raises:
        ConfigurationError: an archive is damaged or holds what it must not.
    """
    roots = [path]
    if path.is_file():
        roots = [work.next()]
        unpack(path, roots[0], budget)
    for inner in list(_driver_archives(roots[0])):
        part = work.next()
        unpack(inner, part, budget)
        roots.append(part)
    return tuple(roots)


def find_places(roots: tuple[Path, ...]) -> tuple[tuple[Place, ...], tuple[BuildFinding, ...]]:
    """The packages in these folders, in any order, and what is wrong with the layout."""
    places: list[Place] = []
    findings: list[BuildFinding] = []
    for root in roots:
        for folder, files in _walk(root):
            infs = {name.lower(): name for name in files if name.lower().endswith(".inf")}
            ours = [name for name in DriverName if f"{name}.inf" in infs]
            for name in ours:
                inf = folder / infs[f"{name}.inf"]
                arch = _arch_of(folder, root, inf)
                if arch is None:
                    findings.append(_unknown_arch(name, inf))
                else:
                    places.append(Place(name, arch, folder, inf))
            if not ours:
                findings += _without_inf(folder, root, files, sorted(infs))
            findings += [_sister(folder / infs[name]) for name in sorted(_SISTERS & infs.keys())]
    if not places and not findings:
        findings.append(_nothing(roots[0]))
    return _distinct(places, findings), tuple(findings)


def _driver_archives(root: Path) -> Iterator[Path]:
    for folder, files in _walk(root):
        for file in sorted(files):
            path = folder / file
            if is_archive(path) and file.lower().partition(".")[0] in set(DriverName):
                yield path


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders with their files, in order; not deeper and not more than a build can be."""
    entries = 0
    for place, folders, files in os.walk(root):
        folder = Path(place)
        entries += len(folders) + len(files)
        if len(folder.relative_to(root).parts) >= _MAX_DEPTH or entries > _MAX_ENTRIES:
            folders.clear()
        folders.sort()
        yield folder, sorted(files)


def _arch_of(folder: Path, root: Path, inf: Path) -> Arch | None:
    for part in _names_upwards(folder, root):
        if part in _ARCH_FOLDERS:
            return _ARCH_FOLDERS[part]
    declared = architectures_of(parse_inf(decode_inf(inf.read_bytes())))
    return next(iter(declared)) if len(declared) == 1 else None


def _names_upwards(folder: Path, root: Path) -> Iterator[str]:
    """Names of a folder and those above it up to the root, which counts as well."""
    for part in reversed((root.resolve().name, *folder.relative_to(root).parts)):
        yield part.lower()


def _without_inf(folder: Path, root: Path, files: list[str], infs: list[str]) -> Iterator[BuildFinding]:
    """A folder that is in a package's place but has not its INF."""
    here, above = (*_names_upwards(folder, root), "", "")[:2]
    if here in _ARCH_FOLDERS and above in set(DriverName):
        name, arch = above, f" {_ARCH_FOLDERS[here]}"
    elif here in set(DriverName) and any(file.lower().endswith((".sys", ".cat")) for file in files):
        name, arch = here, ""
    else:
        return
    instead = f"; there is {', '.join(infs)}" if infs else ""
    yield BuildFinding(
        FindingKind.NO_INF,
        Severity.ERROR,
        f"{name}{arch}",
        f"no {name}.inf in {folder}{instead}",
        "the build is incomplete: build or copy this package again",
    )


def _distinct(places: list[Place], findings: list[BuildFinding]) -> tuple[Place, ...]:
    """One place for each package; two of a kind, as free and checked, are an error."""
    found: dict[tuple[DriverName, Arch], Place] = {}
    for place in places:
        first = found.setdefault((place.name, place.arch), place)
        if first is not place:
            findings.append(
                BuildFinding(
                    FindingKind.AMBIGUOUS,
                    Severity.ERROR,
                    f"{place.name} {place.arch}",
                    f"two packages: {first.folder} and {place.folder}",
                    "name the folder of one flavour (free or checked)",
                )
            )
    return tuple(found.values())


def _unknown_arch(name: DriverName, inf: Path) -> BuildFinding:
    return BuildFinding(
        FindingKind.WRONG_ARCH,
        Severity.ERROR,
        name,
        f"cannot tell the architecture of {inf}",
        f"put it into a folder x86 or x64; {_LAYOUT}",
    )


def _sister(inf: Path) -> BuildFinding:
    return BuildFinding(
        FindingKind.UNKNOWN_PACKAGE,
        Severity.WARNING,
        inf.stem,
        f"{inf.name} is left alone: not one of the five",
    )


def _nothing(root: Path) -> BuildFinding:
    return BuildFinding(
        FindingKind.NOTHING_THERE, Severity.ERROR, root.name, "no driver package in it", _LAYOUT
    )
