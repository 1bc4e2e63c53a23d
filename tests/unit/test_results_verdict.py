"""Outcome, sheets, verdict, exit code: what would be said wrongly about a driver or a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from results_examples import BUILD, attempt, facts_of, guest, run_facts

from harness.model import DriverName, FailureKind, GuestKind, Outcome
from harness.results import (
    AttemptResult,
    DriverFound,
    DriverSheet,
    Overall,
    RunEnd,
    SheetVerdict,
    TestResult,
    exit_code,
    needs_second_round,
    verdict_of,
    worst_outcome,
)
from harness.results.events import AttemptFinished, Collected, RunFinished, RunStarted
from harness.results.replay import results_of
from harness.results.verdict import deciding_attempt

PASSED, FAILED, BROKEN = attempt(), attempt(Outcome.FAILED, kind=FailureKind.CRASH), attempt(Outcome.BROKEN)
SKIPPED, EXPECTED = attempt(Outcome.SKIPPED), attempt(Outcome.EXPECTED)


def results_with(*outcomes: tuple[AttemptResult, Sequence[DriverName]]) -> tuple[TestResult, ...]:
    facts = [facts_of(f"test_{n}", drivers=drivers) for n, (_, drivers) in enumerate(outcomes)]
    done = [AttemptFinished("", one.id, outcomes[n][0], ()) for n, one in enumerate(facts)]
    events = [
        RunStarted("", run_facts()),
        Collected("", tuple(facts)),
        *done,
        RunFinished("", RunEnd.FINISHED),
    ]
    return results_of(events).tests


def sheet_of(driver: DriverName, *outcomes: tuple[AttemptResult, Sequence[DriverName]]) -> DriverSheet:
    verdict = verdict_of(results_with(*outcomes), end=RunEnd.FINISHED, build=BUILD)
    return next(sheet for sheet in verdict.drivers if sheet.name is driver)


def test_a_failure_is_never_retried_into_green() -> None:
    later = attempt(Outcome.PASSED, 2)
    assert deciding_attempt([FAILED, later]) is FAILED
    assert deciding_attempt([BROKEN, attempt(Outcome.FAILED, 2), attempt(Outcome.PASSED, 3)]).number == 2


def test_a_broken_test_takes_its_outcome_from_the_second_attempt() -> None:
    again = attempt(Outcome.PASSED, 2)
    assert deciding_attempt([BROKEN, again]) is again


def test_a_test_without_attempts_has_no_outcome() -> None:
    with pytest.raises(ValueError, match="without attempts"):
        deciding_attempt([])


@pytest.mark.parametrize(
    "attempts", [[FAILED], [PASSED], [SKIPPED], [EXPECTED], [BROKEN, BROKEN], [BROKEN, PASSED], []]
)
def test_nothing_runs_again_but_what_the_lab_broke_once(attempts: list[AttemptResult]) -> None:
    assert needs_second_round([BROKEN])
    assert not needs_second_round(attempts)


def test_worst_outcome_puts_failed_before_broken_and_nothing_before_skipped() -> None:
    assert worst_outcome([Outcome.PASSED, Outcome.BROKEN, Outcome.FAILED]) is Outcome.FAILED
    assert worst_outcome([Outcome.SKIPPED, Outcome.PASSED]) is Outcome.PASSED
    assert worst_outcome([]) is None


@pytest.mark.parametrize(
    ("attempts", "end", "overall", "code"),
    [
        ([PASSED, SKIPPED, EXPECTED], RunEnd.FINISHED, Overall.PASSED, 0),
        ([EXPECTED], RunEnd.FINISHED, Overall.PASSED, 0),
        ([PASSED, FAILED, BROKEN], RunEnd.FINISHED, Overall.FAILED, 1),
        ([PASSED, BROKEN], RunEnd.FINISHED, Overall.BROKEN, 3),
        ([SKIPPED], RunEnd.FINISHED, Overall.NOTHING_RAN, 4),
        ([], RunEnd.FINISHED, Overall.NOTHING_RAN, 4),
        ([PASSED, FAILED], RunEnd.INTERRUPTED, Overall.INTERRUPTED, 130),
        ([PASSED], RunEnd.KILLED, Overall.INTERRUPTED, 130),
    ],
)
def test_exit_code_says_whose_fault_it_was(
    attempts: list[AttemptResult], end: RunEnd, overall: Overall, code: int
) -> None:
    verdict = verdict_of(results_with(*((one, ()) for one in attempts)), end=end)
    assert (verdict.overall, exit_code(verdict)) == (overall, code)


def test_counts_hold_every_outcome_and_every_kind_also_those_that_did_not_occur() -> None:
    verdict = verdict_of(results_with((FAILED, ()), (PASSED, ())), end=RunEnd.FINISHED)
    assert dict(verdict.counts) == {one: int(one in {Outcome.FAILED, Outcome.PASSED}) for one in Outcome}
    assert dict(verdict.kinds) == {one: int(one is FailureKind.CRASH) for one in FailureKind}


D = DriverName


@pytest.mark.parametrize(
    ("outcomes", "verdict", "note"),
    [
        ([], SheetVerdict.NOT_JUDGED, "no test names this driver"),
        ([(PASSED, [D.XENNET])], SheetVerdict.PASSED, ""),
        (
            [(PASSED, [D.XENVIF, D.XENNET])],
            SheetVerdict.NOT_JUDGED,
            "no test that ran can fail for this driver alone",
        ),
        ([(PASSED, [D.XENVIF, D.XENNET]), (PASSED, [D.XENNET])], SheetVerdict.PASSED, ""),
        (
            [(PASSED, [D.XENVIF, D.XENNET]), (SKIPPED, [D.XENNET])],
            SheetVerdict.NOT_JUDGED,
            "no test that ran can fail for this driver alone",
        ),
        ([(SKIPPED, [D.XENNET])], SheetVerdict.NOT_JUDGED, "every test that names this driver was skipped"),
        ([(FAILED, [D.XENVIF, D.XENNET])], SheetVerdict.FAILED, ""),
        ([(PASSED, [D.XENNET]), (BROKEN, [D.XENNET])], SheetVerdict.BROKEN, ""),
        ([(PASSED, [D.XENNET]), (EXPECTED, [D.XENNET])], SheetVerdict.EXPECTED, ""),
        ([(PASSED, [D.XENNET]), (SKIPPED, [D.XENNET])], SheetVerdict.PASSED, ""),
    ],
)
def test_a_sheet_is_green_only_if_a_test_could_have_failed_for_this_driver_alone(
    outcomes: list[tuple[AttemptResult, Sequence[DriverName]]], verdict: SheetVerdict, note: str
) -> None:
    sheet = sheet_of(D.XENNET, *outcomes)
    assert (sheet.verdict, sheet.note) == (verdict, note)


def test_a_failure_of_one_driver_stays_off_the_sheets_of_the_others() -> None:
    mixed = [(FAILED, [D.XENVBD]), (PASSED, [D.XENNET])]
    assert sheet_of(D.XENVBD, *mixed).worst is Outcome.FAILED
    assert sheet_of(D.XENNET, *mixed).verdict is SheetVerdict.PASSED


def test_a_sheet_names_the_kinds_of_guests_it_was_judged_on() -> None:
    assert sheet_of(D.XENNET, (PASSED, [D.XENNET])).guests == (GuestKind.SIMULATED,)
    assert sheet_of(D.XENNET, (SKIPPED, [D.XENNET])).guests == ()


def test_every_run_has_five_sheets_in_install_order() -> None:
    assert [sheet.name for sheet in verdict_of((), end=RunEnd.FINISHED).drivers] == list(DriverName)


def test_a_sheet_tells_guests_apart_when_they_disagree_and_is_short_when_they_agree() -> None:
    found = [DriverFound(D.XENVBD, "9.1", "verified", "h", template) for template in ("a", "b")]

    def state(*more: DriverFound) -> str:
        return verdict_of((), end=RunEnd.FINISHED, found=[*found, *more]).drivers[4].state

    assert state() == "verified"
    bad = DriverFound(D.XENVBD, "9.1", "problem code 28", "h", "c")
    assert state(bad) == "problem code 28 (c on h); verified (a on h, b on h)"


def test_versions_come_from_the_build_and_without_one_from_the_guests() -> None:
    seen = [DriverFound(D.XENBUS, "8.2", "verified", "h", "t")]
    assert verdict_of((), end=RunEnd.FINISHED, build=BUILD, found=seen).drivers[0].version == "9.1.2031.0"
    assert verdict_of((), end=RunEnd.FINISHED, found=seen).drivers[0].version == "8.2"


def test_a_driver_that_the_build_lacks_is_said_to_be_absent() -> None:
    partial = replace(BUILD, packages=BUILD.packages[:2])
    states = [sheet.state for sheet in verdict_of((), end=RunEnd.FINISHED, build=partial).drivers]
    assert states == ["not seen", *["not in the build"] * 4]


def test_a_test_keeps_its_guest_kind_when_it_was_skipped() -> None:
    (test,) = results_with((SKIPPED, ()))
    assert test.guest == guest()
