"""The values a driver build consists of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from harness.model import Arch, DriverName
from harness.package.catalog import CatalogFacts
from harness.package.inffacts import InfFacts, InfService
from harness.package.pe import PeFacts

__all__ = ["BuildPackage", "PackageFile", "version_numbers"]

_MOST_DIGITS = 18  # a version has five in each place; Python refuses to read some thousands
_SYMBOLS = (".pdb", ".map")


@dataclass(frozen=True)
class PackageFile:
    """A file of a package. ``name`` is its path in it; ``digests`` are those a catalog may list.

    ``symbols`` are the keys a PDB may be filed under: its GUID and an age (``PeFacts.symbols`` is an
    image's). None of a file that is no PDB of version 7.
    """

    name: str
    size: int
    sha256: str
    digests: frozenset[str] = field(repr=False)
    image: PeFacts | None
    symbols: frozenset[str] = frozenset()


@dataclass(frozen=True)
class BuildPackage:
    """One driver for one architecture, as it lies in ``folder``."""

    name: DriverName
    arch: Arch
    folder: Path
    inf_name: str
    inf: InfFacts
    files: tuple[PackageFile, ...]
    catalog: CatalogFacts
    has_catalog: bool

    @property
    def version(self) -> str:
        """The version of its INF."""
        return self.inf.version

    @property
    def services(self) -> tuple[InfService, ...]:
        """Services and drivers its INF adds."""
        return self.inf.services

    @property
    def payload(self) -> tuple[PackageFile, ...]:
        """What goes to a guest: all but symbols."""
        return tuple(file for file in self.files if not file.name.lower().endswith(_SYMBOLS))

    @property
    def sha256(self) -> str:
        """One hash for what the package installs: its INF and the files the INF copies.

        The catalog is left out: it differs each time it is signed, what it signs does not.
        """
        wanted = {self.inf_name.lower(), *(name.lower() for name in self.inf.files)}
        lines = [f"{file.sha256}  {file.name}\n" for file in self.files if file.name.lower() in wanted]
        return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()

    def find(self, name: str) -> PackageFile | None:
        """A file by its path in the package; case does not matter, as on Windows."""
        return next((file for file in self.files if file.name.lower() == name.lower()), None)

    def __str__(self) -> str:
        return f"{self.name} {self.arch}"


def version_numbers(text: str) -> tuple[int, ...] | None:
    """``9.1.0.42`` as numbers, for comparing; None when it is no version."""
    parts = text.strip().split(".")
    if not all(part.isascii() and part.isdecimal() and len(part) <= _MOST_DIGITS for part in parts):
        return None
    return tuple(int(part) for part in parts)
