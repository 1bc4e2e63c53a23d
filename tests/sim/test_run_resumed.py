"""A run that died goes on where it was: what had ended is not repeated, what it left is swept."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_lab import KeptLab, kept_lab, pvhck
from slot_runs import SlotRun, ended, nothing_lies_there, outcomes

from harness.model import Arch, Outcome
from harness.package.synthetic import make_build
from harness.results import RunEnd

PASSED, FAILED, BROKEN = Outcome.PASSED, Outcome.FAILED, Outcome.BROKEN


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptLab]:
    with kept_lab(tmp_path_factory.mktemp("kept")) as kept:
        yield kept


def killed(run: SlotRun) -> None:
    """The run, in the middle of two tests, after the other two have ended."""
    with run.command as command:
        command.wait_for(run.both_under_way, "two tests at once")
        workers = [run.process_at("one"), run.process_at("two")]
        command.signal(signal.SIGKILL)
        command.end()
    for worker in workers:
        assert worker is not None
        ended(worker)


def test_what_was_under_way_runs_once_more_and_what_had_ended_does_not(tmp_path: Path, lab: KeptLab) -> None:
    run = SlotRun(tmp_path, lab.hosts_ini(), "-k", "one or two")
    killed(run)
    before = run.results()
    assert before.run.end is RunEnd.KILLED
    assert outcomes(before) == {"test_one": [BROKEN], "test_two": [BROKEN]}

    run.go()
    said = pvhck(tmp_path, "run", "--resume", "latest")
    said.demand(0, f"run {before.run.id} goes on: 2 of 2 tests are left", "2 passed")
    after = run.results()
    assert (after.run.id, after.run.end) == (before.run.id, RunEnd.FINISHED)
    assert outcomes(after) == {"test_one": [BROKEN, PASSED], "test_two": [BROKEN, PASSED]}
    assert after.run.started == before.run.started
    nothing_lies_there(lab)

    again = pvhck(tmp_path, "run", "--resume", before.run.id)
    again.demand(0, "0 of 2 tests are left", "2 passed")
    assert outcomes(run.results()) == outcomes(after)


def test_an_interrupted_run_goes_on_too(tmp_path: Path, lab: KeptLab) -> None:
    run = SlotRun(tmp_path, lab.hosts_ini(), "-k", "fails or by_itself or one", "-j", "1")
    with run.command as command:
        command.wait_for(lambda: run.process_at("one") is not None, "the test that waits")
        command.signal(signal.SIGINT)
        command.end().demand(130)
    had_ended = {name for name, found in outcomes(run.results()).items() if found != [BROKEN]}
    run.go()
    pvhck(tmp_path, "run", "--resume", "latest").demand(1, "1 of 3 tests failed")
    found = outcomes(run.results())
    assert found["test_fails"] == [FAILED]
    assert found["test_one"] == [BROKEN, PASSED]
    assert found["test_by_itself"] == [PASSED]
    assert had_ended <= {"test_fails", "test_by_itself"}
    nothing_lies_there(lab)


def test_tests_for_which_the_time_was_over_run_when_it_goes_on(tmp_path: Path, lab: KeptLab) -> None:
    run = SlotRun(tmp_path, lab.hosts_ini(), "-k", "fails", "--max-time", "0")
    with run.command as command:
        command.end().demand(4)
    # the limit is part of what the run was asked for
    pvhck(tmp_path, "run", "--resume", "latest").demand(4, "1 of 1 tests are left")


def test_a_run_that_goes_on_is_left_alone(tmp_path: Path, lab: KeptLab) -> None:
    run = SlotRun(tmp_path, lab.hosts_ini(), "-k", "one or two")
    with run.command as command:
        command.wait_for(run.both_under_way, "two tests at once")
        pvhck(tmp_path / "other", "run", "--reports", tmp_path / "reports", "--resume", "latest").demand(
            2, "still goes on"
        )
        run.go()
        command.end().demand(0, "2 passed")


def test_a_run_does_not_go_on_with_another_build(tmp_path: Path, lab: KeptLab) -> None:
    build = make_build(tmp_path / "build", version="9.1.0.2", arches=[Arch.X64])
    run = SlotRun(tmp_path, lab.hosts_ini(), "-k", "one or two", "--build", build)
    killed(run)
    for path in sorted(build.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    make_build(tmp_path / "build", version="9.1.0.3", arches=[Arch.X64])
    pvhck(tmp_path, "run", "--resume", "latest").demand(2, "judged another driver build")


def test_a_run_that_is_not_there_cannot_go_on(tmp_path: Path) -> None:
    pvhck(tmp_path, "run", "--resume", "latest").demand(2, "no run latest")
