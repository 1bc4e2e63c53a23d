"""The host and guest layers on a simulated host whose switches are on: whose fault it is, what is left."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.deadline import Deadline, Done, NotYet, WaitTimedOut, wait_until
from harness.errors import (
    CommandFailed,
    CommandTimedOut,
    GuestAuthFailed,
    GuestCrashed,
    GuestError,
    HostUnreachable,
    InfrastructureError,
    ProvisioningFailed,
)
from harness.guest.guest import Guest, GuestState, Login
from harness.guest.power import shut_down
from harness.guest.provision import make_guest, remove_guest
from harness.host.area import RunArea, domain_name, leftovers, sweep
from harness.host.host import Host
from harness.host.sshlogin import Credentials
from harness.lab import AddressSource, GuestTemplate, HostKind, HostSpec, Lab, WinRmTransport
from harness.model import Arch, GuestKind
from harness.simlab import SimLab
from harness.simlab.guest.windows import WindowsGuest
from harness.simlab.machine import StopReason

TEMPLATE = GuestTemplate(
    "win10",
    GuestKind.SIMULATED,
    "templates/win10.qcow2",
    "Windows 10 (simulated)",
    Arch.X64,
    memory_mib=512,
    vcpus=1,
    transport=WinRmTransport.HTTP_BASIC,
)
BOOT_S = 20


class Scene:
    """One simulated host with a run on it."""

    def __init__(self, sim: SimLab, host: Host, area: RunArea) -> None:
        self.sim = sim
        self.host = host
        self.area = area
        self._number = 0

    def guest(self, **changes: object) -> Guest:
        """A guest, not yet started."""
        template = replace(self.sim.lab.templates["win10"], **changes)
        self._number += 1
        login = Login(template.user, self.sim.passwords["win10"])
        return make_guest(self.host, self.area, template, self._number, login, report=lambda _: None)

    def booted(self, **changes: object) -> Guest:
        guest = self.guest(**changes)
        guest.start()
        guest.wait_ready(guest.deadline(BOOT_S))
        return guest


@contextlib.contextmanager
def scene_in(
    folder: Path, *, host_faults: tuple[str, ...] = (), guest_faults: tuple[str, ...] = (), **more: object
) -> Iterator[Scene]:
    spec = HostSpec("sim", HostKind.SIMULATED, "", memory_mib=4096, faults=host_faults, **more)
    lab = Lab(folder / "hosts.ini", {"sim": spec}, {"win10": replace(TEMPLATE, faults=guest_faults)})
    with (
        SimLab(lab, folder=folder / "lab", seed=1) as sim,
        Host(sim.lab.hosts["sim"], Credentials(lambda _: "")) as host,
        RunArea(host.shell, "run-1") as area,
    ):
        yield Scene(sim, host, area)
        for item in leftovers(host.shell, host.toolstack, "run-1"):
            if item.kind == "domain":
                host.toolstack.destroy(item.name)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with scene_in(tmp_path) as made:
        yield made


# -- the usual way


def test_a_guest_is_made_reached_and_taken_away_without_a_trace(scene: Scene):
    guest = scene.guest()
    assert guest.state is GuestState.OFF
    guest.start()
    assert guest.state is GuestState.BOOTED
    boot = guest.wait_ready(guest.deadline(BOOT_S))
    assert guest.state is GuestState.REACHABLE
    assert guest.operations.boot_id().boot_id == boot

    remove_guest(guest, scene.area)

    assert leftovers(scene.host.shell, scene.host.toolstack, "run-1") == ()


@pytest.mark.parametrize("source", [AddressSource.LEASES, AddressSource.NEIGHBOUR, AddressSource.CONSOLE])
def test_the_address_is_found_by_every_source(scene: Scene, source: AddressSource):
    guest = scene.booted(address=source)
    assert guest.address.startswith("127.")
    remove_guest(guest, scene.area)


def test_guests_beside_each_other_do_not_share_files(scene: Scene):
    first = scene.booted()
    for _ in range(10):
        eleventh = scene.guest()
    assert (first.name, eleventh.name) == (domain_name("run-1", 1), domain_name("run-1", 11))

    remove_guest(first, scene.area)

    kept = leftovers(scene.host.shell, scene.host.toolstack, "run-1")
    assert any(eleventh.name in item.name for item in kept)
    for number in range(2, 12):
        scene.host.shell.run(["rm", "-f", scene.area.path(f"{domain_name('run-1', number)}.img")])


# -- the host is at fault


def test_a_command_that_hangs_ends_with_its_deadline(tmp_path: Path):
    with scene_in(tmp_path, host_faults=("command-hang:create",), time_factor=0.01) as scene:
        guest = scene.guest()
        with pytest.raises(CommandTimedOut, match="xl create"):
            guest.start()


def test_a_connection_that_breaks_in_a_change_is_the_host_s_and_not_repeated(tmp_path: Path):
    with scene_in(tmp_path, host_faults=("ssh-drop:create",)) as scene:
        guest = scene.guest()
        with pytest.raises(HostUnreachable, match="connection lost during xl create"):
            guest.start()
        assert scene.host.shell.run(["true"]).ok


def test_a_host_without_memory_says_so(tmp_path: Path):
    with scene_in(tmp_path, host_faults=("no-memory",)) as scene:
        guest = scene.guest()
        with pytest.raises(CommandFailed, match="xl create"):
            guest.start()
        remove_guest(guest, scene.area)
        assert leftovers(scene.host.shell, scene.host.toolstack, "run-1") == ()


def test_a_clone_that_fails_leaves_nothing(tmp_path: Path):
    with scene_in(tmp_path, host_faults=("clone-fails",)) as scene:
        with pytest.raises(ProvisioningFailed, match=r"cannot clone .*win10.qcow2"):
            scene.guest()
        assert leftovers(scene.host.shell, scene.host.toolstack, "run-1") == ()


def test_a_missing_template_is_named(scene: Scene):
    with pytest.raises(ProvisioningFailed, match=r"none\.qcow2"):
        scene.guest(image="templates/none.qcow2")


def test_a_full_disk_is_the_host_s_fault(tmp_path: Path):
    with pytest.raises(InfrastructureError), scene_in(tmp_path, host_faults=("disk-full",)) as scene:
        scene.guest()


# -- the guest is at fault


def test_a_boot_that_hangs_ends_with_what_was_last_seen(tmp_path: Path):
    with scene_in(tmp_path, guest_faults=("boot-hangs",)) as scene:
        guest = scene.guest()
        guest.start()
        with pytest.raises(WaitTimedOut, match=r"answers by WinRM; last seen: .+"):
            guest.wait_ready(guest.deadline(1))


def test_a_guest_that_lets_nobody_in_is_not_waited_for(tmp_path: Path):
    with scene_in(tmp_path, guest_faults=("winrm-401",)) as scene:
        guest = scene.guest()
        guest.start()
        with pytest.raises(GuestAuthFailed, match="refuses user"):
            guest.wait_ready(guest.deadline(BOOT_S))


def test_a_guest_that_ignores_requests_is_at_fault_itself(tmp_path: Path):
    with scene_in(tmp_path, guest_faults=("shutdown-ignored",)) as scene:
        guest = scene.booted()
        answer = scene.host.toolstack.shutdown(guest.name)
        assert answer.refused, "without drivers it cannot even be asked"
        with pytest.raises(AssertionError, match="refuses"):
            shut_down(guest, ack_s=1, off_s=1)


def test_a_guest_whose_domain_vanished_has_crashed(scene: Scene):
    guest = scene.booted()
    (domain,) = scene.sim.host("sim").hypervisor.domains()
    assert domain.machine is not None
    domain.machine.stop(StopReason.POWEROFF)
    guest.wait_off(guest.deadline(30))
    with pytest.raises(GuestCrashed, match="gone from its host"):
        guest.operations.boot_id()


def test_a_guest_whose_domain_somebody_destroyed_is_not_at_fault(scene: Scene):
    guest = scene.booted()
    scene.host.toolstack.destroy(guest.name)
    with pytest.raises(InfrastructureError, match="somebody destroyed"):
        guest.operations.boot_id()


def test_a_guest_whose_domain_somebody_paused_is_not_at_fault(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    for limit in ("_RECEIVE_S", "_SLACK_S"):
        monkeypatch.setattr(f"harness.guest.channel.{limit}", 1)
    guest = scene.booted()
    scene.host.toolstack.pause(guest.name)
    with pytest.raises(InfrastructureError, match="somebody paused"):
        guest.operations.boot_id()


def test_a_guest_that_falls_silent_is_at_fault_not_its_host(scene: Scene, monkeypatch: pytest.MonkeyPatch):
    for limit in ("_RECEIVE_S", "_SLACK_S"):  # how long an answer may take
        monkeypatch.setattr(f"harness.guest.channel.{limit}", 1)
    guest = scene.booted()
    (domain,) = scene.sim.host("sim").hypervisor.domains()
    assert isinstance(domain.guest, WindowsGuest)
    assert domain.guest._system is not None
    domain.guest._system.endpoint.freeze()
    with pytest.raises(GuestError, match="silent"):
        guest.operations.boot_id()


# -- what dead runs leave


def test_the_next_run_sweeps_what_a_killed_one_left(tmp_path: Path, scene: Scene):
    guest = scene.booted()
    spec = scene.host.spec
    scene.host.shell.close()  # the lock goes with the connection, as when we are killed
    said: list[str] = []
    with Host(spec, Credentials(lambda _: "")) as other:

        def swept() -> Done[int] | NotYet:
            runs = sweep(other.shell, other.toolstack, said.append)
            return Done(runs) if runs else NotYet("the host has not noticed yet")

        runs = wait_until(swept, subject="the dead run is swept", deadline=Deadline.after(30))
        assert runs == 1
        assert other.toolstack.find(guest.name) is None
        assert leftovers(other.shell, other.toolstack, "run-1") == ()
    assert f"sim: removing domain {guest.name}" in said
    assert scene.host.shell.check(["mkdir", "-p", scene.area.folder]) == ""


def test_a_living_run_is_not_swept(scene: Scene):
    guest = scene.booted()
    with Host(scene.host.spec, Credentials(lambda _: "")) as other:
        assert sweep(other.shell, other.toolstack, lambda _: None) == 0
    assert guest.operations.boot_id().boot_id == guest.boot_id
    remove_guest(guest, scene.area)
