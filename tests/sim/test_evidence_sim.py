"""Evidence from the simulated lab: of a guest that is well, one that crashed, one that lets nobody in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_doctor_sim import Place, place

from harness.errors import GuestAuthFailed
from harness.evidence import Scene, collect
from harness.guest.guest import Guest
from harness.guest.provision import make_guest, remove_guest
from harness.host.area import RunArea
from harness.lab import Redactor, Secret
from harness.simlab.machine import StopReason


@contextmanager
def started(there: Place) -> Iterator[Guest]:
    with RunArea(there.host.shell, "run1") as area:
        guest = make_guest(there.host, area, there.template, 1, there.login, report=lambda _: None)
        try:
            guest.start()
            yield guest
        finally:
            remove_guest(guest, area)


def gathered(guest: Guest, there: Place, folder: Path) -> tuple[set[str], str]:
    redactor = Redactor()
    redactor.add(Secret(there.login.password))
    files = collect(Scene(there.host, guest), folder, redact=redactor.clean)
    assert set(files) == {path.name for path in folder.iterdir()}
    for name in files:
        assert there.login.password.encode() not in (folder / name).read_bytes()
    notes = folder / "notes.txt"
    return set(files), notes.read_text() if notes.exists() else ""


_OF_THE_HOST = {
    "channel.jsonl",
    "domains.txt",
    "domain-config.txt",
    "xenstore.txt",
    "hypervisor.txt",
    "xl.txt",
}


def test_of_a_guest_that_answers_everything_is_there(tmp_path: Path) -> None:
    with place(tmp_path) as there, started(there) as guest:
        guest.wait_ready(guest.deadline(30))
        folder = tmp_path / "evidence"
        files, notes = gathered(guest, there, folder)
        assert (
            _OF_THE_HOST | {"screen.png", "guest-events.jsonl", "guest-dumps.json", "guest-devices.json"}
            <= files
        )
        assert (folder / "screen.png").read_bytes().startswith(b"\x89PNG")
        assert f'"name": "{guest.name}"' in (folder / "domain-config.txt").read_text()
        assert "/device/vif/0/backend" in (folder / "xenstore.txt").read_text()
        assert "/backend/vif/" in (folder / "xenstore.txt").read_text()
        assert '"op": "boot_id"' in (folder / "channel.jsonl").read_text()
        assert "not tried" not in notes


def test_a_crashed_guest_is_shown_by_its_host_and_not_asked(tmp_path: Path) -> None:
    with place(tmp_path) as there, started(there) as guest:
        guest.wait_ready(guest.deadline(30))
        # what xen.sys does at a bugcheck; a guest without it restarts, and Xen never hears of it
        (domain,) = [one for one in there.model.hypervisor.domains() if one.name == guest.name]
        assert domain.machine is not None
        domain.machine.hypervisor_line("XEN|BUGCHECK: ====>")
        domain.machine.stop(StopReason.CRASH)
        folder = tmp_path / "evidence"
        files, notes = gathered(guest, there, folder)
        assert files >= _OF_THE_HOST
        assert "guest-events.jsonl" not in files
        assert "XEN|BUGCHECK" in (folder / "hypervisor.txt").read_text()
        assert "not tried: its domain is crashed" in notes


def test_a_guest_that_lets_nobody_in_leaves_the_reason_beside_what_its_host_knows(tmp_path: Path) -> None:
    with place(tmp_path, template="faults = winrm-401") as there, started(there) as guest:
        with pytest.raises(GuestAuthFailed):
            guest.wait_ready(guest.deadline(30))
        files, notes = gathered(guest, there, tmp_path / "evidence")
        assert files >= _OF_THE_HOST
        assert "guest event log: GuestAuthFailed" in notes
        assert "guest devices: not tried" in notes


def test_a_domain_that_is_gone_leaves_notes_and_the_host_s_own_logs(tmp_path: Path) -> None:
    with place(tmp_path) as there, started(there) as guest:
        guest.kill()
        files, notes = gathered(guest, there, tmp_path / "evidence")
        assert {"channel.jsonl", "domains.txt", "hypervisor.txt"} <= files
        assert "xenstore: NoSuchDomain" in notes
        assert "its domain is not there" in notes
