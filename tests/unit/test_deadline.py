"""Waits: what is awaited is seen, and what is not is told."""

from __future__ import annotations

import time

import pytest

from harness.deadline import Deadline, Done, NotYet, WaitTimedOut, wait_until


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still but for sleeps; gives the pauses that were made."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "monotonic", lambda: 100.0 + sum(pauses))
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


def test_what_comes_soon_is_not_waited_for_a_whole_interval(clock: list[float]) -> None:
    answers = iter([NotYet("1"), NotYet("2"), Done("there")])

    found = wait_until(lambda: next(answers), subject="it", deadline=Deadline.after(60), interval_s=0.8)

    assert found == "there"
    assert clock == pytest.approx([0.05, 0.1])


def test_pauses_grow_to_the_interval_and_no_further(clock: list[float]) -> None:
    answers = iter([NotYet("")] * 8 + [Done(value=True)])

    wait_until(lambda: next(answers), subject="it", deadline=Deadline.after(60), interval_s=0.8)

    assert clock[-3:] == pytest.approx([0.8, 0.8, 0.8])


def test_what_arrives_during_the_last_pause_still_counts(clock: list[float]) -> None:
    deadline = Deadline.after(1)

    found = wait_until(
        lambda: Done("late") if sum(clock) >= 1 else NotYet("nothing"),
        subject="it",
        deadline=deadline,
        interval_s=10,
    )

    assert found == "late"
    assert sum(clock) == pytest.approx(1)


def test_a_wait_that_runs_out_says_what_it_awaited_and_what_was_seen_last(clock: list[float]) -> None:
    seen = iter(range(1000))

    with pytest.raises(WaitTimedOut) as caught:
        wait_until(
            lambda: NotYet(f"state {next(seen)}"),
            subject="win1 leaves xl list",
            deadline=Deadline.after(2),
            interval_s=0.5,
        )

    assert f"last seen: state {next(seen) - 1}" in str(caught.value)
    assert "waited 2.0 s for: win1 leaves xl list" in str(caught.value)


def test_a_deadline_that_has_passed_still_asks_once(clock: list[float]) -> None:
    assert wait_until(lambda: Done(1), subject="it", deadline=Deadline.after(0)) == 1
    assert clock == []
