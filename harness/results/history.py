"""Earlier runs below the same reports folder, and a measurement beside the last one of its series."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.model import GuestKind, Measurement, Outcome
from harness.results.load import NotARun, load_results
from harness.results.model import RunEnd, RunResults, TestResult
from harness.results.recorder import RESULTS

__all__ = [
    "Difference",
    "Point",
    "SeriesKey",
    "compare",
    "earlier_runs",
    "last_durations",
    "last_of_series",
    "points_of",
    "series_of",
]

_RAN = {Outcome.PASSED, Outcome.FAILED, Outcome.EXPECTED}
_ENOUGH_SAMPLES = 3
_MOST_RUNS = 30


@dataclass(frozen=True)
class SeriesKey:
    """What makes measurements comparable. Numbers of different hosts are never one series."""

    test: str
    metric: str
    unit: str
    params: tuple[tuple[str, str], ...]
    template: str
    guest_kind: str
    host: str
    toolstack: str
    xen_version: str


@dataclass(frozen=True)
class Point:
    """A measurement of a series, with the run it stands in."""

    run_id: str
    started: str
    build: str
    measurement: Measurement


@dataclass(frozen=True)
class Difference:
    """A measurement beside the last one of its series.

    ``percent`` is relative to the earlier value, None when that is zero. ``why_not_judged`` is never
    empty: no difference fails a test yet.
    """

    percent: float | None
    direction: Literal["better", "worse", "same"]
    earlier: Point
    why_not_judged: str


def series_of(test: TestResult, measurement: Measurement) -> SeriesKey:
    """The series a measurement belongs to."""
    guest = test.guest
    return SeriesKey(
        test=test.id,
        metric=measurement.metric,
        unit=measurement.unit,
        params=tuple(sorted((key, str(value)) for key, value in measurement.params.items())),
        template=guest.template if guest else "",
        guest_kind=guest.kind.value if guest else "",
        host=test.host,
        toolstack=test.toolstack,
        xen_version=test.xen_version,
    )


def earlier_runs(folder: Path, *, most: int = _MOST_RUNS) -> Iterator[RunResults]:
    """Runs beside the one in ``folder`` that began before it and finished, the newest first.

    What cannot be read is passed over: history is a help, not a condition.
    """
    own = load_results(folder)
    found: list[RunResults] = []
    for path in _newest_first(folder.resolve().parent):
        results = None if path.name == own.run.id else _readable(path)
        if results and results.run.end is RunEnd.FINISHED and results.run.started < own.run.started:
            found.append(results)
        if len(found) == most:
            break
    yield from sorted(found, key=lambda one: (one.run.started, one.run.id), reverse=True)


def _newest_first(reports: Path) -> list[Path]:
    """Folders with results by the age of these: so that a folder of a thousand runs is not read whole."""
    ages = []
    for path in reports.iterdir():
        with contextlib.suppress(OSError):
            if not path.is_symlink():
                ages.append(((path / RESULTS).stat().st_mtime, path))
    return [path for _, path in sorted(ages, reverse=True)]


def _readable(folder: Path) -> RunResults | None:
    try:
        return load_results(folder)
    except NotARun:
        return None


def last_durations(reports: Path, *, most: int = 5) -> Mapping[str, float]:
    """How long each test took when it last ran, in seconds by its id, from the newest runs of a folder."""
    found: dict[str, float] = {}
    runs = 0
    for path in _newest_first(reports) if reports.is_dir() else ():
        results = _readable(path)
        for test in results.tests if results else ():
            if test.outcome in _RAN:
                found.setdefault(test.id, test.duration_s)
        runs += results is not None
        if runs == most:
            break
    return found


def points_of(runs: Iterable[RunResults]) -> Mapping[SeriesKey, Sequence[Point]]:
    """Every series of some runs, its points in the order of the runs."""
    found: dict[SeriesKey, list[Point]] = {}
    for results in runs:
        for test in results.tests:
            for one in test.measurements:
                point = Point(results.run.id, results.run.started, _build(results), one)
                found.setdefault(series_of(test, one), []).append(point)
    return found


def last_of_series(
    test: TestResult, measurement: Measurement, points: Mapping[SeriesKey, Sequence[Point]]
) -> Point | None:
    """The newest earlier point of a measurement's series; ``points`` of runs with the newest first."""
    return next(iter(points.get(series_of(test, measurement), ())), None)


def compare(test: TestResult, measurement: Measurement, earlier: Point) -> Difference:
    """The difference of a measurement to an earlier one of its series, in percent and direction.

    This is for people to look at. It does not say whether the difference is more than noise: that
    takes several runs of the series, a robust rule and a fresh run to confirm it, none of which is
    here. So it never makes a test fail.
    """
    before, now = earlier.measurement.value, measurement.value
    gain = now - before if measurement.better == "higher" else before - now
    direction: Literal["better", "worse", "same"] = "same" if gain == 0 else "better" if gain > 0 else "worse"
    percent = 100 * (now - before) / abs(before) if before else None
    return Difference(percent, direction, earlier, _why_not_judged(test, measurement, earlier.measurement))


def _why_not_judged(test: TestResult, *measurements: Measurement) -> str:
    if test.guest is None or test.guest.kind is not GuestKind.WINDOWS:
        return f"{test.guest.kind if test.guest else 'unknown'} guest: its speed means nothing"
    if test.nested:
        return "nested Xen: its speed means nothing"
    fewest = min(len(one.samples) for one in measurements)
    if fewest < _ENOUGH_SAMPLES:
        return f"{fewest} samples: fewer than {_ENOUGH_SAMPLES} tell nothing"
    return "two runs alone do not tell a regression from noise"


def _build(results: RunResults) -> str:
    build = results.run.driver_build
    return ", ".join(sorted({package.version for package in build.packages})) if build else ""
