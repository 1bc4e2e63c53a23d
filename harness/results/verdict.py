"""From attempts to a test's outcome, from outcomes to sheets, a verdict and an exit code. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.model import INSTALL_ORDER, DriverName, FailureKind, Outcome
from harness.results.model import (
    AttemptResult,
    DriverBuildFacts,
    DriverFound,
    DriverSheet,
    Overall,
    RunEnd,
    SheetVerdict,
    TestResult,
    Verdict,
)

__all__ = ["deciding_attempt", "exit_code", "needs_second_round", "verdict_of", "worst_outcome"]

_GRAVITY = (Outcome.SKIPPED, Outcome.PASSED, Outcome.EXPECTED, Outcome.BROKEN, Outcome.FAILED)
_RAN = (Outcome.PASSED, Outcome.FAILED, Outcome.EXPECTED)

# Both `pvhck run` and CI servers read these; 2 (configuration or usage) is found before there is a verdict.
_EXIT_CODES = {
    Overall.PASSED: 0,
    Overall.FAILED: 1,
    Overall.BROKEN: 3,
    Overall.NOTHING_RAN: 4,
    Overall.INTERRUPTED: 130,
}


def needs_second_round(attempts: Sequence[AttemptResult]) -> bool:
    """Whether a test is to be run again: once, and only when the infrastructure was at fault."""
    return len(attempts) == 1 and attempts[0].outcome is Outcome.BROKEN


def deciding_attempt(attempts: Sequence[AttemptResult]) -> AttemptResult:
    """The attempt whose outcome is the test's: the first that failed, else the last.

    A failure is never re-tried into green, whatever ran after it.

    Raises:
        ValueError: there is no attempt.
    """
    if not attempts:
        raise ValueError("a test without attempts has no outcome")
    for attempt in attempts:
        if attempt.outcome is Outcome.FAILED:
            return attempt
    return attempts[-1]


def worst_outcome(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The gravest: failed, broken, expected, passed, skipped; None of none."""
    return max(outcomes, key=_GRAVITY.index, default=None)


def exit_code(verdict: Verdict) -> int:
    """The exit code of ``pvhck run``."""
    return _EXIT_CODES[verdict.overall]


def verdict_of(
    tests: Sequence[TestResult],
    *,
    end: RunEnd,
    build: DriverBuildFacts | None = None,
    found: Sequence[DriverFound] = (),
) -> Verdict:
    """The verdict of a run, with a sheet for each of the five drivers."""
    outcomes = Counter(test.outcome for test in tests)
    kinds = Counter(test.kind for test in tests)
    return Verdict(
        overall=_overall(outcomes, end),
        counts={outcome: outcomes[outcome] for outcome in Outcome},
        kinds={kind: kinds[kind] for kind in FailureKind},
        drivers=tuple(_sheet(driver, tests, build, found) for driver in INSTALL_ORDER),
    )


def _overall(outcomes: Counter[Outcome], end: RunEnd) -> Overall:
    if end is not RunEnd.FINISHED:
        return Overall.INTERRUPTED
    if outcomes[Outcome.FAILED]:
        return Overall.FAILED
    if outcomes[Outcome.BROKEN]:
        return Overall.BROKEN
    if outcomes[Outcome.PASSED] or outcomes[Outcome.EXPECTED]:
        return Overall.PASSED
    return Overall.NOTHING_RAN


def _sheet(
    driver: DriverName,
    tests: Sequence[TestResult],
    build: DriverBuildFacts | None,
    found: Sequence[DriverFound],
) -> DriverSheet:
    naming = [test for test in tests if driver in test.drivers]
    deciding = [test for test in naming if set(test.drivers) == {driver} and test.outcome in _RAN]
    worst = worst_outcome([test.outcome for test in naming])
    verdict, note = _judged(naming, deciding, worst)
    mine = [one for one in found if one.driver is driver]
    ran = [test.guest.kind for test in naming if test.guest and test.outcome in _RAN]
    return DriverSheet(
        name=driver,
        version=_version(driver, build, mine),
        state=_state(driver, build, mine),
        verdict=verdict,
        worst=worst,
        tests=tuple(test.id for test in naming),
        deciding=tuple(test.id for test in deciding),
        guests=tuple(sorted(set(ran))),
        note=note,
    )


def _judged(
    naming: Sequence[TestResult], deciding: Sequence[TestResult], worst: Outcome | None
) -> tuple[SheetVerdict, str]:
    """A failure is shown even where it may be another driver's; only success needs a test of its own."""
    if worst in {Outcome.FAILED, Outcome.BROKEN}:
        return SheetVerdict(worst.value), ""
    if not naming:
        return SheetVerdict.NOT_JUDGED, "no test names this driver"
    if worst is Outcome.SKIPPED:
        return SheetVerdict.NOT_JUDGED, "every test that names this driver was skipped"
    if not deciding:
        return SheetVerdict.NOT_JUDGED, "no test that ran can fail for this driver alone"
    return SheetVerdict.EXPECTED if worst is Outcome.EXPECTED else SheetVerdict.PASSED, ""


def _version(driver: DriverName, build: DriverBuildFacts | None, mine: Sequence[DriverFound]) -> str:
    built = [package.version for package in build.packages if package.name is driver] if build else []
    seen = [one.version for one in mine if one.version]
    return ", ".join(sorted(set(built or seen)))


def _state(driver: DriverName, build: DriverBuildFacts | None, mine: Sequence[DriverFound]) -> str:
    """In words: one state if all guests agree, else each with the guests it was seen in."""
    if not mine:
        absent = build is not None and all(package.name is not driver for package in build.packages)
        return "not in the build" if absent else "not seen"
    guests: dict[str, list[str]] = {}
    for one in mine:
        where = f"{one.template} on {one.host}"
        guests.setdefault(one.state, []).append(where)
    if len(guests) == 1:
        return next(iter(guests))
    return "; ".join(f"{state} ({', '.join(sorted(set(guests[state])))})" for state in sorted(guests))
