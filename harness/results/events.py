"""events.jsonl: what happened, one JSON object per line, in the order it happened.

::

    {"at": "2026-01-31T22:00:00Z", "kind": "run-started", "run": {...RunFacts}}
    {"at": ..., "kind": "collected", "tests": [{...TestFacts}, ...]}
    {"at": ..., "kind": "driver-found", "found": {...DriverFound}}
    {"at": ..., "kind": "test-started", "test": "<id>", "attempt": 1}
    {"at": ..., "kind": "attempt-finished", "test": "<id>", "attempt": {...AttemptResult},
     "measurements": [{...Measurement}, ...]}                                     all on one line
    {"at": ..., "kind": "message", "text": "..."}
    {"at": ..., "kind": "run-resumed"}
    {"at": ..., "kind": "run-finished", "end": "finished"}

A run that was killed may leave half a line at the end: it is passed over. So is a kind that is not known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, get_args

from harness.model import Measurement
from harness.results.model import AttemptResult, DriverFound, RunEnd, RunFacts, TestFacts
from harness.results.plain import NotReadable, structured

__all__ = [
    "AttemptFinished",
    "Collected",
    "DriverSeen",
    "Event",
    "Message",
    "RunFinished",
    "RunResumed",
    "RunStarted",
    "TestStarted",
    "Warned",
    "read_events",
]


@dataclass(frozen=True)
class RunStarted:
    """A run has begun."""

    kind: ClassVar[str] = "run-started"
    at: str
    run: RunFacts


@dataclass(frozen=True)
class Collected:
    """The tests of the run, in the order of the report."""

    kind: ClassVar[str] = "collected"
    at: str
    tests: tuple[TestFacts, ...]


@dataclass(frozen=True)
class DriverSeen:
    """A driver was looked at in a guest."""

    kind: ClassVar[str] = "driver-found"
    at: str
    found: DriverFound


@dataclass(frozen=True)
class TestStarted:
    """An attempt at a test has begun."""

    __test__ = False
    kind: ClassVar[str] = "test-started"
    at: str
    test: str
    attempt: int


@dataclass(frozen=True)
class AttemptFinished:
    """An attempt has ended, or the test was skipped."""

    kind: ClassVar[str] = "attempt-finished"
    at: str
    test: str
    attempt: AttemptResult
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True)
class Message:
    """Something worth a line for people."""

    kind: ClassVar[str] = "message"
    at: str
    text: str


@dataclass(frozen=True)
class Warned:
    """Something people should know of the results, beyond the tests' outcomes."""

    kind: ClassVar[str] = "warning"
    at: str
    text: str


@dataclass(frozen=True)
class RunResumed:
    """A run that had ended before its time goes on; what was under way then has ended with it."""

    kind: ClassVar[str] = "run-resumed"
    at: str


@dataclass(frozen=True)
class RunFinished:
    """The run has come to its end."""

    kind: ClassVar[str] = "run-finished"
    at: str
    end: RunEnd


Event = (
    RunStarted
    | Collected
    | DriverSeen
    | TestStarted
    | AttemptFinished
    | Message
    | Warned
    | RunResumed
    | RunFinished
)

_KINDS: dict[str, type[Event]] = {kind.kind: kind for kind in get_args(Event)}


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """The events of the lines that are whole and known."""
    for line in lines:
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            continue  # torn by a kill or by a full disk
        kind = _KINDS.get(str(fields.get("kind"))) if isinstance(fields, dict) else None
        if kind is None:
            continue
        try:
            yield structured(fields, kind)
        except NotReadable:
            continue
