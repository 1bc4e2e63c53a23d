"""Writes a run down while it goes on: events.jsonl line by line, results.json at its end."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.errors import ConfigurationError, InfrastructureError
from harness.model import Measurement, Outcome
from harness.results.events import (
    AttemptFinished,
    Collected,
    DriverSeen,
    Event,
    Message,
    RunFinished,
    RunResumed,
    RunStarted,
    TestStarted,
    Warned,
    read_events,
)
from harness.results.model import AttemptResult, DriverFound, RunEnd, RunFacts, RunResults, TestFacts
from harness.results.plain import plain, to_json
from harness.results.replay import results_of

__all__ = [
    "EVENTS",
    "LATEST",
    "RESULTS",
    "EventWriter",
    "ReportsUnwritable",
    "RunRecorder",
    "now_utc",
    "unwritable",
    "utc",
    "write_whole",
]

EVENTS = "events.jsonl"
RESULTS = "results.json"
LATEST = "latest"

_FULL = {errno.ENOSPC, errno.EDQUOT}


class ReportsUnwritable(InfrastructureError):
    """The reports folder takes no more."""


def now_utc() -> str:
    """The time as it stands in results: UTC, to the second."""
    return utc(datetime.now(UTC).timestamp())


def utc(seconds: float) -> str:
    """``time.time()`` as it stands in results."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class EventWriter:
    """Appends to the events.jsonl of a run that has begun. Safe to use from several threads.

    Each call has written its line before it returns, so that a kill loses nothing that was said before;
    several processes may write one file. ``redact`` goes over every free text that is written. After
    ``close`` messages are dropped, and anything else said is a mistake of the caller's (ValueError).
    """

    def __init__(
        self,
        folder: Path,
        redact: Callable[[str], str],
        *,
        tests: Iterable[str] = (),
        clock: Callable[[], str] = now_utc,
    ) -> None:
        """``folder`` is the run's; ``tests`` are the ids that were collected already.

        Raises:
            OSError: the file cannot be opened.
        """
        self.folder = folder
        self._redact = redact
        self._clock = clock
        self._lock = threading.Lock()
        self._tests = set(tests)
        self._torn = False
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file: int | None = os.open(folder / EVENTS, flags, 0o644)

    def collected(self, tests: Iterable[TestFacts]) -> None:
        """The tests of this run, those that will be skipped among them, in the order of the report."""
        found = tuple(tests)
        self._tests |= {test.id for test in found}
        self._say(Collected(self._clock(), found))

    def test_started(self, test_id: str, attempt: int) -> None:
        """An attempt begins; the first has number 1."""
        self._must_know(test_id)
        self._say(TestStarted(self._clock(), test_id, attempt))

    def attempt_finished(
        self, test_id: str, attempt: AttemptResult, measurements: Iterable[Measurement] = ()
    ) -> None:
        """An attempt ended. A measurement that is not a number is left out, with a warning."""
        self._must_know(test_id)
        kept = []
        for one in measurements:
            if all(math.isfinite(number) for number in (one.value, *one.samples)):
                kept.append(one)
            else:
                self.warning(f"{test_id}: {one.metric} is not a number: left out")
        self._say(AttemptFinished(self._clock(), test_id, attempt, tuple(kept)))

    def skipped(self, test_id: str, reason: str) -> None:
        """A test cannot run here, decided before anything was provisioned."""
        self._must_know(test_id)
        attempt = AttemptResult(1, Outcome.SKIPPED, reason=reason, started=self._clock())
        self._say(AttemptFinished(attempt.started, test_id, attempt, ()))

    def driver_found(self, found: DriverFound) -> None:
        """A driver was looked at in a guest, after an install or as the template has it."""
        self._say(DriverSeen(self._clock(), found))

    def message(self, text: str) -> None:
        """A line for people."""
        if self._file is not None:
            self._say(Message(self._clock(), text))

    def warning(self, text: str) -> None:
        """What people should know of the results."""
        if self._file is not None:
            self._say(Warned(self._clock(), text))

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
            self._file = None  # its number may soon be another file's

    def _must_know(self, test_id: str) -> None:
        if test_id not in self._tests:
            raise ValueError(f"{test_id} was not collected: its result would be in no report")

    def _say(self, event: Event) -> None:
        line = to_json({"kind": event.kind, **plain(event, self._redact)}) + "\n"
        data = line.encode(errors="backslashreplace")
        with self._lock:
            if self._file is None:
                raise ValueError(f"{event.kind} after the end of the run")
            self._append(self._file, b"\n" + data if self._torn else data)

    def _append(self, file: int, data: bytes) -> None:
        # One write(2) per line and no buffer of ours: what it took survives a SIGKILL.
        try:
            written = os.write(file, data)
            if written < len(data):
                self._torn = True
                os.write(file, data[written:])  # the rest, or the error that stopped the first
        except OSError as error:
            raise unwritable(self.folder / EVENTS, error) from error
        self._torn = False


