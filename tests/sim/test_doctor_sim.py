"""The doctor, the status and the probe on the simulated lab, through real SSH and real WinRM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.doctor import Check, State, check_booted, check_host, check_template
from harness.guest.guest import Guest, Login
from harness.guest.probe import QUESTIONS, domain_channel, probe
from harness.guest.provision import make_guest
from harness.host.area import RunArea, RunState, sweep
from harness.host.host import Host
from harness.host.sshlogin import Credentials
from harness.host.status import host_status
from harness.lab import GuestTemplate, SecretRef, load_lab
from harness.simlab import SimLab
from harness.simlab.host.simhost import SimHost

_INI = """
[host sim-a]
kind = simulated
memory = 4g
xen = 4.17
{host}

[template win]
guest = simulated
os = Windows 10 (simulated)
arch = x64
memory = 1g
vcpus = 1
{template}
"""


@dataclass(frozen=True)
class Place:
    host: Host
    template: GuestTemplate
    login: Login
    model: SimHost


@contextmanager
def place(folder: Path, host: str = "", template: str = "") -> Iterator[Place]:
    path = folder / "hosts.ini"
    path.write_text(_INI.format(host=host, template=template))
    with SimLab(load_lab(path), folder=folder / "lab", seed=1) as sim:
        passwords = sim.host_passwords

        def reveal(ref: SecretRef) -> str:
            return passwords[ref.name]

        with Host(sim.lab.hosts["sim-a"], Credentials(reveal)) as opened:
            win = sim.lab.templates["win"]
            yield Place(opened, win, Login(win.user, sim.passwords["win"]), sim.host("sim-a"))


def booted(there: Place, run_id: str = "doc1") -> Iterator[Check]:
    return check_booted(
        there.host, there.template, there.login, run_id=run_id, boot_s=30, report=lambda _: None
    )


def test_a_simulated_host_has_no_complaint_and_nothing_is_left_on_it(tmp_path: Path) -> None:
    with place(tmp_path) as there:
        before = there.host.shell.check(["find", there.host.spec.storage])
        found = [*check_host(there.host), *check_template(there.host, there.template), *booted(there)]
        assert [check for check in found if check.state is State.FAIL] == []
        assert {"tools", "bridge", "size", "WinRM", "controller", "PowerShell"} <= {
            check.name for check in found
        }
        after = there.host.shell.check(["find", there.host.spec.storage])
        assert set(after.split()) == {*before.split(), f"{there.host.spec.storage}/runs"}
        assert [domain.name for domain in there.host.toolstack.domains()] == ["Domain-0"]


def test_a_full_disk_is_found_by_the_probe_file(tmp_path: Path) -> None:
    with place(tmp_path, host="faults = disk-full") as there:
        failed = [check.name for check in check_host(there.host) if check.state is State.FAIL]
    assert "storage" in failed


@pytest.mark.parametrize("fault", ["winrm-401", "boot-hangs"])
def test_a_clone_that_cannot_be_used_is_one_failed_line_and_is_taken_away(tmp_path: Path, fault: str) -> None:
    with place(tmp_path, host="time_factor = 0.1", template=f"faults = {fault}") as there:
        (check,) = booted(there)
        assert (check.name, check.state) == ("boot", State.FAIL)
        assert [domain.name for domain in there.host.toolstack.domains()] == ["Domain-0"]


def test_status_tells_a_living_run_from_a_dead_one_and_sweep_takes_the_dead(tmp_path: Path) -> None:
    with place(tmp_path) as there:
        with RunArea(there.host.shell, "run1") as area:
            guest = make_guest(there.host, area, there.template, 1, there.login, report=lambda _: None)
            guest.start()
            (run,) = host_status(there.host).runs
            assert (run.run_id, run.state) == ("run1", RunState.ALIVE)
            assert [one.name for one in run.guests] == ["pvhck-run1-1"]
        status = host_status(there.host)
        assert status.runs[0].state is RunState.DEAD
        assert "pvhck-run1-1" in {thing.name for thing in status.leftovers}
        guest.disconnect()
        assert sweep(there.host.shell, there.host.toolstack, lambda _: None) == 1
        assert host_status(there.host).runs == ()


def test_a_probe_of_a_running_domain_has_an_answer_to_every_question(tmp_path: Path) -> None:
    with place(tmp_path) as there, RunArea(there.host.shell, "run1") as area:
        guest = make_guest(there.host, area, there.template, 1, there.login, report=lambda _: None)
        guest.start()
        guest.wait_ready(guest.deadline(30))
        guest.disconnect()
        seen: Guest
        seen, channel = domain_channel(there.host, guest.name, there.template, there.login)
        transcript = probe(channel, user=there.login.user, redact=str, report=lambda _: None)
        channel.close()
        seen.disconnect()
        guest.kill()
        there.host.shell.run(["sh", "-c", f"rm -f {area.path(guest.name)}.*"])
    answered = {one.op: one for one in transcript.operations}
    assert len(transcript.operations) == len(QUESTIONS)
    assert answered["system_facts"].ok
    assert answered["system_facts"].raw == ()  # no PowerShell there, and no pretending
    unanswered = [one.op for one in transcript.operations if one.error and one.error["kind"] == "unanswered"]
    assert unanswered == []
