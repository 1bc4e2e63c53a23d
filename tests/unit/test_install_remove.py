"""Drivers out of a guest again: order, reboots, silence, what is left behind."""

from pathlib import Path

import pytest
from install_fakes import (
    EMULATED_DISK,
    EMULATED_NIC,
    ENDED,
    QUICK,
    FakeGuest,
    device,
    lost,
)

from harness.errors import (
    GuestError,
)
from harness.guest.deliver import Delivery
from harness.install import install as install_module
from harness.install import install_build, uninstall_build
from harness.install.folder import guest_path
from harness.model import INSTALL_ORDER, Arch, DriverName, GuestKind
from harness.operations import DriverPackage, JobStarted, JobStatus
from harness.package import DriverBuild, load_build, make_build


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> DriverBuild:
    folder: Path = tmp_path_factory.mktemp("build") / "b"
    return load_build(make_build(folder, version="9.1.0.42", arches=[Arch.X64]))


@pytest.fixture
def guest(build: DriverBuild, monkeypatch: pytest.MonkeyPatch) -> FakeGuest:
    """A guest whose drivers work as soon as it is asked; a file reaches it by itself."""
    found = FakeGuest(GuestKind.SIMULATED)
    found.with_drivers(build)
    monkeypatch.setattr(install_module, "deliver", lambda _, source, target: Delivery(target))
    return found


def stored(*names: DriverName, version: str = "9.1.0.42") -> tuple[DriverPackage, ...]:
    return tuple(
        DriverPackage(f"oem{number}.inf", f"{name}.inf", "", "", version) for number, name in enumerate(names)
    )


def bare(guest: FakeGuest) -> None:
    guest.operations.devices = guest.operations.running = ()
    guest.operations.adapters, guest.operations.drives = (EMULATED_NIC,), (EMULATED_DISK,)


def test_removal_goes_backwards_and_always_reboots(guest: FakeGuest, build: DriverBuild) -> None:
    bare(guest)
    guest.operations.stored = stored(*INSTALL_ORDER)

    report = uninstall_build(guest, build, QUICK)

    assert report.removed == ("oem4.inf", "oem3.inf", "oem2.inf", "oem1.inf", "oem0.inf")
    assert report.reboots == 1
    assert report.verification.ok


def test_every_version_of_a_package_is_removed_and_no_other_package(
    guest: FakeGuest, build: DriverBuild
) -> None:
    bare(guest)
    other = DriverPackage("oem9.inf", "other.inf", "", "", "1.0.0.0")
    old = DriverPackage("oem7.inf", "XENVIF.INF", "", "", "8.2.0.1")
    guest.operations.stored = (*stored(DriverName.XENVIF), old, other)

    report = uninstall_build(guest, build, QUICK)

    assert set(report.removed) == {"oem0.inf", "oem7.inf"}
    assert guest.operations.stored == (other,)


def test_a_guest_that_falls_silent_is_rebooted_from_outside(
    guest: FakeGuest, build: DriverBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.install.remove._SILENCE_S", 0.05)
    bare(guest)
    guest.operations.stored = stored(DriverName.XENNET)

    def status(job: str) -> JobStatus:
        if guest.silent:
            raise lost()
        return ENDED

    def uninstall(published: str) -> JobStarted:
        guest.silent = True
        return guest.operations._uninstall_package(published)

    guest.operations.answers |= {"job_status": status, "uninstall_package": uninstall}

    report = uninstall_build(guest, build, QUICK)

    assert guest.host.toolstack.asked == ["reboot"]
    assert report.reboots == 2
    assert report.removed == ("oem0.inf",)
    assert report.verification.ok


def test_what_is_left_behind_is_laid_at_its_drivers_door(guest: FakeGuest, build: DriverBuild) -> None:
    guest.operations.adapters, guest.operations.drives = (), (EMULATED_DISK,)
    guest.operations.stored = stored(DriverName.XENVIF)
    guest.operations.answers["uninstall_package"] = lambda **_: JobStarted("x")
    guest.operations.devices = (device(build.package(DriverName.XENBUS)),)

    found = uninstall_build(guest, build, QUICK).verification

    assert "still in the driver store as oem0.inf" in "; ".join(found.of(DriverName.XENVIF))
    assert "still has a driver" in "; ".join(found.of(DriverName.XENBUS))
    assert "service xenfilt still runs" in "; ".join(found.of(DriverName.XENBUS))
    assert "is gone though no driver replaces it" in "; ".join(found.of(DriverName.XENVIF))


def test_the_platform_device_without_a_driver_is_as_it_should_be(
    guest: FakeGuest, build: DriverBuild
) -> None:
    bare(guest)
    unbound = device(build.package(DriverName.XENBUS), problem=28, service="", driver_version="")
    guest.operations.devices = (unbound,)

    assert uninstall_build(guest, build, QUICK).verification.ok


def test_the_balloon_is_emptied_before_drivers_go(guest: FakeGuest, build: DriverBuild) -> None:
    bare(guest)
    guest.host.toolstack.domain.memory_mib = 256
    guest.host.xenstore.nodes |= {
        "/local/domain/7/memory/target": str(256 << 10),
        "/local/domain/7/memory/videoram": "8192",
        "/local/domain/7/memory/static-max": str(512 << 10),
    }

    uninstall_build(guest, build, QUICK)

    assert guest.host.toolstack.asked == ["memory 512"]


def test_a_guest_at_its_full_memory_is_left_alone(guest: FakeGuest, build: DriverBuild) -> None:
    guest.host.xenstore.nodes |= {
        "/local/domain/7/memory/target": str((512 << 10) - 8192),
        "/local/domain/7/memory/videoram": "8192",
        "/local/domain/7/memory/static-max": str(512 << 10),
    }

    install_build(guest, build, QUICK)

    assert guest.host.toolstack.asked == []


def test_a_balloon_that_keeps_its_memory_stops_the_removal(guest: FakeGuest, build: DriverBuild) -> None:
    guest.host.xenstore.nodes |= {
        "/local/domain/7/memory/target": str(256 << 10),
        "/local/domain/7/memory/static-max": str(512 << 10),
    }
    guest.host.toolstack.domain.memory_mib = 256
    guest.host.toolstack.set_memory = lambda name, mib: 0

    with pytest.raises(GuestError, match="balloon has to be empty"):
        uninstall_build(guest, build, QUICK)
    assert guest.operations.called("uninstall_package") == []


# -- delivery


def test_paths_are_those_of_the_guests_system() -> None:
    assert guest_path(GuestKind.WINDOWS, "a", "b.inf") == "C:\\ProgramData\\pvhck\\build\\a\\b.inf"
    assert guest_path(GuestKind.STAND_IN, "a", "b.inf") == "/var/lib/pvhck/build/a/b.inf"
