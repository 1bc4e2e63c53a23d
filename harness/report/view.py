"""What the page shows, worked out before the template: it only lays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.model import Area, GuestKind, Outcome
from harness.report.exhibits import Exhibit, Exhibits
from harness.report.measured import MeasuredRow, measured_rows
from harness.report.words import (
    KIND_MEANINGS,
    Answer,
    alike,
    answer,
    build_name,
    crashed_alike,
    duration,
    label_of,
    run_seconds,
    time_of,
    unreal_kinds,
)
from harness.results import DriverSheet, GuestFacts, RunResults, TestResult, load_results
from harness.results.history import earlier_runs, points_of

__all__ = ["Page", "page_of"]


@dataclass(frozen=True)
class Segment:
    """A part of a bar: an outcome and how many."""

    outcome: Outcome
    number: int
    share: float  # percent of the bar


@dataclass(frozen=True)
class Failure:
    """A failed or broken test with what was collected."""

    test: TestResult
    label: str
    exhibits: tuple[Exhibit, ...]
    open: bool


@dataclass(frozen=True)
class Sheet:
    """A driver's sheet with the bar of the tests that name it."""

    sheet: DriverSheet
    bar: tuple[Segment, ...]


@dataclass(frozen=True)
class AreaRow:
    """An area with its number of tests by outcome."""

    area: Area
    counts: dict[Outcome, int]
    total: int
    bar: tuple[Segment, ...]


@dataclass(frozen=True)
class GridRow:
    """A test and its results in each column of the grid."""

    label: str
    cells: tuple[tuple[TestResult, ...], ...]


@dataclass(frozen=True)
class Grid:
    """An area's tests by guest template."""

    area: Area
    rows: tuple[GridRow, ...]
    tests: tuple[TestResult, ...]


@dataclass(frozen=True)
class HckRow:
    """An HCK/HLK test and the scenarios named after it."""

    name: str
    tests: tuple[TestResult, ...]


@dataclass(frozen=True)
class CrashRow:
    """A crash and the tests it brought down."""

    words: str
    tests: tuple[TestResult, ...]


@dataclass(frozen=True)
class Page:
    """Everything the template needs."""

    results: RunResults
    answer: Answer
    banners: tuple[tuple[GuestKind, str], ...]
    synthetic: bool
    facts: tuple[tuple[str, str], ...]
    bar: tuple[Segment, ...]
    sheets: tuple[Sheet, ...]
    areas: tuple[AreaRow, ...]
    failures: tuple[Failure, ...]
    crashes: tuple[CrashRow, ...]
    expected: tuple[TestResult, ...]
    skipped: tuple[tuple[str, tuple[TestResult, ...]], ...]
    measured: tuple[tuple[Area, tuple[MeasuredRow, ...]], ...]
    columns: tuple[GuestFacts, ...]
    grids: tuple[Grid, ...]
    hck: tuple[HckRow, ...]
    environment: tuple[tuple[str, str], ...]


def page_of(folder: Path) -> Page:
    """The page of a run's folder; its history are the runs beside it.

    Raises:
        NotARun: the folder holds no run.
    """
    results = load_results(folder)
    build = results.run.driver_build
    rows = measured_rows(results, points_of(earlier_runs(folder)))
    columns = _columns(results.tests)
    return Page(
        results=results,
        answer=answer(results),
        banners=tuple((kind, KIND_MEANINGS[kind]) for kind in unreal_kinds(results)),
        synthetic=build is not None and build.synthetic,
        facts=_facts(results),
        bar=_bar(results.tests),
        sheets=tuple(_sheet(sheet, results) for sheet in results.verdict.drivers),
        areas=tuple(_area(area, results.tests) for area in Area if _of(area, results.tests)),
        failures=_failures(results.tests, Exhibits(folder)),
        crashes=tuple(CrashRow(crashed_alike(name, tests), tests) for name, tests in alike(results)),
        expected=tuple(test for test in results.tests if test.outcome is Outcome.EXPECTED),
        skipped=_skipped(results.tests),
        measured=_by_area(rows),
        columns=columns,
        grids=tuple(_grid(area, results.tests, columns) for area in Area if _of(area, results.tests)),
        hck=_hck(results.tests),
        environment=_environment(results),
    )


