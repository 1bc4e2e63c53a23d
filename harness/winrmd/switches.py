"""What an endpoint can be told to do wrong, and how often."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Fault", "FaultKind", "FaultSwitches"]


class FaultKind(StrEnum):
    """The switches, with the occasion each one counts."""

    # as long as it is set; `first` and `times` mean nothing
    REFUSE = "refuse"  # the port refuses connections; those that are open go on
    FREEZE = "freeze"  # as a paused guest: takes requests, answers once the switch is off
    IDLE_CLOSE = "idle-close"  # closes a connection that was idle for `seconds`
    # each request whose login is good enough; challenges are sent as ever
    HTTP_401 = "http-401"  # it is not, after all
    # each message: a request with content whose login was accepted
    HTTP_400 = "http-400"
    HTTP_413 = "http-413"
    DROP = "drop"  # closes the connection before the message is looked at
    DROP_ANSWER = "drop-answer"  # carries the message out, then closes the connection before answering
    LOSE_SHELLS = "lose-shells"  # forgets every shell before the message is looked at
    # each start of an agent process
    NO_READY = "no-ready"  # never announces itself, and is silent until the end of its stdin
    # each line with which an agent process answers a request
    LOSE_ANSWER = "lose-answer"
    LATE_ANSWER = "late-answer"  # `seconds` later
    DOUBLE_ANSWER = "double-answer"
    HALF_ANSWER = "half-answer"  # the first half of the line, then a line end


@dataclass(frozen=True)
class Fault:
    """One switch that is on: from the ``first`` occasion (1 is the next) on, ``times`` times.

    ``times`` None is for ever. ``seconds`` is read by IDLE_CLOSE and LATE_ANSWER only.
    """

    kind: FaultKind
    first: int = 1
    times: int | None = None
    seconds: float = 0.0


class FaultSwitches:
    """The switches of one endpoint. Thread-safe; shared by the server and its agent runner."""

    def __init__(self, *faults: Fault) -> None:
        self._changed = threading.Condition()
        self._faults: dict[FaultKind, Fault] = {fault.kind: fault for fault in faults}
        self._occasions: Counter[FaultKind] = Counter()
        self._struck: Counter[FaultKind] = Counter()
        self._listeners: list[Callable[[], None]] = []

    def set(self, *faults: Fault) -> None:
        """Have exactly these switches on, one per kind, and count occasions anew."""
        with self._changed:
            self._faults = {fault.kind: fault for fault in faults}
            self._occasions.clear()
            self._struck.clear()
            self._changed.notify_all()
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    def clear(self) -> None:
        """Have none on."""
        self.set()

    def get(self, kind: FaultKind) -> Fault | None:
        """The switch as it stands; nothing is counted."""
        with self._changed:
            return self._faults.get(kind)

    def strikes(self, kind: FaultKind) -> Fault | None:
        """Count an occasion; the fault if it is this one's turn."""
        with self._changed:
            fault = self._faults.get(kind)
            if fault is None:
                return None
            self._occasions[kind] += 1
            past = self._occasions[kind] - fault.first
            if past < 0 or (fault.times is not None and past >= fault.times):
                return None
            self._struck[kind] += 1
            return fault

    def struck(self, kind: FaultKind) -> int:
        """How often a switch has done its work since it was set (those that count occasions)."""
        with self._changed:
            return self._struck[kind]

    def wait_while(self, kind: FaultKind, *, unless: Callable[[], bool]) -> None:
        """Return once a switch is off, or ``unless`` is true (see ``wake``)."""
        with self._changed:
            self._changed.wait_for(lambda: kind not in self._faults or unless())

    def wake(self) -> None:
        """Have waiting threads look at their ``unless`` again."""
        with self._changed:
            self._changed.notify_all()

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` after each ``set``; gives the call that ends it."""
        with self._changed:
            self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)
