"""A run over several slots: its workers, what becomes of it when one dies, and of hosts others have."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_lab import KeptLab, Said, kept_lab, pvhck
from slot_runs import SlotRun, ended, nothing_lies_there, outcomes, runs

from harness.model import Outcome
from harness.results import RunEnd
from harness.results.recorder import EVENTS


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptLab]:
    with kept_lab(tmp_path_factory.mktemp("kept")) as kept:
        yield kept


def test_two_slots_run_two_tests_at_once_and_leave_nothing(tmp_path: Path, lab: KeptLab) -> None:
    run = SlotRun(tmp_path, lab.hosts_ini())
    with run.command as command:
        command.wait_for(run.both_under_way, "two tests at once")
        names = {path.name[-2:] for path in tmp_path.glob("[ot][nw][eo]-*")}
        run.go()
        said = command.end()
    said.demand(1, "1 of 4 tests failed", "3 passed", "the guest has no such key")
    assert names == {"s1", "s2"}
    assert outcomes(run.results()) == {
        "test_one": [Outcome.PASSED],
        "test_two": [Outcome.PASSED],
        "test_by_itself": [Outcome.PASSED],
        "test_fails": [Outcome.FAILED],
    }
    failed = next(test for test in run.results().tests if test.outcome is Outcome.FAILED)
    assert failed.evidence
    assert all((run.home / path).exists() for path in failed.evidence)
    assert list((tmp_path / "tmp").iterdir()) == []
    nothing_lies_there(lab)


def test_the_test_of_a_killed_worker_is_broken_and_runs_again_and_nothing_of_it_stays(
    tmp_path: Path, lab: KeptLab
) -> None:
    run = SlotRun(tmp_path, lab.hosts_ini(), "-k", "one or two")
    with run.command as command:
        command.wait_for(run.both_under_way, "two tests at once")
        victim = run.process_at("one")
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        command.wait_for(lambda: "the process that ran it died" in (run.home / EVENTS).read_text(), "notice")
        run.go()
        said = command.end()
    said.demand(0, "died", "2 passed")
    assert outcomes(run.results()) == {
        "test_one": [Outcome.BROKEN, Outcome.PASSED],
        "test_two": [Outcome.PASSED],
    }
    assert any("died" in warning for warning in run.results().run.warnings)
    nothing_lies_there(lab)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_all_workers_tidy_up_and_the_results_are_kept(
    tmp_path: Path, lab: KeptLab, number: signal.Signals
) -> None:
    run = SlotRun(tmp_path, lab.hosts_ini(), "-k", "one or two")
    with run.command as command:
        command.wait_for(run.both_under_way, "two tests at once")
        workers = [run.process_at("one"), run.process_at("two")]
        command.signal(number)
        said = command.end()
    said.demand(130, "Interrupted")
    assert run.results().run.end is RunEnd.INTERRUPTED
    assert {outcome for found in outcomes(run.results()).values() for outcome in found} == {Outcome.BROKEN}
    for worker in workers:
        assert worker is not None
        assert not runs(worker)
    nothing_lies_there(lab)


def test_when_the_controller_is_killed_its_workers_end_and_the_host_is_free_for_the_next_run(
    tmp_path: Path, lab: KeptLab
) -> None:
    run = SlotRun(tmp_path / "killed", lab.hosts_ini(), "-k", "one or two")
    with run.command as command:
        command.wait_for(run.both_under_way, "two tests at once")
        workers = [run.process_at("one"), run.process_at("two")]
        command.signal(signal.SIGKILL)
        assert command.end().code == -signal.SIGKILL
    for worker in workers:
        assert worker is not None
        ended(worker)
    following = SlotRun(tmp_path / "next", lab.hosts_ini(), "-k", "fails")
    with following.command as command:
        command.end().demand(1, "1 of 1 test failed")
    nothing_lies_there(lab)


def test_when_the_time_is_over_no_test_begins_any_more(tmp_path: Path, lab: KeptLab) -> None:
    run = SlotRun(tmp_path, lab.hosts_ini(), "--max-time", "0")
    with run.command as command:
        command.end().demand(4, "--max-time")
    assert {test.outcome for test in run.results().tests} == {Outcome.SKIPPED}
    nothing_lies_there(lab)


def test_a_full_disk_ends_the_run_and_its_guests_with_it(tmp_path: Path, lab: KeptLab) -> None:
    room = 3000  # bytes of a file: enough to begin with
    run = SlotRun(tmp_path, lab.hosts_ini(), room=room)
    run.go()
    with run.command as command:
        command.end().demand(3, "cannot write", "events.jsonl", "choose another reports folder")
    assert (run.home / EVENTS).stat().st_size <= room
    nothing_lies_there(lab)


# -- hosts that others have


def test_a_host_that_another_run_has_is_left_alone_and_named(tmp_path: Path, lab: KeptLab) -> None:
    first = SlotRun(tmp_path / "first", lab.hosts_ini(), "-k", "one or two")
    with first.command as command:
        command.wait_for(first.both_under_way, "the first run")
        run_id = first.home.resolve().name
        second = SlotRun(tmp_path / "second", lab.hosts_ini(), "-k", "one or two")
        with second.command as other:
            other.end().demand(3, "host far takes no part", f"run {run_id} of", "2 broken")
        status = pvhck(tmp_path / "status", "lab", "status", "--hosts", lab.hosts_ini())
        status.demand(0, f"held by run {run_id} of")
        doctor = pvhck(tmp_path / "doctor", "doctor", "--hosts", lab.hosts_ini())
        doctor.demand(0, "no clone is booted", run_id)
        assert len(lab.guests) == 2, "the second run took the guests of the first"
        first.go()
        command.end().demand(0, "2 passed")
    nothing_lies_there(lab)


def test_a_run_waits_for_a_busy_host_as_long_as_it_is_told_to(tmp_path: Path, lab: KeptLab) -> None:
    first = SlotRun(tmp_path / "first", lab.hosts_ini(), "-k", "one or two")
    with first.command as command:
        command.wait_for(first.both_under_way, "the first run")
        second = SlotRun(tmp_path / "second", lab.hosts_ini(), "-k", "fails", "--wait", "2")
        with second.command as other:
            other.wait_for(
                lambda: second.home.exists() and "waiting for host" in (second.home / EVENTS).read_text(),
                "waiting",
            )
            first.go()
            command.end().demand(0, "2 passed")
            other.end().demand(1, "1 of 1 test failed")


def test_a_reserved_host_is_no_others(tmp_path: Path, lab: KeptLab) -> None:
    hosts = lab.hosts_ini()
    mine = pvhck(tmp_path, "lab", "reserve", "--hosts", hosts, "far", "--for", "60", "--reason", "XENVBD")
    mine.demand(0, "far is reserved for", "XENVBD")
    pvhck(tmp_path, "lab", "status", "--hosts", hosts).demand(0, "reserved for", "XENVBD")
    stranger = {"LOGNAME": "somebody"}
    run = pvhck(tmp_path / "run", "run", "--hosts", hosts, "-k", "test_xeniface_works", env=stranger)
    run.demand(3, "host far is taken", "XENVBD")
    release = ("lab", "release", "--hosts", hosts, "far")
    pvhck(tmp_path, *release, env=stranger).demand(3, "host far is taken", "--force")
    pvhck(tmp_path, *release).demand(0, "no longer reserved for")
    pvhck(tmp_path, *release).demand(0, "it was not reserved")


def test_a_host_under_maintenance_is_not_asked(tmp_path: Path, lab: KeptLab) -> None:
    hosts = lab.hosts_ini()
    words = ("lab", "maintenance", "--hosts", hosts, "far")
    pvhck(tmp_path, *words, "--reason", "new disks").demand(0, "far: under maintenance")
    pvhck(tmp_path, "lab", "status", "--hosts", hosts).demand(0, "health: maintenance since", "new disks")
    _refused(pvhck(tmp_path, "run", "--hosts", hosts, "-k", "test_xeniface_works"))
    pvhck(tmp_path, *words, "--end").demand(0, "may be used again")
    pvhck(tmp_path, *words, "--end").demand(0, "was not under maintenance")


def _refused(said: Said) -> None:
    said.demand(3, "under maintenance: new disks", "pvhck lab maintenance far --end")
