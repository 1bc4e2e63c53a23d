"""Where the agent keeps what it has to remember. All below ``root``, so that tests need no guest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness.xenlab import pvstate

__all__ = ["Places", "write_durably"]


@dataclass(frozen=True)
class Places:
    """Paths. What lies in ``run`` is gone with the boot."""

    root: Path = Path("/")

    @property
    def state(self) -> Path:
        """Kept for ever."""
        return self.root / "var/lib/pvhck"

    @property
    def run(self) -> Path:
        """Of this boot."""
        return self.root / "run/pvhck"

    def inside(self, path: str) -> Path:
        """A path of ``pvstate``."""
        return self.root / path.lstrip("/")

    @property
    def installed(self) -> Path:
        """See ``pvstate.INSTALLED_FILE``."""
        return self.inside(pvstate.INSTALLED_FILE)

    @property
    def pv_config(self) -> Path:
        """See ``pvstate.PV_CONFIG_FILE``."""
        return self.inside(pvstate.PV_CONFIG_FILE)

    @property
    def stopping(self) -> Path:
        """See ``pvstate.STOPPING_FILE``."""
        return self.inside(pvstate.STOPPING_FILE)


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file so that a power cut leaves the old text or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.new")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
