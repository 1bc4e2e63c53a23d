"""A run as its processes write it down: shown while it goes on, and asked what came of a test."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.model import Outcome
from harness.report import Progress
from harness.results import AttemptResult
from harness.results.events import AttemptFinished, Collected, Event, Message, TestStarted, Warned
from harness.results.follow import EventTail

__all__ = ["RunWatch"]

_EVERY_S = 0.2  # for people who watch


class RunWatch:
    """Follows a run's events.jsonl. Use it as a context: at its end all has been shown."""

    def __init__(self, folder: Path, profile: str) -> None:
        self._tail = EventTail(folder)
        self._profile = profile
        self._progress = Progress()
        self._attempts: dict[tuple[str, int], AttemptResult] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="run-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._catch_up()
        self._progress.end()

    def attempt(self, test_id: str, number: int) -> AttemptResult | None:
        """What came of an attempt; None if nobody wrote it down by now."""
        self._catch_up()
        return self._attempts.get((test_id, number))

    @property
    def passed_on(self) -> frozenset[str]:
        """Hosts that a test has passed on."""
        self._catch_up()
        return frozenset(one.host for one in self._attempts.values() if one.outcome is Outcome.PASSED)

    def _follow(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self._catch_up()

    def _catch_up(self) -> None:
        with self._lock:
            for event in self._tail.read():
                self._take(event)

    def _take(self, event: Event) -> None:
        progress = self._progress
        match event:
            case Collected(tests=tests):
                progress.collected(tests, self._profile)
            case TestStarted(test=test, attempt=number):
                progress.test_started(test, number)
            case AttemptFinished(test=test, attempt=attempt):
                self._attempts[test, attempt.number] = attempt
                progress.attempt_finished(test, attempt)
            case Message(text=text):
                progress.message(text)
            case Warned(text=text):
                progress.message(f"warning: {text}")
            case _:  # of drivers and of the run's own end the summary tells
                pass
