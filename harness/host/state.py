"""What this machine keeps of a host from run to run: locks and notes, by the host's address."""

from __future__ import annotations

import re
from pathlib import Path

from harness.lab import HostSpec

__all__ = ["state_path"]


def state_path(spec: HostSpec, ending: str, folder: Path | None = None) -> Path:
    """A file for a host, whatever name hosts.ini gives it. Each user's runs have their own."""
    where = folder or Path.home() / ".local" / "state" / "pvhck" / "hosts"
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", f"{spec.address}_{spec.port}")
    return where / f"{name}.{ending}"
