"""What a run warns of stands in its results and on its page, not only in the lines of that night."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from harness.results import load_results

_HOSTS = """\
[host sim]
kind = simulated
xen = 4.17
time_factor = 0.4

[template win]
guest = simulated
os = Windows 10 (simulated)
arch = x64

[tools]
iperf3.x64 = {tool} sha256:{sha256}
"""
_SCENARIOS = """\
from dataclasses import replace

from harness.guest.guest import Guest
from harness.lab import ToolName
from harness.model import GuestKind

def test_a_program_is_carried_into_the_guest(guest, tools, monkeypatch):
    # simulated hosts have us on loopback; this address is of no network (TEST-NET-1)
    monkeypatch.setattr(guest.host, "spec", replace(guest.host.spec, controller="192.0.2.1"))
    # a simulated guest has its programs on board, a Windows guest gets them from [tools]
    monkeypatch.setattr(Guest, "kind", GuestKind.WINDOWS)
    assert tools.find(ToolName.IPERF3).path.endswith("iperf3.exe")
"""


def test_a_program_that_had_to_come_by_cd_is_a_warning_of_the_run(tmp_path: Path) -> None:
    tool = tmp_path / "iperf3.exe"
    tool.write_bytes(b"MZ no program")
    sha256 = hashlib.sha256(tool.read_bytes()).hexdigest()
    (tmp_path / "hosts.ini").write_text(_HOSTS.format(tool=tool, sha256=sha256))
    scenarios = tmp_path / "scenarios" / "install" / "test_it.py"
    scenarios.parent.mkdir(parents=True)
    scenarios.write_text(_SCENARIOS)
    ended = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "harness.session.plugin", "-p", "no:cacheprovider",
            "--pv-hosts=hosts.ini", "--pv-profile=smoke", "--pv-reports=reports", "scenarios",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    folder = tmp_path / "reports" / "latest"
    (warning,) = load_results(folder).run.warnings
    assert "cannot fetch from 192.0.2.1, it got a CD" in warning
    assert "cannot fetch from 192.0.2.1, it got a CD" in (folder / "index.html").read_text()
