"""XENBUS's balloon: facts/pv-drivers.md 3. All figures in KiB."""

from __future__ import annotations

from collections.abc import Callable

from harness.operations import Memory
from harness.simlab.guest.frontends import Frontends
from harness.simlab.guest.life import Life

__all__ = ["Balloon"]

_CHUNK = 8192 * 4  # 8192 pages a time (win-xenbus src/xenbus/balloon.c)
_RETRY = 25  # chunks' time until a refused one is tried again; the driver waits a second
_LOW = 32 << 10  # guess: below so much free memory Windows signals LowMemoryCondition
_RESERVED = 1600  # guess: what firmware and devices keep of the memory
_KEPT_PART = 0.5  # guess: how much of its own use Windows cannot page out


class Balloon:
    """How much memory the guest has given back, and how it follows ``memory/target``."""

    def __init__(
        self,
        life: Life,
        frontends: Frontends,
        used: int,
        *,
        stuck: Callable[[], bool],
        shrinks_total: Callable[[], bool],
    ) -> None:
        self._life = life
        self._frontends = frontends
        self._used = used
        self._stuck = stuck
        self._shrinks_total = shrinks_total
        self._on = False
        self._moving = False
        self.size = 0

    @property
    def empty(self) -> bool:
        """Whether nothing is given back: else XENBUS vetoes being stopped."""
        return self.size == 0

    def switch_on(self) -> None:
        """XENBUS is active. The first balloon is there before the device has started."""
        self._on = True
        goal = min(self._goal(), self._most())
        if goal > 0 and not self._stuck():
            self.size = goal
            self._life.machine.set_memory(self._life.machine.maxmem_kib - goal)
        self.follow()

    def move_to(self, life: Life, frontends: Frontends) -> None:
        """The guest goes on in another domain, after a restore."""
        self._life, self._frontends = life, frontends
        self._moving = False

    def follow(self) -> None:
        """Look at the target again."""
        if self._on and not self._stuck() and not self._moving and self._goal() != self.size:
            self._moving = True
            self._frontends.set_balloon(active=True)
            self._life.after(self._life.machine.pace.balloon, self._step)

    def memory(self) -> Memory:
        """What the guest sees."""
        machine = self._life.machine
        whole = machine.maxmem_kib - machine.videoram_kib
        total = whole - _RESERVED - (self.size if self._shrinks_total() else 0)
        free = whole - _RESERVED - self._used_now() - self.size
        return Memory(
            total_kib=total,
            free_kib=max(free, _LOW),
            physical_kib=total + _RESERVED // 2,
        )

    def _used_now(self) -> int:
        """A small guest uses less: never more than two fifths of what there is."""
        machine = self._life.machine
        return min(self._used, (machine.maxmem_kib - machine.videoram_kib) * 2 // 5)

    def _most(self) -> int:
        """The greatest balloon this guest can fill."""
        machine = self._life.machine
        whole = machine.maxmem_kib - machine.videoram_kib
        return max(0, whole - _RESERVED - int(self._used_now() * _KEPT_PART) - _LOW)

    def _goal(self) -> int:
        """The balloon's size that the target asks for; a missing key asks for nothing."""
        home = f"/local/domain/{self._life.machine.domid}/memory"
        store = self._life.machine.store
        try:
            most, target = int(store.get(f"{home}/static-max")), int(store.get(f"{home}/target"))
        except ValueError:
            return self.size
        video = int(store.get(f"{home}/videoram") or "0")
        return max(0, most - video - target)

    def _step(self) -> None:
        goal = self._goal()
        wanted = self.size + max(-_CHUNK, min(_CHUNK, goal - self.size))
        pace = self._life.machine.pace.balloon
        if wanted == self.size:
            self._moving = False
            self._frontends.set_balloon(active=False)
            return
        refused = wanted > self._most() if wanted > self.size else False
        if not refused and self._life.machine.set_memory(self._life.machine.maxmem_kib - wanted):
            self.size = wanted
            self._life.after(pace, self._step)
        else:
            self._life.after(pace * _RETRY, self._step)
