"""History and comparison: which runs count, and that nothing is judged that must not be."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from results_examples import write_run

from harness.model import GuestKind, Measurement
from harness.results import (
    RunEnd,
    TestResult,
    compare,
    earlier_runs,
    last_of_series,
    load_results,
    series_of,
)
from harness.results.history import Point, points_of


def measured(reports: Path, kind: GuestKind = GuestKind.WINDOWS) -> TestResult:
    results = load_results(write_run(reports, kind=kind))
    return next(test for test in results.tests if "tcp_throughput" in test.id)


def earlier(value: float, better: str = "higher", samples: int = 3) -> Point:
    return Point("run-0", "", "", Measurement("m", value, "s", better, {}, (value,) * samples))


def test_only_finished_runs_that_began_before_count_newest_first(tmp_path: Path) -> None:
    for number, end in ((1, RunEnd.FINISHED), (2, RunEnd.INTERRUPTED), (3, RunEnd.FINISHED), (4, None)):
        write_run(tmp_path, f"run-{number}", started=f"2026-01-0{number}T00:00:00Z", end=end)
    own = write_run(tmp_path, "run-5", started="2026-01-05T00:00:00Z")
    write_run(tmp_path, "run-6", started="2026-01-06T00:00:00Z")
    assert [results.run.id for results in earlier_runs(own)] == ["run-3", "run-1"]
    assert [results.run.id for results in earlier_runs(tmp_path / "latest")] == ["run-5", "run-3", "run-1"]


def test_folders_that_hold_no_readable_run_do_not_stop_a_report(tmp_path: Path) -> None:
    own = write_run(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "results.json").write_text('{"schema": 0}')
    (tmp_path / "README.md").write_text("x")
    assert list(earlier_runs(own)) == []


def test_no_more_runs_are_read_than_asked_for_and_those_are_the_newest(tmp_path: Path) -> None:
    for number in range(1, 5):
        folder = write_run(tmp_path, f"run-{number}", started=f"2026-01-0{number}T00:00:00Z")
        os.utime(folder / "results.json", (number, number))
    assert [one.run.id for one in earlier_runs(tmp_path / "run-4", most=2)] == ["run-3", "run-2"]
    assert [one.run.id for one in earlier_runs(tmp_path / "run-2", most=2)] == ["run-1"], "of an old run too"


def test_a_series_is_never_continued_on_another_host_guest_kind_xen_or_parameter(tmp_path: Path) -> None:
    test = measured(tmp_path)
    one = test.measurements[0]
    key = series_of(test, one)
    assert test.guest is not None
    others = [
        series_of(replace(test, host="other"), one),
        series_of(replace(test, xen_version="4.18"), one),
        series_of(replace(test, toolstack="xm"), one),
        series_of(replace(test, id="other"), one),
        series_of(replace(test, guest=replace(test.guest, kind=GuestKind.STAND_IN)), one),
        series_of(replace(test, guest=replace(test.guest, template="other")), one),
        series_of(test, replace(one, metric="other")),
        series_of(test, replace(one, params={**one.params, "streams": 2})),
    ]
    assert key not in others
    assert key == series_of(test, replace(one, value=1.0, params=dict(reversed(one.params.items()))))


def test_the_last_of_a_series_is_that_of_the_newest_run(tmp_path: Path) -> None:
    for number, level in ((1, 10.0), (2, 20.0)):
        write_run(tmp_path, f"run-{number}", started=f"2026-01-0{number}T00:00:00Z", level=level)
    own = write_run(tmp_path, "run-3", started="2026-01-03T00:00:00Z")
    points = points_of(earlier_runs(own))
    test = next(test for test in load_results(own).tests if "tcp_throughput" in test.id)
    last = last_of_series(test, test.measurements[0], points)
    assert last is not None
    assert (last.run_id, last.measurement.value) == ("run-2", 20.0)
    assert last_of_series(replace(test, host="new"), test.measurements[0], points) is None


@pytest.mark.parametrize(
    ("better", "values", "expected"),
    [
        ("higher", (100.0, 110.0), (10.0, "better")),
        ("higher", (100.0, 90.0), (-10.0, "worse")),
        ("lower", (100.0, 110.0), (10.0, "worse")),
        ("lower", (100.0, 90.0), (-10.0, "better")),
        ("lower", (100.0, 100.0), (0.0, "same")),
        ("higher", (0.0, 5.0), (None, "better")),
        ("higher", (-10.0, -5.0), (50.0, "better")),
    ],
)
def test_a_difference_has_percent_and_direction(
    tmp_path: Path, better: str, values: tuple[float, float], expected: tuple[float | None, str]
) -> None:
    before, now = values
    one = Measurement("m", now, "s", better, {}, (now,) * 3)
    difference = compare(measured(tmp_path), one, earlier(before, better))
    assert (difference.percent, difference.direction) == expected


@pytest.mark.parametrize(
    ("kind", "where", "samples", "why"),
    [
        (GuestKind.SIMULATED, "bare metal", 3, "simulated guest: its speed means nothing"),
        (GuestKind.STAND_IN, "bare metal", 3, "stand-in guest: its speed means nothing"),
        (GuestKind.WINDOWS, "nested", 3, "nested Xen: its speed means nothing"),
        (GuestKind.WINDOWS, "bare metal", 2, "2 samples: fewer than 3 tell nothing"),
        (GuestKind.WINDOWS, "bare metal", 3, "two runs alone do not tell a regression from noise"),
    ],
)
def test_no_difference_is_judged_and_each_says_why(
    tmp_path: Path, kind: GuestKind, where: str, samples: int, why: str
) -> None:
    test = replace(measured(tmp_path, kind), nested=where == "nested")
    one = Measurement("m", 1.0, "s", "higher", {}, (1.0,) * samples)
    assert compare(test, one, earlier(100.0)).why_not_judged == why