class RunRecorder(EventWriter):
    """The record of one run, in ``REPORTS/RUN-ID/``: it begins and ends there.

    It holds a lock on events.jsonl that the kernel frees when we die: so others see that the run lives.
    Use it as a context: a run that leaves by an exception was interrupted.
    """

    def __init__(
        self,
        reports: Path,
        run: RunFacts,
        redact: Callable[[str], str],
        *,
        clock: Callable[[], str] = now_utc,
    ) -> None:
        """Make the run's folder and point ``REPORTS/latest`` to it.

        Raises:
            ConfigurationError: the folder cannot be made.
            ReportsUnwritable: the disk is full.
        """
        folder = reports / run.id
        self._results: RunResults | None = None
        try:
            folder.mkdir(parents=True)
            super().__init__(folder, redact, clock=clock)
            assert self._file is not None
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _FULL:
                raise unwritable(folder, error) from error
            found = f"cannot make the run's folder {folder}: {error.strerror}"
            raise ConfigurationError(found, mend="choose another reports folder") from error
        self._say(RunStarted(self._clock(), run))
        _point_latest(reports, run.id)

    @classmethod
    def resumed(
        cls, folder: Path, redact: Callable[[str], str], *, clock: Callable[[], str] = now_utc
    ) -> Self:
        """Go on with a run that ended before its time; results it wrote then are no more.

        Raises:
            ConfigurationError: it still goes on.
            ReportsUnwritable: the disk is full.
        """
        self = cls.__new__(cls)
        self._results = None
        EventWriter.__init__(self, folder, redact, clock=clock)
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(f"the run in {folder} still goes on") from error
        (folder / RESULTS).unlink(missing_ok=True)
        self._torn = True  # a kill may have left half a line
        self._say(RunResumed(self._clock()))
        _point_latest(folder.parent, folder.name)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(RunEnd.FINISHED if error is None else RunEnd.INTERRUPTED)

    def results(self) -> RunResults:
        """What is known now, whoever wrote it; tests under way are not in it."""
        with (self.folder / EVENTS).open(encoding="utf-8", errors="replace") as lines:
            return results_of(read_events(lines), alive=True)

    def finish(self, end: RunEnd = RunEnd.FINISHED) -> RunResults:
        """Write results.json and let go of the run; later calls give the same results again.

        Raises:
            ReportsUnwritable: the disk is full. events.jsonl still holds what it took.
        """
        if self._results is not None:
            return self._results
        try:
            self._say(RunFinished(self._clock(), end))
            results = self.results()
            write_whole(self.folder / RESULTS, to_json(plain(results, self._redact), indent=1) + "\n")
            self._results = results
        finally:
            self.close()
        return results


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all.

    Raises:
        ReportsUnwritable: it cannot be written.
    """
    passing = path.with_name(f".{path.name}.part")
    try:
        passing.write_text(text, encoding="utf-8", errors="backslashreplace")
        passing.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            passing.unlink()
        raise unwritable(path, error) from error


def _point_latest(reports: Path, run_id: str) -> None:
    passing = reports / f".{LATEST}-{run_id}"
    try:
        passing.symlink_to(run_id, target_is_directory=True)
        passing.replace(reports / LATEST)
    except OSError as error:
        with contextlib.suppress(OSError):
            passing.unlink()
        raise unwritable(reports / LATEST, error) from error


def unwritable(path: Path, error: OSError) -> ReportsUnwritable:
    """The error for people when a file of a run cannot be written."""
    mend = "choose another reports folder"
    if error.errno in _FULL:
        mend = f"free some space there, or {mend}"
    return ReportsUnwritable(f"cannot write {path}: {error.strerror or error}", mend=mend)
