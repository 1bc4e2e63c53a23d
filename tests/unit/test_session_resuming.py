"""What is left of a run that died, and which build it may go on with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from results_examples import BUILD, SYNTHETIC, attempt, facts_of, run_facts

from harness.errors import ConfigurationError
from harness.model import Outcome
from harness.results import AttemptResult, RunRecorder, RunResults
from harness.results.replay import ENDED
from harness.session.dispatch import Task
from harness.session.planning import Plan
from harness.session.record import OUT_OF_TIME
from harness.session.resuming import check_same_build, still_to_run, words_of
from harness.session.slots import Slot

ENDED_WITH_THE_RUN = replace(attempt(Outcome.BROKEN), reason=ENDED)


def results(folder: Path, *attempts: Sequence[AttemptResult], **changes: object) -> RunResults:
    """Of a run in which the n-th test had these attempts."""
    tests = [facts_of(f"test_{number}") for number in range(len(attempts))]
    with RunRecorder(folder, run_facts(**changes), str) as recorder:
        recorder.collected(tests)
        for test, mine in zip(tests, attempts, strict=True):
            for one in mine:
                recorder.attempt_finished(test.id, one)
        return recorder.results()


def plan(number: int, skipped: Sequence[int] = ()) -> Plan:
    tests = [facts_of(f"test_{one}") for one in range(number)]
    return Plan(
        tests=tuple(tests),
        tasks=tuple(Task(test.id, test.id, "win", ("a",)) for test in tests),
        skipped={tests[one].id: "no iperf3" for one in skipped},
        slots=(Slot(1, "a"),),
        fresh_s=0,
    )


def left(before: RunResults, number: int) -> list[tuple[str, int]]:
    return [
        (task.id.rpartition("::")[2][:6], task.attempt) for task in still_to_run(plan(number), before).tasks
    ]


@pytest.mark.parametrize(
    "attempts",
    [
        [attempt()],
        [attempt(Outcome.FAILED)],
        [attempt(Outcome.BROKEN), attempt(Outcome.BROKEN, 2)],
        [attempt(Outcome.BROKEN), attempt(number=2)],
        [attempt(Outcome.SKIPPED, reason="no iperf3")],
    ],
)
def test_what_had_ended_is_not_repeated(tmp_path: Path, attempts: list[AttemptResult]) -> None:
    assert left(results(tmp_path, attempts), 1) == []


@pytest.mark.parametrize(
    ("attempts", "following"),
    [
        ([], 1),
        ([ENDED_WITH_THE_RUN], 2),
        ([attempt(Outcome.BROKEN)], 2),
        ([attempt(Outcome.BROKEN), replace(ENDED_WITH_THE_RUN, number=2)], 3),
        ([attempt(Outcome.SKIPPED, reason=OUT_OF_TIME)], 1),
    ],
)
def test_what_was_cut_off_gets_one_more_attempt(
    tmp_path: Path, attempts: list[AttemptResult], following: int
) -> None:
    assert left(results(tmp_path, attempts), 1) == [("test_0", following)]


def test_what_was_skipped_is_not_skipped_twice(tmp_path: Path) -> None:
    before = results(tmp_path, [attempt(Outcome.SKIPPED)], [])
    assert list(still_to_run(plan(2, skipped=[0, 1]), before).skipped) == [facts_of("test_1").id]


def test_it_is_called_with_the_same_words_but_runs(tmp_path: Path) -> None:
    before = results(tmp_path, argv=("scenarios", "--pv-hosts=hosts.ini", "--collect-only"))
    assert words_of(before) == ["scenarios", "--pv-hosts=hosts.ini"]


def test_the_same_build_goes_on_and_a_synthetic_one_whatever_its_signature(tmp_path: Path) -> None:
    check_same_build(results(tmp_path / "one"), BUILD)
    signed_anew = replace(
        SYNTHETIC, packages=tuple(replace(one, sha256="0" * 64) for one in SYNTHETIC.packages)
    )
    check_same_build(results(tmp_path / "two", driver_build=SYNTHETIC), signed_anew)
    check_same_build(results(tmp_path / "three", driver_build=None), None)


@pytest.mark.parametrize(
    "now",
    [
        None,
        replace(BUILD, packages=BUILD.packages[1:]),
        replace(BUILD, packages=tuple(replace(one, sha256="0" * 64) for one in BUILD.packages)),
        replace(BUILD, packages=tuple(replace(one, version="9.9.9.9") for one in BUILD.packages)),
    ],
)
def test_another_build_does_not_go_on(tmp_path: Path, now: object) -> None:
    with pytest.raises(ConfigurationError, match="another driver build"):
        check_same_build(results(tmp_path), now)  # type: ignore[arg-type]
