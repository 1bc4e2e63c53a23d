"""Memory targets: what the guest, the list of domains and the host say of them.

Facts: pv-drivers.md 3. Only differences to a baseline are compared: the list counts video memory
and a few MiB more. Depending on the XENBUS version the guest's total shrinks, or its total stays
and what is free shrinks: either counts, but not half of each.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness.deadline import Done, NotYet, wait_until
from harness.guest.guest import Guest
from harness.host.toolstack.protocol import NoSuchDomain

__all__ = ["Balloon", "MemoryView", "Moved", "Tolerance", "disagreements"]

_POLL_S = 0.1
_ANSWER_S = 120  # how long an answer may take in a guest that has next to no memory


@dataclass(frozen=True)
class MemoryView:
    """What the three sides say at one time, in MiB."""

    guest_total: float
    guest_free: float
    listed: int
    host_free: int


@dataclass(frozen=True)
class Tolerance:
    """How far the sides may differ, in MiB.

    ``settled`` is for figures that nothing else changes, ``moving`` for what the guest has free:
    its own work changes that all the time.
    """

    settled: float
    moving: float


@dataclass(frozen=True)
class Moved:
    """Memory that was given back or taken: MiB (negative when taken) and the seconds it took."""

    mib: float
    seconds: float

    @property
    def mib_per_s(self) -> float:
        """How fast."""
        return abs(self.mib) / self.seconds if self.seconds else 0.0


def disagreements(
    baseline: MemoryView, now: MemoryView, ballooned: float, tolerance: Tolerance
) -> tuple[str, ...]:
    """Which sides do not show that ``ballooned`` MiB were given back since the baseline; in words. Pure."""
    found = []
    listed = baseline.listed - now.listed
    if abs(listed - ballooned) > tolerance.settled:
        found.append(f"the list of domains shows {listed} MiB given back, not {ballooned:.0f}")
    host = now.host_free - baseline.host_free
    if abs(host - ballooned) > tolerance.settled:
        found.append(f"the host has {host} MiB more, not {ballooned:.0f}")
    total = baseline.guest_total - now.guest_total
    free = baseline.guest_free - now.guest_free
    total_fell = abs(total - ballooned) <= tolerance.settled
    free_fell = abs(total) <= tolerance.settled and abs(free - ballooned) <= tolerance.moving
    if not (total_fell or free_fell):
        found.append(
            f"in the guest the total fell by {total:.0f} MiB and what is free by {free:.0f} MiB: "
            f"one of them should have by {ballooned:.0f}"
        )
    return tuple(found)


class Balloon:
    """A guest's memory target and what comes of it. Made while the guest has all its memory."""

    def __init__(self, guest: Guest, tolerance: Tolerance) -> None:
        self._guest = guest
        self._tolerance = tolerance
        self.full = guest.domain.memory_mib
        self.baseline = self.look()

    def look(self) -> MemoryView:
        """What the three sides say now."""
        toolstack = self._guest.host.toolstack
        memory = self._guest.operations.memory()
        domain = toolstack.find(self._guest.name)
        if domain is None:
            raise NoSuchDomain(f"host {self._guest.host.name}: there is no domain {self._guest.name}")
        return MemoryView(
            guest_total=memory.total_kib / 1024,
            guest_free=memory.free_kib / 1024,
            listed=domain.memory_mib,
            host_free=toolstack.info().free_mib,
        )

    def aim(self, mib: int) -> None:
        """Set the target, of the whole guest in MiB; that the guest follows is not awaited."""
        self._guest.host.toolstack.set_memory(self._guest.name, mib)

    def go(self, mib: int, *, seconds: float) -> Moved:
        """Set a target and wait until all sides agree that it is reached; timed by the list of domains.

        Raises:
            WaitTimedOut: they do not agree; says which do not.
        """
        before = self._listed()
        started = time.monotonic()
        self.aim(mib)
        self._wait_listed(mib, seconds)
        took = time.monotonic() - started
        self.settle(mib, seconds=seconds)
        return Moved(before - self._listed(), took)

    def settle(self, mib: int, *, seconds: float) -> None:
        """Wait until all sides agree that the target is reached.

        Raises:
            WaitTimedOut: they do not agree; says which do not.
        """

        def probe() -> Done[None] | NotYet:
            found = disagreements(self.baseline, self.look(), self.full - mib, self._tolerance)
            return NotYet("; ".join(found)) if found else Done(None)

        wait_until(
            probe,
            subject=f"guest, list and host agree on {self._guest.name} having {mib} MiB",
            deadline=self._guest.deadline(seconds),
            interval_s=2 * _POLL_S,
        )

    def fall_below(self, mib: int, *, seconds: float) -> None:
        """Wait until the list of domains shows no more than ``mib`` of the guest.

        Raises:
            WaitTimedOut: it gives back too little.
        """
        most = self.baseline.listed - (self.full - mib) + self._tolerance.settled

        def probe() -> Done[None] | NotYet:
            listed = self._listed()
            return Done(None) if listed <= most else NotYet(f"{listed} MiB")

        wait_until(
            probe,
            subject=f"{self._guest.name} gives memory back, down to {mib} MiB at least",
            deadline=self._guest.deadline(seconds),
            interval_s=_POLL_S,
        )

    def leave(self, *, seconds: float) -> int:
        """Let a target stand and see that the guest goes on answering; gives the least that was listed.

        Raises:
            GuestError: it crashed, hangs, or answers no more.
        """
        until = self._guest.deadline(seconds)
        least = self._listed()

        def probe() -> Done[int] | NotYet:
            nonlocal least
            least = min(least, self._listed())
            self._guest.operations.boot_id()
            return Done(least) if until.expired else NotYet(f"{least} MiB")

        return wait_until(
            probe,
            subject=f"{self._guest.name} goes on for {seconds:.0f} s",
            deadline=self._guest.deadline(seconds + _ANSWER_S),
            interval_s=2 * _POLL_S,
        )

    def _wait_listed(self, mib: int, seconds: float) -> None:
        """Until the list of domains shows the target: looked at alone, so that the time is true."""
        wanted = self.baseline.listed - (self.full - mib)

        def probe() -> Done[None] | NotYet:
            listed = self._listed()
            close = abs(listed - wanted) <= self._tolerance.settled
            return Done(None) if close else NotYet(f"{listed} MiB")

        wait_until(
            probe,
            subject=f"{self._guest.name} is listed with {wanted} MiB",
            deadline=self._guest.deadline(seconds),
            interval_s=_POLL_S,
        )

    def _listed(self) -> int:
        domain = self._guest.host.toolstack.find(self._guest.name)
        if domain is None:
            raise NoSuchDomain(f"host {self._guest.host.name}: there is no domain {self._guest.name}")
        return domain.memory_mib
