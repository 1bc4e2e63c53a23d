"""A run that several processes write, followed by another, resumed after a kill."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from results_examples import attempt, facts_of, run_facts

from harness.errors import ConfigurationError
from harness.model import Outcome
from harness.results import RunEnd, RunRecorder, load_results
from harness.results.events import Message
from harness.results.follow import EventTail
from harness.results.history import last_durations
from harness.results.recorder import EVENTS, RESULTS, EventWriter

TEST = facts_of("test_it")


def test_what_is_added_is_read_once_and_half_a_line_when_it_is_whole(tmp_path: Path) -> None:
    recorder = RunRecorder(tmp_path, run_facts(), str)
    tail = EventTail(recorder.folder)
    assert tail.read() == (), "what was there before"
    recorder.message("one")
    recorder.message("zwö")
    assert [event.text for event in tail.read() if isinstance(event, Message)] == ["one", "zwö"]
    line = b'{"kind": "message", "at": "now", "text": "three"}\n'
    with (recorder.folder / EVENTS).open("ab", buffering=0) as file:
        file.write(line[:20])
        assert tail.read() == ()
        file.write(line[20:])
    assert tail.read() == (Message("now", "three"),)
    assert tail.read() == ()
    recorder.finish()


def test_a_text_with_line_ends_of_unicode_does_not_hide_its_event(tmp_path: Path) -> None:
    with RunRecorder(tmp_path, run_facts(), str) as run:
        tail = EventTail(run.folder)
        run.message("one\u2028two\x85three\u2029")
        assert [event.text for event in tail.read() if isinstance(event, Message)] == [
            "one\u2028two\x85three\u2029"
        ]


def test_what_workers_write_at_the_same_time_is_in_the_results_of_the_run(tmp_path: Path) -> None:
    tests = [facts_of(f"test_{number}") for number in range(40)]
    with RunRecorder(tmp_path, run_facts(), str) as recorder:
        recorder.collected(tests)

        def work(mine: list[str]) -> None:
            writer = EventWriter(recorder.folder, str, tests=mine)
            for test in mine:
                writer.test_started(test, 1)
                writer.message("x" * 3000)
                writer.attempt_finished(test, attempt())
            writer.close()

        workers = [
            threading.Thread(target=work, args=([test.id for test in tests[start::4]],)) for start in range(4)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    results = load_results(recorder.folder)
    assert [test.outcome for test in results.tests] == [Outcome.PASSED] * 40
    assert results.run.not_run == ()


def test_a_worker_cannot_write_of_a_test_that_is_not_of_the_run(tmp_path: Path) -> None:
    recorder = RunRecorder(tmp_path, run_facts(), str)
    writer = EventWriter(recorder.folder, str, tests=[TEST.id])
    with pytest.raises(ValueError, match="not collected"):
        writer.test_started("scenarios/other", 1)
    writer.close()
    recorder.finish()


def test_a_run_that_died_goes_on_and_ends_as_one(tmp_path: Path) -> None:
    died = RunRecorder(tmp_path, run_facts(), str)
    died.collected([TEST])
    died.test_started(TEST.id, 1)
    died.close()  # as a kill does
    with (died.folder / EVENTS).open("ab") as file:
        file.write(b'{"kind": "mess')
    assert load_results(died.folder).run.end is RunEnd.KILLED

    with RunRecorder.resumed(died.folder, str) as again:
        again.collected([TEST])
        again.attempt_finished(TEST.id, attempt(number=2))
    results = load_results(died.folder)
    assert results.run.end is RunEnd.FINISHED
    (test,) = results.tests
    assert [one.outcome for one in test.attempts] == [Outcome.BROKEN, Outcome.PASSED]
    assert (tmp_path / "latest").resolve() == died.folder.resolve()


def test_what_a_run_wrote_at_its_first_end_is_no_more_when_it_goes_on(tmp_path: Path) -> None:
    with RunRecorder(tmp_path, run_facts(), str) as first:
        first.collected([TEST])
    with RunRecorder.resumed(first.folder, str) as again:
        assert not (first.folder / RESULTS).exists()
        assert again.results().run.end is RunEnd.RUNNING
        with pytest.raises(ConfigurationError, match="still goes on"):
            RunRecorder.resumed(first.folder, str)


def test_durations_are_those_of_the_newest_run_that_has_the_test(tmp_path: Path) -> None:
    other = facts_of("test_other")
    for run_id, tests in (("run-1", {TEST: 30.0, other: 7.0}), ("run-2", {TEST: 20.0})):
        with RunRecorder(tmp_path, run_facts(run_id), str) as recorder:
            recorder.collected(tests)
            for test, seconds in tests.items():
                recorder.attempt_finished(test.id, attempt(duration_s=seconds))
    assert last_durations(tmp_path) == {TEST.id: 20.0, other.id: 7.0}
    assert last_durations(tmp_path, most=1) == {TEST.id: 20.0}
    assert last_durations(tmp_path / "nowhere") == {}
