"""Deadlines and waiting: the only module that sleeps.

A wait has a subject ("win1 leaves xl list"), a deadline, and ends in a value or
in an error that says what was awaited, for how long, and what was last seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from harness.errors import HarnessError

__all__ = ["Deadline", "Done", "NotYet", "WaitTimedOut", "wait_until"]

T = TypeVar("T")

_FIRST_PAUSE = 16  # what is quick is seen at once: pauses double from a sixteenth on


class WaitTimedOut(HarnessError):
    """A wait ended without what it awaited."""

    def __init__(self, subject: str, seconds: float, last_seen: str) -> None:
        super().__init__(f"waited {seconds:.1f} s for: {subject}; last seen: {last_seen or 'nothing'}")
        self.subject = subject
        self.seconds = seconds
        self.last_seen = last_seen


@dataclass(frozen=True)
class Deadline:
    """A point on the monotonic clock, with the number of seconds it was made from."""

    at: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The point ``seconds`` from now."""
        return cls(time.monotonic() + seconds, seconds)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether the point has passed."""
        return time.monotonic() >= self.at

    def at_most(self, seconds: float) -> float:
        """Seconds left, capped at ``seconds``: for a step inside a longer wait."""
        return min(seconds, self.remaining)


@dataclass(frozen=True)
class Done(Generic[T]):
    """A probe's answer: what was awaited is there."""

    value: T


@dataclass(frozen=True)
class NotYet:
    """A probe's answer: not there yet; ``seen`` is shown if the wait times out."""

    seen: str


def wait_until(
    probe: Callable[[], Done[T] | NotYet],
    *,
    subject: str,
    deadline: Deadline,
    interval_s: float = 0.5,
) -> T:
    """Call ``probe`` until it is done, first after short pauses, at last every ``interval_s`` seconds.

    The probe is called at least once, and once more at the deadline itself, so
    that what arrives during the last pause still counts. What the probe raises
    is not swallowed.

    Raises:
        WaitTimedOut: the deadline passed; names ``subject`` and the last ``NotYet``.
    """
    pause_s = interval_s / _FIRST_PAUSE
    while True:
        last_round = deadline.expired
        answer = probe()
        if isinstance(answer, Done):
            return answer.value
        if last_round:
            raise WaitTimedOut(subject, deadline.seconds, answer.seen)
        time.sleep(min(pause_s, deadline.remaining))
        pause_s = min(2 * pause_s, interval_s)
