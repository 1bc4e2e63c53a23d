"""Where a PowerShell engine is, for tests and the lint. The harness itself needs none."""

from __future__ import annotations

import shutil
from pathlib import Path

__all__ = ["find_engine"]

_REPOSITORY = Path(__file__).parents[3]


def find_engine() -> Path | None:
    """``pwsh`` on PATH, else the one kept beside the repository; None without either."""
    installed = shutil.which("pwsh")
    if installed is not None:
        return Path(installed)
    shared = _REPOSITORY.parent / "shared" / "pwsh" / "pwsh"
    return shared if shared.exists() else None
