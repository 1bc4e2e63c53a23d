"""The driver store: packages that were added, and what they mean for the next boot."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from harness.model import INSTALL_ORDER, DriverName
from harness.operations import OperationRefused
from harness.xenlab import pvstate
from harness.xenlab.standin.hardware import BUS_ID, child_ids
from harness.xenlab.standin.inf import Package, read_package
from harness.xenlab.standin.places import Places, write_durably
from harness.xenlab.standin.presets import preset_inf

__all__ = ["DriverStore", "device_ids"]

_PUBLISHED = re.compile(r"oem(\d+)\.inf")


def device_ids(name: DriverName) -> tuple[str, ...]:
    """The hardware ids of the device that a driver is for."""
    return (BUS_ID,) if name is DriverName.XENBUS else child_ids(name)


class DriverStore:
    """Folders ``oemN`` with a package's INF and catalog in each."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._folder = places.state / "driverstore"
        self._read: dict[Path, tuple[int, Package]] = {}  # by INF, with its time of change

    def prepare(self) -> None:
        """On a disk's first boot: add what the template has installed, so that it has INFs too."""
        if self._folder.is_dir():
            return
        self._folder.mkdir(parents=True)
        installed = pvstate.parse_installed(self._installed_text())
        for name in INSTALL_ORDER:
            if name in installed:
                inf = self._places.run / f"{name}.inf"
                inf.parent.mkdir(parents=True, exist_ok=True)
                inf.write_text(preset_inf(name))
                self.add(inf)

    def packages(self) -> tuple[Package, ...]:
        """All, sorted by published name as text."""
        infs = [inf for folder in self._folder.glob("oem*") for inf in folder.glob("*.inf")]
        return tuple(sorted(map(self._package, infs), key=lambda package: package.published))

    def catalog_of(self, package: Package) -> Path | None:
        """The package's catalog, if it came with one."""
        folder = self._folder / package.published.removesuffix(".inf")
        path = folder / package.catalog
        return path if package.catalog and path.is_file() else None

    def best(self, name: DriverName) -> Package | None:
        """The package that a driver's device would get: of those that fit, the newest."""
        ids = device_ids(name)
        fitting = [package for package in self.packages() if package.model_for(ids)]
        return max(fitting, key=lambda package: package.rank, default=None)

    def installed(self) -> frozenset[DriverName]:
        """Drivers that the next boot has."""
        return frozenset(name for name in INSTALL_ORDER if self.best(name))

    def add(self, inf: Path) -> Package:
        """Add a package; one that is there already, byte for byte, keeps its name.

        Raises:
            OperationRefused: there is no such file, or it is no INF for x64.
        """
        if not inf.is_file():
            raise OperationRefused("not-found", f"there is no file {inf}")
        try:
            package = read_package(inf)
        except ValueError as error:
            raise OperationRefused("command-failed", str(error)) from error
        for known in self.packages():
            if (known.sha256, known.original) == (package.sha256, package.original):
                return known
        folder = self._folder / f"oem{self._next_number()}"
        part = self._places.state / "driverstore.new"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        shutil.copyfile(inf, part / package.original)
        catalog = _beside(inf, package.catalog)
        if catalog is not None:
            shutil.copyfile(catalog, part / package.catalog)
        part.rename(folder)
        self._apply()
        return read_package(folder / package.original, published=f"{folder.name}.inf")

    def remove(self, published: str) -> Package:
        """Remove a package.

        Raises:
            OperationRefused: it is not there.
        """
        if not _PUBLISHED.fullmatch(published):
            raise OperationRefused("bad-parameter", "published must be oemN.inf")
        package = next((one for one in self.packages() if one.published == published), None)
        if package is None:
            raise OperationRefused("not-found", f"there is no package {published}")
        shutil.rmtree(self._folder / published.removesuffix(".inf"))
        self._apply()
        return package

    def _package(self, inf: Path) -> Package:
        """Read once: under TCG a device list would take seconds else."""
        changed = inf.stat().st_mtime_ns
        known = self._read.get(inf)
        if known is None or known[0] != changed:
            known = (changed, read_package(inf, published=f"{inf.parent.name}.inf"))
            self._read[inf] = known
        return known[1]

    def _apply(self) -> None:
        """Write what the next boot reads: GRUB its command line, guest-start.sh who may open xenstore."""
        installed = self.installed()
        if installed == pvstate.parse_installed(self._installed_text()) and self._places.pv_config.exists():
            os.sync()
            return
        write_durably(self._places.installed, pvstate.installed_text(installed).encode())
        write_durably(self._places.pv_config, pvstate.pv_config(installed).encode())
        os.sync()  # no journal here: GRUB must find the blocks

    def _installed_text(self) -> str:
        try:
            return self._places.installed.read_text()
        except FileNotFoundError:
            return ""

    def _next_number(self) -> int:
        taken = {folder.name for folder in self._folder.glob("oem*")}
        return next(number for number in range(len(taken) + 1) if f"oem{number}" not in taken)


def _beside(inf: Path, name: str) -> Path | None:
    """A file next to the INF, its name compared as Windows does: without regard to case."""
    if not name:
        return None
    return next((path for path in inf.parent.iterdir() if path.name.lower() == name.lower()), None)
