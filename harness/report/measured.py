"""Measurements for the page: each beside the last one of its series, with the series as a small chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.model import GuestKind, Measurement
from harness.report.words import figure, label_of, percent
from harness.results import Difference, RunResults, SeriesKey, TestResult, compare, last_of_series, series_of
from harness.results.history import Point

__all__ = ["Chart", "Dot", "MeasuredRow", "measured_rows"]

_WIDTH, _HEIGHT, _EDGE = 210.0, 48.0, 6.0
_MOST_POINTS = 30


@dataclass(frozen=True)
class Dot:
    """A run in a chart, in pixels; ``label`` is what hovering shows."""

    x: float
    y: float
    label: str
    now: bool


@dataclass(frozen=True)
class Chart:
    """A series over the runs, oldest at the left, as an SVG of ``width`` x ``height`` pixels.

    ``spread`` is the range of this run's samples, top and bottom.
    """

    width: float
    height: float
    line: str
    dots: tuple[Dot, ...]
    spread: tuple[float, float] | None
    summary: str


@dataclass(frozen=True)
class MeasuredRow:
    """One measurement. ``means_something`` is false where speed tells nothing: then it is shown in grey."""

    test: TestResult
    label: str
    metric: str
    params: tuple[str, ...]
    value: str
    unit: str
    better: str
    samples: str
    difference: Difference | None
    change: str
    means_something: bool
    chart: Chart


def measured_rows(
    results: RunResults, points: Mapping[SeriesKey, Sequence[Point]]
) -> tuple[MeasuredRow, ...]:
    """A row for each measurement of a run; ``points`` are those of earlier runs, the newest first."""
    return tuple(_row(results, test, one, points) for test in results.tests for one in test.measurements)


def _row(
    results: RunResults,
    test: TestResult,
    one: Measurement,
    points: Mapping[SeriesKey, Sequence[Point]],
) -> MeasuredRow:
    last = last_of_series(test, one, points)
    difference = compare(test, one, last) if last else None
    earlier = [*reversed(points.get(series_of(test, one), ())[: _MOST_POINTS - 1])]
    now = Point(results.run.id, results.run.started, "", one)
    return MeasuredRow(
        test=test,
        label=label_of(test),
        metric=one.metric.replace("_", " "),
        params=tuple(f"{key.replace('_', ' ')} {value}" for key, value in one.params.items()),
        value=figure(one.value),
        unit=one.unit,
        better=one.better,
        samples=_samples(one),
        difference=difference,
        change=percent(difference.percent) if difference else "first of its series",
        means_something=test.guest is not None and test.guest.kind is GuestKind.WINDOWS and not test.nested,
        chart=_chart([*earlier, now]),
    )


def _samples(one: Measurement) -> str:
    if len(one.samples) < 2:  # noqa: PLR2004  # one sample is the value itself
        return ""
    return f"{len(one.samples)} samples, {figure(min(one.samples))} to {figure(max(one.samples))}"


def _chart(points: Sequence[Point]) -> Chart:
    values = [point.measurement.value for point in points]
    samples = points[-1].measurement.samples
    low, high = min([*values, *samples]), max([*values, *samples])
    # A flat series lies in the middle; a small wobble must not look like a cliff.
    room = max(high - low, 0.1 * max(abs(high), abs(low)), 1e-12)
    middle = (high + low) / 2

    def height(value: float) -> float:
        return round(_HEIGHT / 2 - (value - middle) / room * (_HEIGHT - 2 * _EDGE), 1)

    step = (_WIDTH - 2 * _EDGE) / max(1, len(points) - 1)
    dots = tuple(
        Dot(
            x=round(_WIDTH - _EDGE - step * (len(points) - 1 - number), 1),
            y=height(point.measurement.value),
            label=_hover(point),
            now=number == len(points) - 1,
        )
        for number, point in enumerate(points)
    )
    spread = (height(max(samples)), height(min(samples))) if len(samples) > 1 else None
    line = " ".join(f"{dot.x:g},{dot.y:g}" for dot in dots) if len(dots) > 1 else ""
    summary = f"{len(points)} runs, {figure(min(values))} to {figure(max(values))}"
    return Chart(_WIDTH, _HEIGHT, line, dots, spread, summary)


def _hover(point: Point) -> str:
    one = point.measurement
    build = f", build {point.build}" if point.build else ""
    return f"{figure(one.value)} {one.unit} in {point.run_id}, {point.started}{build}"
