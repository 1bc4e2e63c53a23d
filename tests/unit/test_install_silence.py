"""Guests that fall silent while drivers go in: what is waited out, what is not, whose fault it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from install_fakes import (
    EMULATED_NIC,
    ENDED,
    QUICK,
    FakeGuest,
    lost,
)

from harness.errors import (
    GuestCrashed,
    GuestError,
    GuestHung,
    InfrastructureError,
    OperationFailed,
)
from harness.guest.deliver import Delivery
from harness.install import install as install_module
from harness.install import install_build
from harness.install.patience import run_job
from harness.model import Arch, GuestKind
from harness.operations import JobStarted, JobStatus, PendingReboot
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


def answers(*given: object) -> Iterator[object]:
    """One after the other; the last one again and again."""
    yield from given
    while True:
        yield given[-1]


def scripted(guest: FakeGuest, name: str, *given: object) -> None:
    feed = answers(*given)

    def answer(**_: object) -> object:
        found = next(feed)
        if isinstance(found, Exception):
            raise found
        return found

    guest.operations.answers[name] = answer


def job(guest: FakeGuest, **limits: float) -> JobStatus:
    wanted = {"seconds": 30.0} | limits
    return run_job(guest, lambda: guest.operations.install_package(inf="x"), subject="installing", **wanted)


def test_a_job_that_cuts_the_network_for_a_while_is_followed_to_its_end(guest: FakeGuest) -> None:
    scripted(guest, "job_status", lost(), GuestHung("silent"), JobStatus("running", None, "", ""), ENDED)

    assert job(guest) == ENDED
    assert guest.disconnects == 2, "each time by a fresh connection"


def test_an_answer_lost_while_a_job_starts_has_it_asked_for_again(guest: FakeGuest) -> None:
    scripted(guest, "install_package", lost(), JobStarted("second"))

    assert job(guest) == ENDED
    assert guest.operations.called("job_status") == [{"job": "second"}]


def test_a_network_that_does_not_come_back_is_no_hang(guest: FakeGuest) -> None:
    scripted(guest, "job_status", lost("for good"))

    with pytest.raises(GuestError, match="for good") as error:
        job(guest, seconds=0.1)
    assert not isinstance(error.value, GuestHung)


def test_a_guest_that_shows_no_life_is_a_hang(guest: FakeGuest) -> None:
    scripted(guest, "job_status", GuestHung("no life"))

    with pytest.raises(GuestHung, match="no life"):
        job(guest, seconds=0.1)


def test_a_job_that_never_ends_is_a_hang(guest: FakeGuest) -> None:
    scripted(guest, "job_status", JobStatus("running", None, "", ""))

    with pytest.raises(GuestHung, match="its job is running"):
        job(guest, seconds=0.1)


def test_a_job_that_vanished_is_said(guest: FakeGuest) -> None:
    scripted(guest, "job_status", JobStatus("lost", None, "", ""))

    with pytest.raises(GuestError, match="vanished without an exit code"):
        job(guest)


@pytest.mark.parametrize(
    "error",
    [
        GuestCrashed("bugcheck"),
        OperationFailed("job_status", "not-found", "no such job"),
        InfrastructureError("SSH is gone"),
    ],
)
def test_what_is_more_than_silence_is_not_waited_out(guest: FakeGuest, error: Exception) -> None:
    scripted(guest, "job_status", error)

    with pytest.raises(type(error)):
        job(guest, seconds=300)
    assert len(guest.operations.called("job_status")) == 1


def test_a_crash_names_the_driver_that_was_being_installed(guest: FakeGuest, build: DriverBuild) -> None:
    guest.operations.answers["job_status"] = GuestCrashed("state c")

    with pytest.raises(GuestCrashed, match=r"while xenbus 9.1.0.42 was installed"):
        install_build(guest, build, QUICK)


@pytest.mark.parametrize("kind", [GuestHung, GuestCrashed, GuestError])
def test_what_a_guest_comes_to_over_a_reboot_is_said_with_who_asked_for_it(
    guest: FakeGuest, build: DriverBuild, kind: type[GuestError]
) -> None:
    guest.operations.pending = [(PendingReboot("xenbus"),)]
    guest.lost_over_a_reboot = kind("win1 is lost")
    guest.operations.adapters = (EMULATED_NIC,)

    with pytest.raises(GuestError, match=r"win1 is lost, after the reboot \(.*xenbus_monitor") as error:
        install_build(guest, build, QUICK)
    assert type(error.value) is kind, "a crash stays a crash, a hang a hang"


def test_a_reboot_faster_than_its_answer_is_a_reboot(guest: FakeGuest, build: DriverBuild) -> None:
    guest.operations.pending = [(PendingReboot("xenvif"),)]

    def restart() -> None:
        guest.operations._restart()
        raise lost()

    guest.operations.answers["restart"] = restart

    assert install_build(guest, build, QUICK).reboots == 1
