"""What is done with a guest after its crash, and that nothing of it can make the verdict another one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.deadline import Deadline, WaitTimedOut
from harness.dump import Bugcheck, Crash
from harness.errors import GuestCrashed, HostUnreachable, InfrastructureError
from harness.evidence import Fetched, WantedDumps
from harness.model import Arch, DriverName, FailureKind, Outcome
from harness.package import load_build, make_build
from harness.session import aftermath
from harness.session.attempt import Attempt
from harness.session.outcome import Judgement

D1 = Bugcheck(0xD1, (0x28, 2, 0, 0xFFFFF80012341A3F))
TOLD = Crash(D1)
READ = Crash(D1, "xenvif.sys")
OTHER = Crash(Bugcheck(0x9F, (3, 0, 0, 0)))


def domain(**changes: object) -> SimpleNamespace:
    state = {"domid": 7, "crashed": False, "shutdown": False, "paused": False, "memory_mib": 128}
    return SimpleNamespace(**(state | changes))


@dataclass
class FakeGuest:
    """Writes down what is done to it; ``found`` is its domain, or the error of looking for it."""

    found: Any = field(default_factory=lambda: domain(crashed=True))
    coming: Exception | None = None
    done: list[str] = field(default_factory=list)
    name: str = "win1"

    @property
    def host(self) -> SimpleNamespace:
        def find(_: str) -> Any:
            if isinstance(self.found, Exception):
                raise self.found
            return self.found

        toolstack = SimpleNamespace(find=find, dmesg=lambda: "")
        return SimpleNamespace(toolstack=toolstack, name="xen1")

    def deadline(self, seconds: float) -> Deadline:
        return Deadline.after(seconds)

    def break_(self) -> None:
        self.done.append("broken")

    def kill(self) -> None:
        self.done.append("killed")

    def start(self) -> None:
        self.done.append("started")

    def wait_ready(self, deadline: Deadline) -> str:
        self.done.append("awaited")
        if self.coming is not None:
            raise self.coming
        return "boot"


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Callable[[Fetched | Exception], None]:
    def answer(what: Fetched | Exception) -> None:
        def fetch(*_: object) -> Fetched:
            if isinstance(what, Exception):
                raise what
            return what

        monkeypatch.setattr(aftermath, "fetch_dumps", fetch)

    return answer


def after(guest: Any, folder: Path, told: Crash | None = TOLD, **changes: bool) -> tuple[Any, str]:
    asked = {"may_reset": True} | changes
    came = aftermath.look_after(guest, folder / "e", told, WantedDumps(), redact=str, **asked)
    notes = folder / "e" / "notes.txt"
    return came, notes.read_text() if notes.exists() else ""


def test_a_crashed_guest_is_started_again_from_its_disk_and_its_dumps_are_brought(tmp_path, fetched):
    fetched(Fetched(("minidump-1.dmp", "crash.txt"), READ))
    guest = FakeGuest()

    came, notes = after(guest, tmp_path)

    assert guest.done == ["broken", "killed", "started", "awaited"]
    assert came.files == ("minidump-1.dmp", "crash.txt")
    assert came.crash == READ, "the dump knows the module"
    assert notes == ""


def test_one_that_restarted_by_itself_is_only_waited_for(tmp_path, fetched):
    fetched(Fetched(("crash.txt",), READ))
    guest = FakeGuest(domain())

    after(guest, tmp_path)

    assert guest.done == ["broken", "awaited"]


def test_one_whose_domain_is_gone_is_started_again(tmp_path, fetched):
    fetched(Fetched())
    guest = FakeGuest(None)

    after(guest, tmp_path)

    assert "started" in guest.done


def test_one_that_people_want_to_keep_is_left_as_it_is(tmp_path, fetched):
    fetched(AssertionError("it cannot be asked"))
    guest = FakeGuest()

    came, notes = after(guest, tmp_path, may_reset=False)

    assert guest.done == ["broken"]
    assert (came.crash, came.files) == (TOLD, ("notes.txt",))
    assert "is left as it is" in notes


@pytest.mark.parametrize(
    "error",
    [
        WaitTimedOut("win1 answers by WinRM", 300, "no address yet"),
        GuestCrashed("win1 crashed while it booted"),
        HostUnreachable("connection lost"),
        OSError(28, "No space left on device"),
        ValueError("a mistake of ours"),
    ],
)
def test_one_that_does_not_come_back_is_a_note_and_no_second_failure(tmp_path, fetched, error):
    came, notes = after(FakeGuest(coming=error), tmp_path)

    assert came.crash == TOLD
    assert came.files == ("notes.txt",)
    assert f"does not come back with them: {type(error).__name__}" in notes


def test_a_host_that_is_gone_is_a_note_too(tmp_path, fetched):
    came, notes = after(FakeGuest(HostUnreachable("connection lost")), tmp_path, told=None)

    assert came.crash is None
    assert "HostUnreachable: connection lost" in notes


def test_a_folder_that_cannot_be_written_is_no_second_failure(tmp_path, fetched):
    (tmp_path / "e").write_text("a file in the place of the folder")

    came = aftermath.look_after(
        FakeGuest(coming=GuestCrashed("again")),
        tmp_path / "e",
        TOLD,
        WantedDumps(),
        may_reset=True,
        redact=str,
    )

    assert came == aftermath.Aftermath((), TOLD)


@pytest.mark.parametrize(
    ("told", "read", "agreed"),
    [
        (TOLD, READ, READ),
        (READ, TOLD, READ),
        (None, READ, READ),
        (TOLD, None, TOLD),
        (OTHER, READ, OTHER),
        (None, None, None),
    ],
)
def test_host_and_dump_are_put_together_and_the_host_wins_when_they_differ(
    tmp_path, fetched, told, read, agreed
):
    fetched(Fetched((), read))

    came, notes = after(FakeGuest(), tmp_path, told=told)

    assert came.crash == agreed
    assert ("it may be an older one" in notes) == (told is OTHER)


@pytest.mark.parametrize(
    ("found", "down"),
    [
        (domain(crashed=True), True),
        (domain(domid=8), True),
        (domain(), False),
        (None, False),
        (HostUnreachable("gone"), False),
    ],
)
def test_whether_an_nmi_brought_a_guest_down(found, down):
    assert aftermath.came_down(FakeGuest(found), 7) is down


def test_a_log_that_cannot_be_read_tells_of_no_crash():
    watch = SimpleNamespace(crash=lambda: (_ for _ in ()).throw(InfrastructureError("xl dmesg: gone")))

    assert aftermath.crash_heard(FakeGuest(), watch) is None


def test_the_reason_of_a_test_names_the_crash_once():
    attempt = Attempt(1)
    attempt.add(Judgement(Outcome.FAILED, FailureKind.CRASH, "win1 crashed"))

    attempt.take(["evidence/x/crash.txt"], READ)
    attempt.take([], READ)

    assert attempt.judgement.reason == "win1 crashed; 0xD1 DRIVER_IRQL_NOT_LESS_OR_EQUAL in xenvif.sys"
    assert attempt.crash == READ


def test_a_reason_that_knows_less_gets_the_module_too():
    attempt = Attempt(1)
    attempt.add(Judgement(Outcome.FAILED, FailureKind.CRASH, f"win1: {TOLD}"))

    attempt.take([], READ)

    assert "in xenvif.sys" in attempt.judgement.reason


def test_a_hang_has_no_signature_for_its_bugcheck_is_our_own_nmi():
    attempt = Attempt(1)
    attempt.add(Judgement(Outcome.FAILED, FailureKind.HANG, "win1 is silent"))

    attempt.take(["evidence/x/minidump-1.dmp"], Crash(Bugcheck(0x80, (0, 0, 0, 0))))

    assert (attempt.crash, attempt.judgement.reason) == (None, "win1 is silent")
    assert attempt.evidence == ["evidence/x/minidump-1.dmp"]


def test_pdbs_of_the_guest_s_architecture_are_kept_from_both_builds(tmp_path: Path):
    builds = [
        load_build(make_build(tmp_path / version, version=version, names=[DriverName.XENVIF]))
        for version in ("9.1.0.1", "9.1.0.2")
    ]

    said = aftermath.keep_all_symbols([*builds, None], Arch.X64, tmp_path / "symbols")

    assert said == ""
    assert len(list((tmp_path / "symbols" / "xenvif.pdb").iterdir())) == 2


def test_pdbs_that_cannot_be_kept_are_said(tmp_path: Path):
    (tmp_path / "symbols").write_text("in the way")
    build = load_build(make_build(tmp_path / "b", version="9.1.0.1", names=[DriverName.XENVIF]))

    assert "PDBs are not kept" in aftermath.keep_all_symbols([build], Arch.X64, tmp_path / "symbols")
