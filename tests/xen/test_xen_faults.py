"""Faults that can be made on a real Xen host: each named for what it is, survived if it can be, nothing left.

The guest is the Linux stand-in. In the order of the file: what the guest survives comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.errors import (
    CommandFailed,
    CommandTimedOut,
    HarnessError,
    HostUnreachable,
    InfrastructureError,
    ProvisioningFailed,
)
from harness.evidence import Scene, collect
from harness.guest.crash import CrashWatch
from harness.guest.guest import Guest
from harness.guest.provision import remove_guest
from harness.host.area import Leftover, RunArea, leftovers, remove_leftover
from harness.host.clone import choose_strategy
from harness.host.domain import DiskSpec, DomainSpec
from harness.host.health import look_at
from harness.host.host import Host
from harness.lab import Lab
from harness.xenlab import RunningLab

pytestmark = [pytest.mark.xen, pytest.mark.fault, pytest.mark.slow]

_OF_HOST = {"domains.txt", "hypervisor.txt", "state-processes.txt", "state-xenstore.txt"}


@pytest.fixture(scope="module")
def guest(boot: Callable[[str], Guest]) -> Guest:
    """One guest for all that it survives."""
    return boot("standin-all")


def _goes_wrong(guest: Guest, seconds: float = 120) -> HarnessError:
    """What an operation of the guest raises, which may be answered a few times more."""

    def probe() -> Done[HarnessError] | NotYet:
        try:
            return NotYet(f"it answers: boot {guest.operations.boot_id().boot_id}")
        except HarnessError as error:
            return Done(error)

    return wait_until(
        probe, subject=f"{guest.name} is missed", deadline=guest.deadline(seconds), interval_s=1
    )


def _evidence(guest: Guest, folder: Path) -> set[str]:
    return set(collect(Scene(guest.host, guest), folder, redact=lambda text: text))


def _still(area: RunArea, host: Host, number: int) -> DomainSpec:
    """A small domain that boots nothing."""
    name = f"pvhck-{area.run_id}-{number}"
    disk = area.path(f"{name}.raw")
    host.shell.check(["truncate", "-s", "16M", disk])
    return DomainSpec(name=name, memory_mib=64, vcpus=1, disks=(DiskSpec(disk, "hda"),), nics=())


def _of(name: str, host: Host, area: RunArea) -> list[Leftover]:
    """What there is of one domain of the run."""
    found = leftovers(host.shell, host.toolstack, area.run_id)
    return [item for item in found if name in item.name]


# -- survived


def test_a_domain_that_somebody_pauses_is_the_labs_fault_and_the_guest_goes_on(
    guest: Guest, xen_host: Host, tmp_path: Path
) -> None:
    boot = guest.boot_id
    xen_host.toolstack.pause(guest.name)
    try:
        error = _goes_wrong(guest)
        files = _evidence(guest, tmp_path)
    finally:
        xen_host.toolstack.unpause(guest.name)

    assert isinstance(error, InfrastructureError)
    assert f"somebody paused {guest.name}" in str(error)
    assert _OF_HOST | {"xenstore.txt", "domain-config.txt"} <= files
    assert guest.wait_ready(guest.deadline(120)) == boot


def test_sessions_that_are_cut_are_opened_anew_and_the_guest_is_no_worse(
    guest: Guest, xen_host: Host
) -> None:
    boot = guest.operations.boot_id().boot_id
    with pytest.raises(HostUnreachable):
        xen_host.shell.run(["pkill", "-9", "-f", "sshd: root"])

    xen_host.shell.check(["true"], repeatable=True)
    assert guest.wait_ready(guest.deadline(120)) == boot
    assert guest.operations.boot_id().boot_id == boot


def test_an_ssh_server_that_stands_still_is_named_and_comes_back(guest: Guest, xen_host: Host) -> None:
    boot = guest.boot_id
    # nobody could start it again from outside
    xen_host.shell.check(["sh", "-c", "(sleep 20; pkill -CONT sshd) </dev/null >/dev/null 2>&1 & sleep 1"])
    xen_host.shell.check(["sh", "-c", "(sleep 1; pkill -STOP sshd) </dev/null >/dev/null 2>&1 &"])

    def probe() -> Done[HarnessError] | NotYet:
        try:
            xen_host.shell.run(["true"], timeout_s=2)
        except InfrastructureError as error:
            return Done(error)
        return NotYet("it still answers")

    error = wait_until(probe, subject="sshd stands still", deadline=Deadline.after(60), interval_s=0.5)
    assert isinstance(error, (CommandTimedOut, HostUnreachable)), error

    def again() -> Done[None] | NotYet:
        try:
            return Done(None) if xen_host.shell.run(["true"], timeout_s=5).ok else NotYet("it fails")
        except InfrastructureError as late:
            return NotYet(str(late))

    wait_until(again, subject="sshd goes on", deadline=Deadline.after(180), interval_s=1)
    assert guest.wait_ready(guest.deadline(120)) == boot


def test_a_host_that_is_frozen_is_late_not_gone_and_its_guest_goes_on(
    guest: Guest, xen_host: Host, xen_lab: RunningLab
) -> None:
    boot = guest.boot_id
    late = (CommandTimedOut, HostUnreachable)  # by whether a channel was open already
    with xen_lab.frozen(), pytest.raises(late, match=r"did not end in|Timeout opening channel"):
        xen_host.shell.run(["true"], timeout_s=2)

    xen_host.shell.check(["true"], repeatable=True)
    assert guest.wait_ready(guest.deadline(120)) == boot


def test_a_full_disk_is_named_before_and_at_the_clone_and_half_a_clone_is_not_left(
    xen_host: Host, area: RunArea, described: Lab
) -> None:
    fill, storage = area.path("fill"), xen_host.spec.storage
    free = xen_host.shell.check(["df", "--output=avail", "-B1", storage]).split()[-1]
    xen_host.shell.run(["fallocate", "-l", free, fill])
    xen_host.shell.run(["dd", "if=/dev/zero", f"of={fill}2", "bs=64k"], timeout_s=120)
    try:
        target = area.path("clone.img")
        image = str(described.templates["standin-bare"].image_on(xen_host.spec))
        with pytest.raises(ProvisioningFailed, match="cannot clone"):
            choose_strategy(xen_host, image, target).clone(image, target)
        with pytest.raises(InfrastructureError, match=f"MiB free in {storage}"):
            look_at(xen_host, ())
        assert not xen_host.shell.run(["ls", target]).ok
    finally:
        xen_host.shell.check(["rm", "-f", fill, f"{fill}2"])
    look_at(xen_host, ())


def test_what_a_killed_xl_leaves_half_made_is_found_and_taken_away(xen_host: Host, area: RunArea) -> None:
    spec = _still(area, xen_host, 90)
    # each domain that is there has an xl create of its own that waits for its end
    killer = f"while ! pkill -9 -f '[x]l create .*{spec.name}'; do :; done"
    killed = "xl create .*: ended by a signal"
    with xen_host.shell.stream(["sh", "-c", killer]), pytest.raises(CommandFailed, match=killed):
        xen_host.toolstack.create(spec)

    for item in _of(spec.name, xen_host, area):
        remove_leftover(xen_host.shell, xen_host.toolstack, item)
    assert _of(spec.name, xen_host, area) == []


# -- not survived


def _kill_model(guest: Guest) -> str:
    """Gives the process that was killed."""
    pid = guest.host.xenstore.read(f"{guest.store}/image/device-model-pid")
    guest.host.shell.check(["kill", "-9", pid])
    return pid


def test_a_device_model_that_is_killed_under_a_pv_guest_is_named_though_the_guest_goes_on(
    guest: Guest, tmp_path: Path
) -> None:
    watch = CrashWatch(guest)
    pid = _kill_model(guest)

    with pytest.raises(InfrastructureError, match=rf"device model of {guest.name} \(process {pid}\) is gone"):
        watch.check()
    assert guest.operations.boot_id().boot_id == guest.boot_id
    files = _evidence(guest, tmp_path)
    assert files >= _OF_HOST | {"xenstore.txt", "notes.txt"}
    assert "domain-config.txt" not in files, "libxl asks the device model for it"


def test_a_device_model_that_is_killed_under_a_guest_without_pv_drivers_is_the_labs_fault(
    boot: Callable[[str], Guest], area: RunArea, tmp_path: Path
) -> None:
    bare = boot("standin-bare")
    _kill_model(bare)
    error = _goes_wrong(bare)

    assert isinstance(error, InfrastructureError)
    assert f"the device model of {bare.name}" in str(error)
    assert _evidence(bare, tmp_path) >= _OF_HOST
    remove_guest(bare, area)
    assert _of(bare.name, bare.host, area) == []


def test_a_domain_that_somebody_destroys_is_the_labs_fault(
    guest: Guest, xen_host: Host, area: RunArea, tmp_path: Path
) -> None:
    xen_host.shell.check(["xl", "destroy", guest.name])
    error = _goes_wrong(guest)

    assert isinstance(error, InfrastructureError)
    assert f"somebody destroyed {guest.name}" in str(error)
    assert _evidence(guest, tmp_path) >= _OF_HOST
    strays = [
        item
        for item in leftovers(xen_host.shell, xen_host.toolstack, area.run_id, guest.domids)
        if item.passing
    ]
    assert strays == []


@pytest.fixture
def last(xen_host: Host) -> Iterator[None]:
    """After it the host is another one."""
    yield
    xen_host.close()


@pytest.mark.usefixtures("last")
def test_a_host_whose_power_was_cut_is_used_again_and_has_nothing_of_ours(
    xen_host: Host, xen_lab: RunningLab
) -> None:
    mark = "/run/before-the-cut"
    xen_host.shell.check(["touch", mark])
    xen_lab.reset()

    assert not xen_host.shell.run(["ls", mark], repeatable=True).ok
    assert [domain.name for domain in xen_host.toolstack.domains()] == ["Domain-0"]
