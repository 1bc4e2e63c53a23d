"""This boot: its id, and with which packages and settings it began."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from harness.model import INSTALL_ORDER, DriverName
from harness.xenlab.standin.driverstore import DriverStore
from harness.xenlab.standin.places import Places

__all__ = ["BootRecord", "SigningSwitch", "boot_id"]


def boot_id(root: Path) -> str:
    """The kernel's own: another one at each boot, the same after save and restore."""
    return (root / "proc/sys/kernel/random/boot_id").read_text().strip()


class SigningSwitch:
    """Switched for the next boot; what this one has does not change."""

    def __init__(self, places: Places) -> None:
        self._path = places.state / "testsigning"

    def next(self) -> bool:
        """What the next boot will have."""
        return self._path.exists()

    def set(self, *, enabled: bool) -> None:
        """Choose for the next boot."""
        if enabled:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()
        else:
            self._path.unlink(missing_ok=True)


@dataclass(frozen=True)
class BootRecord:
    """What was there when this boot began: the digest of each driver's INF, and test signing."""

    boot_id: str
    packages: dict[DriverName, str]
    test_signing: bool

    @classmethod
    def take(cls, places: Places, store: DriverStore, signing: SigningSwitch) -> BootRecord:
        """The record of this boot, made by its first agent; a later one reads it."""
        path = places.run / "boot.json"
        now = boot_id(places.root)
        try:
            known = json.loads(path.read_text())
            if known["boot_id"] == now:
                packages = {DriverName(name): digest for name, digest in known["packages"].items()}
                return cls(now, packages, known["test_signing"])
        except FileNotFoundError:
            pass
        chosen = {name: package.sha256 for name in INSTALL_ORDER if (package := store.best(name))}
        record = cls(now, chosen, signing.next())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"boot_id": now, "packages": chosen, "test_signing": record.test_signing}))
        return record
