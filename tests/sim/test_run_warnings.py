"""What a run warns of stands in its results and on its page, not only in the lines of that night."""

from __future__ import annotations

import hashlib
from pathlib import Path

from own_scenarios import run_scenarios

from harness.results import load_results

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
    tools = f"\n[tools]\niperf3.x64 = {tool} sha256:{sha256}\n"
    ended = run_scenarios(tmp_path, _SCENARIOS, tools=tools)
    assert ended.returncode == 0, ended.stdout
    folder = tmp_path / "reports" / "latest"
    (warning,) = load_results(folder).run.warnings
    assert "cannot fetch from 192.0.2.1, it got a CD" in warning
    assert "cannot fetch from 192.0.2.1, it got a CD" in (folder / "index.html").read_text()


def test_what_dom0_s_kernel_stumbled_over_meanwhile_is_a_warning_of_the_run(tmp_path: Path) -> None:
    text = "def test_it(guest):\n    pass\n"
    said = run_scenarios(tmp_path, text, faults="host-oops")
    assert said.returncode == 0, said.stdout + said.stderr
    warnings = load_results(tmp_path / "reports" / "latest").run.warnings
    assert any("host sim: oops in the log of dom0's kernel" in warning for warning in warnings), warnings
    (tmp_path / "well").mkdir()
    run_scenarios(tmp_path / "well", text)
    assert load_results(tmp_path / "well" / "reports" / "latest").run.warnings == ()
