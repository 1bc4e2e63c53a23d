"""Time in the simulated lab: delays that are short, scaled, and never slept through.

What a real host or guest does after a while is an action on the lab's one
clock thread; what a command waits for is a condition on its host.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Clock", "Pace"]


@dataclass(frozen=True)
class Pace:
    """How long things take here, in seconds; ``factor`` scales them all.

    The figures have nothing to do with real ones: they keep the order of what happens.
    """

    factor: float = 1.0
    firmware: float = 0.02
    boot: float = 0.05  # from here to twice as long, by the guest's seed
    acknowledge: float = 0.02
    stop: float = 0.03
    linger: float = 0.03  # a domain that has shut down stays listed: xen-4.17/list-after-shutdown.txt
    connect: float = 0.01
    balloon: float = 0.01  # per 32 MiB
    job: float = 0.02
    tool_second: float = 0.02  # what a second of a workload takes
    unplug_without_driver: float = 1.0  # libxl waits 10 s for the front end; a busy machine answers late
    acknowledge_limit: float = 2.0  # libxl waits 60 s (Xen 4.13 and later)

    def of(self, seconds: float) -> float:
        """A duration from the figures above, scaled."""
        return seconds * self.factor


@dataclass(order=True)
class _Timer:
    at: float
    number: int
    action: Callable[[], None] = field(compare=False)


class Clock:
    """Runs actions later, one after the other, on a thread of its own."""

    def __init__(self) -> None:
        self._timers: list[_Timer] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="simlab-clock", daemon=True)
        self._thread.start()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Run ``action`` in so many seconds; never once the clock is closed."""
        with self._changed:
            heapq.heappush(self._timers, _Timer(time.monotonic() + seconds, next(self._numbers), action))
            self._changed.notify()

    def close(self) -> None:
        """Forget what has not happened yet, and end the thread.

        Raises:
            ExceptionGroup: actions failed: a mistake in the simulator.
        """
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        if self._failures:
            raise BaseExceptionGroup("actions of the simulated lab failed", self._failures)

    def _run(self) -> None:
        while (timer := self._next()) is not None:
            try:
                timer.action()
            except Exception as error:  # noqa: BLE001  # kept, and raised by close
                self._failures.append(error)

    def _next(self) -> _Timer | None:
        with self._changed:
            while not self._closed:
                wait = self._timers[0].at - time.monotonic() if self._timers else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._timers)
                self._changed.wait(wait)
        return None