def _of(area: Area, tests: Sequence[TestResult]) -> list[TestResult]:
    return [test for test in tests if test.area is area]


def _facts(results: RunResults) -> tuple[tuple[str, str], ...]:
    seconds = run_seconds(results)
    return (
        ("run", results.run.id),
        ("profile", results.run.profile),
        ("started", _minute(results.run.started)),
        ("took", duration(seconds) if seconds is not None else "unknown"),
        ("build", build_name(results.run.driver_build)),
        ("hosts", ", ".join(sorted({_host(test) for test in results.tests if test.host})) or "none"),
    )


def _minute(text: str) -> str:
    when = time_of(text)
    return when.strftime("%Y-%m-%d %H:%M UTC") if when else text


def _host(test: TestResult) -> str:
    nested = ", nested" if test.nested else ""
    return f"{test.host} ({test.toolstack}, Xen {test.xen_version}{nested})"


def _bar(tests: Sequence[TestResult]) -> tuple[Segment, ...]:
    order = (Outcome.FAILED, Outcome.BROKEN, Outcome.EXPECTED, Outcome.PASSED, Outcome.SKIPPED)
    counts = _counts(tests)
    return tuple(Segment(one, counts[one], 100 * counts[one] / len(tests)) for one in order if counts[one])


def _counts(tests: Sequence[TestResult]) -> dict[Outcome, int]:
    return {outcome: sum(test.outcome is outcome for test in tests) for outcome in Outcome}


def _sheet(sheet: DriverSheet, results: RunResults) -> Sheet:
    return Sheet(sheet, _bar([test for test in results.tests if sheet.name in test.drivers]))


def _area(area: Area, tests: Sequence[TestResult]) -> AreaRow:
    mine = _of(area, tests)
    return AreaRow(area, _counts(mine), len(mine), _bar(mine))


def _failures(tests: Sequence[TestResult], exhibits: Exhibits) -> tuple[Failure, ...]:
    failed = [test for test in tests if test.outcome is Outcome.FAILED]
    broken = [test for test in tests if test.outcome is Outcome.BROKEN]
    return tuple(
        Failure(test, label_of(test), exhibits.of(test.evidence), open=number == 0)
        for number, test in enumerate([*failed, *broken])
    )


def _skipped(tests: Sequence[TestResult]) -> tuple[tuple[str, tuple[TestResult, ...]], ...]:
    """By reason, the most frequent first."""
    reasons: dict[str, list[TestResult]] = {}
    for test in tests:
        if test.outcome is Outcome.SKIPPED:
            reasons.setdefault(test.reason or "no reason given", []).append(test)
    return tuple(
        (reason, tuple(reasons[reason])) for reason in sorted(reasons, key=lambda one: -len(reasons[one]))
    )


def _by_area(rows: Sequence[MeasuredRow]) -> tuple[tuple[Area, tuple[MeasuredRow, ...]], ...]:
    found = ((area, tuple(row for row in rows if row.test.area is area)) for area in Area)
    return tuple((area, mine) for area, mine in found if mine)


def _columns(tests: Sequence[TestResult]) -> tuple[GuestFacts, ...]:
    return tuple(dict.fromkeys(test.guest for test in tests if test.guest))


def _grid(area: Area, tests: Sequence[TestResult], columns: Sequence[GuestFacts]) -> Grid:
    mine = _of(area, tests)
    by_name: dict[tuple[str, str], list[TestResult]] = {}
    for test in mine:
        by_name.setdefault((test.id.partition("::")[0], label_of(test)), []).append(test)
    rows = tuple(
        GridRow(label, tuple(tuple(test for test in named if test.guest == guest) for guest in columns))
        for (_, label), named in by_name.items()
    )
    return Grid(area, rows, tuple(mine))


def _hck(tests: Sequence[TestResult]) -> tuple[HckRow, ...]:
    names = sorted({name for test in tests for name in test.hck})
    return tuple(HckRow(name, tuple(test for test in tests if name in test.hck)) for name in names)


def _environment(results: RunResults) -> tuple[tuple[str, str], ...]:
    run = results.run
    return (
        ("command", " ".join(run.argv)),
        ("harness", run.harness_version),
        ("ended", f"{run.end}, {run.finished or 'time unknown'}"),
        *run.environment.items(),
    )
