"""What a run wrote is read back the same; whatever became of its files, reading them ends in words."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hostile_texts import any_text, json_values, torn_text
from hypothesis import example, given, settings
from hypothesis import strategies as st
from results_examples import attempt, facts_of, run_facts

from harness.lab import Redactor, Secret
from harness.model import Measurement, Outcome
from harness.results import RunResults
from harness.results.events import AttemptFinished, Event, read_events
from harness.results.follow import EventTail
from harness.results.history import Point, compare, last_durations
from harness.results.load import NotARun, load_results
from harness.results.plain import NotReadable, plain, structured, to_json
from harness.results.recorder import EVENTS, RESULTS, RunRecorder
from harness.results.replay import NoRun, results_of
from harness.results.timeless import timeless
from harness.results.verdict import verdict_of

TESTS = [facts_of(f"test_{number}") for number in range(3)]


@contextlib.contextmanager
def recording(redact: Any = str) -> Iterator[RunRecorder]:
    with tempfile.TemporaryDirectory() as folder:
        run = RunRecorder(Path(folder), run_facts(), redact)
        run.collected(TESTS)
        with run:
            yield run


def written() -> list[str]:
    """The lines of a run's events."""
    with recording() as run:
        for number, test in enumerate(TESTS, 1):
            run.test_started(test.id, 1)
            outcome = Outcome.BROKEN if number == 1 else Outcome.PASSED
            measured = [Measurement("m", 1.5, "s", "lower", {"n": number}, (1.0, 2.0))]
            run.attempt_finished(test.id, attempt(outcome, reason="ä\u2028b"), measured)
            run.warning("w")
        run.finish()
        return (run.folder / EVENTS).read_text(encoding="utf-8").split("\n")[:-1]


LINES = written()


@settings(max_examples=40, deadline=None)
@given(torn_text)
@example("one\u2028two\x85three\u2029four\x0bfive")
def test_a_reason_of_any_text_is_read_back_by_who_follows_and_by_who_comes_later(reason: str) -> None:
    with recording() as run:
        tail = EventTail(run.folder)
        run.attempt_finished(TESTS[0].id, attempt(Outcome.FAILED, reason=reason))
        (followed,) = tail.read()
        assert isinstance(followed, AttemptFinished)
        results = run.finish()
        later = load_results(run.folder)
        (run.folder / RESULTS).unlink()
        killed = load_results(run.folder)
    assert followed.attempt.reason == reason
    assert [test.reason for found in (results, later, killed) for test in found.tests] == [reason] * 3


@settings(max_examples=40, deadline=None)
@given(st.lists(any_text.filter(lambda text: len(text) > 2), max_size=3), torn_text)
def test_a_secret_within_a_reason_leaves_lines_that_can_be_read(secrets: list[str], reason: str) -> None:
    redactor = Redactor()
    for secret in secrets:
        redactor.add(Secret(secret))
    with recording(redactor.clean) as run:
        run.warning(reason + "".join(secrets))
        text = (run.folder / EVENTS).read_bytes()
    events = [json.loads(line) for line in text.decode().split("\n") if line]
    assert [event["kind"] for event in events] == ["run-started", "collected", "warning"]


def results_or_none(events: Iterator[Event]) -> RunResults | None:
    try:
        return results_of(events)
    except NoRun:
        return None


@given(st.data())
def test_events_lost_doubled_or_out_of_order_still_make_results(data: st.DataObject) -> None:
    order = data.draw(st.lists(st.sampled_from(LINES), max_size=12))
    found = results_or_none(read_events(order))
    assert (found is None) == (LINES[0] not in order)
    if found is not None:
        timed = timeless(found)
        assert timed.run.id == ""
        assert verdict_of(timed.tests, end=timed.run.end, build=None, found=()).counts == found.verdict.counts


@given(st.data())
def test_lines_torn_by_a_full_disk_cost_themselves_alone(data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(LINES) - 1))
    cut = data.draw(st.integers(0, len(LINES[at]) - 1))
    torn = [*LINES[:at], LINES[at][:cut], *LINES[at + 1 :]]
    assert [*read_events(torn)] == [*read_events([*LINES[:at], *LINES[at + 1 :]])]


@given(st.sampled_from(LINES), st.data())
@example(LINES[0], None)
def test_an_event_with_a_field_of_another_kind_is_passed_over_or_whole(line: str, data: Any) -> None:
    fields = json.loads(line)
    if data is None:
        assert list(read_events(["[" * 100_000, json.dumps(fields | {"kind": []})])) == []
        return
    inner = data.draw(st.sampled_from(list(_objects(fields))))
    if inner:
        inner[data.draw(st.sampled_from(sorted(inner)))] = data.draw(json_values)
    for event in read_events([json.dumps(fields)]):
        assert to_json(plain(results_or_none(iter([event])) is None)) in {"true", "false"}


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(inner)


@settings(deadline=None)
@given(st.binary(max_size=60) | any_text.map(lambda text: text.encode()), st.sampled_from([RESULTS, EVENTS]))
@example(b'{"schema": 1, "run": "\xff"}', RESULTS)
@example(b"[" * 100_000, RESULTS)
@example(b'{"schema": 1e400}', RESULTS)
def test_a_damaged_file_of_a_run_is_named_and_hides_no_other_run(data: bytes, name: str) -> None:
    with recording() as run:
        run.attempt_finished(TESTS[0].id, attempt())
        run.finish()
        broken = run.folder.parent / "run-0"
        broken.mkdir()
        (broken / name).write_bytes(data)
        with pytest.raises(NotARun):
            load_results(broken)
        assert last_durations(run.folder.parent) == {TESTS[0].id: 12.5}


@given(json_values)
def test_any_json_is_a_measurement_or_not_readable(value: Any) -> None:
    odd = {"metric": "m", "value": value, "unit": "s", "better": "lower", "params": {}, "samples": []}
    for fields in (value, odd):
        with contextlib.suppress(NotReadable):
            assert isinstance(structured(fields, Measurement), Measurement)


FIGURES = st.floats(allow_nan=False, allow_infinity=False)


@given(FIGURES, FIGURES)
def test_two_figures_are_compared_without_a_verdict(before: float, now: float) -> None:
    old = Measurement("m", before, "s", "lower", {}, ())
    test: Any = TESTS[0]
    difference = compare(test, replace(old, value=now), Point("r", "", "", old))
    assert (difference.direction == "same") == (before == now or before - now == 0)
    assert difference.why_not_judged
