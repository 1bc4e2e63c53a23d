"""Scenarios that a test brings itself, run by the plugin on one simulated host, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["run_scenarios"]

_HOSTS = """\
[host sim]
kind = simulated
xen = 4.17
time_factor = 0.4

[template win]
guest = simulated
os = Windows 10 (simulated)
arch = x64
"""


def run_scenarios(
    folder: Path, text: str, *, tools: str = "", faults: str = ""
) -> subprocess.CompletedProcess[str]:
    """``text`` is the file of scenarios, ``tools`` a section of hosts.ini; reports go beside them.

    ``faults`` are switches of the host.
    """
    host = _HOSTS.replace("time_factor = 0.4", f"time_factor = 0.4\nfaults = {faults}") if faults else _HOSTS
    (folder / "hosts.ini").write_text(host + tools)
    scenarios = folder / "scenarios" / "install" / "test_it.py"
    scenarios.parent.mkdir(parents=True)
    scenarios.write_text(text)
    return subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "harness.session.plugin", "-p", "no:cacheprovider",
            "--pv-hosts=hosts.ini", "--pv-profile=smoke", "--pv-reports=reports", "scenarios",
        ],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
