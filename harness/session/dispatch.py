"""Which test goes to which slot next. Pure: it knows no worker and no clock.

The rules, in this order:

- a test runs on a host that is able to, and no longer on one that was taken out;
- a test marked exclusive has its host alone, and goes while the host is idle: first of all at the beginning;
- a slot stays with the template whose guest it has, and takes the longest test of it;
- with none left, it turns to the template with the most work for each slot that serves it, unless those
  who do will be ready before a new guest would be;
- a broken test goes once more when nothing else is left for the slot, on another host where there is one;
- two different tests broken in a row take the host out: its tests go elsewhere, or are stranded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.model import Outcome
from harness.session.slots import Slot

__all__ = ["Assignment", "Dispatcher", "Task"]

_BROKEN_IN_A_ROW = 2
_ATTEMPTS = 2


@dataclass(frozen=True)
class Task:
    """A test at its placement. ``name`` is the test without its placement; ``hosts`` are able to run it.

    ``attempt`` is the number of its next one: above 1 when it was under way as the run died before.
    """

    id: str
    name: str
    template: str
    hosts: tuple[str, ...]
    exclusive: bool = False
    dirties: bool = False
    expected_s: float = 60.0
    attempt: int = 1


@dataclass(frozen=True)
class Assignment:
    """A test that a slot was given; attempts count from 1."""

    task: Task
    attempt: int


@dataclass
class _HostState:
    slots: set[Slot] = field(default_factory=set)
    broken_in_a_row: list[str] = field(default_factory=list)
    out: str = ""  # why no more tests go there


class Dispatcher:
    """Gives tests to slots until all have run. ``fresh_s`` is what a new guest costs, in seconds."""

    def __init__(self, tasks: Iterable[Task], slots: Iterable[Slot], *, fresh_s: float) -> None:
        self._pending = {task.id: task for task in tasks}
        self._again: dict[str, Task] = {}
        self._avoid: dict[str, set[str]] = {}
        self._running: dict[Slot, Assignment] = {}
        self._holds: dict[Slot, str] = {}
        self._hosts: dict[str, _HostState] = {}
        self._fresh_s = fresh_s
        for slot in slots:
            self._hosts.setdefault(slot.host, _HostState()).slots.add(slot)

    @property
    def done(self) -> bool:
        """Whether nothing runs and nothing is left to run."""
        return not (self._running or self._pending or self._again)

    @property
    def out(self) -> Mapping[str, str]:
        """Hosts that were taken out, and why."""
        return {name: host.out for name, host in self._hosts.items() if host.out}

    def running(self, slot: Slot) -> Assignment | None:
        """What a slot is at."""
        return self._running.get(slot)

    def next(self, slot: Slot) -> Assignment | None:
        """What an idle slot does now; None when there is nothing for it at this moment."""
        host = self._hosts[slot.host]
        others = [self._running[other] for other in host.slots if other in self._running and other != slot]
        if slot in self._running or host.out or any(other.task.exclusive for other in others):
            return None
        chosen = self._first(slot, idle=not others) or self._second(slot, idle=not others)
        if chosen is not None:
            self._running[slot] = chosen
            self._holds[slot] = chosen.task.template
        return chosen

    def finished(self, slot: Slot, outcome: Outcome) -> None:
        """A slot's test has ended."""
        assignment = self._running.pop(slot)
        task, host = assignment.task, self._hosts[slot.host]
        if assignment.task.dirties or outcome in {Outcome.FAILED, Outcome.BROKEN}:
            self._holds.pop(slot, None)  # its guest is gone
        if outcome is not Outcome.BROKEN:
            host.broken_in_a_row.clear()
            return
        self._avoid.setdefault(task.id, set()).add(slot.host)
        if assignment.attempt < max(_ATTEMPTS, task.attempt):
            self._again[task.id] = task
        # one scenario that breaks everywhere says nothing of the host
        if task.name not in host.broken_in_a_row:
            host.broken_in_a_row.append(task.name)
        if len(host.broken_in_a_row) >= _BROKEN_IN_A_ROW:
            self.take_out(slot.host, f"{_BROKEN_IN_A_ROW} tests in a row were broken on it")

    def lost(self, slot: Slot) -> Assignment | None:
        """A slot's worker died; gives the test that died with it, which is broken."""
        assignment = self._running.get(slot)
        self._holds.pop(slot, None)
        if assignment is not None:
            self.finished(slot, Outcome.BROKEN)
        return assignment

    def take_out(self, host: str, why: str) -> None:
        """No more tests for a host."""
        self._hosts[host].out = self._hosts[host].out or why
        for slot in self._hosts[host].slots:
            self._holds.pop(slot, None)

    def take_stranded(self) -> tuple[Task, ...]:
        """Tests that have not run and that no host is left for: they are given up.

        Second attempts without a host are given up in silence: the first one stands.
        """
        stranded = tuple(task for task in self._pending.values() if not self._left(task))
        for task in stranded:
            del self._pending[task.id]
        self._again = {name: task for name, task in self._again.items() if self._left(task)}
        return stranded

    def take_pending(self) -> tuple[Task, ...]:
        """All tests that have not begun: they are given up, second attempts with them."""
        pending = tuple(self._pending.values())
        self._pending.clear()
        self._again.clear()
        return pending

    # -- inner parts

    def _left(self, task: Task) -> tuple[str, ...]:
        """The hosts that can still run a test."""
        return tuple(name for name in task.hosts if name in self._hosts and not self._hosts[name].out)

    def _first(self, slot: Slot, *, idle: bool) -> Assignment | None:
        able = [task for task in self._pending.values() if slot.host in task.hosts]
        alone = [task for task in able if task.exclusive]
        shared = [task for task in able if not task.exclusive]
        chosen = self._of_a_template(slot, alone if alone and idle else shared)
        if chosen is None:
            return None
        del self._pending[chosen.id]
        return Assignment(chosen, chosen.attempt)

    def _second(self, slot: Slot, *, idle: bool) -> Assignment | None:
        if any(slot.host in task.hosts for task in self._pending.values()):
            return None
        for task in self._again.values():
            left = set(self._left(task))
            places = left - self._avoid[task.id] or left
            if slot.host in places and (idle or not task.exclusive):
                del self._again[task.id]
                return Assignment(task, task.attempt + 1)
        return None

    def _of_a_template(self, slot: Slot, able: list[Task]) -> Task | None:
        groups: dict[str, list[Task]] = {}
        for task in able:
            groups.setdefault(task.template, []).append(task)
        held = self._holds.get(slot)
        if held in groups:
            return max(groups[held], key=_urgency)
        worth = {name: self._worth(name, tasks) for name, tasks in groups.items()}
        best = max(worth, key=lambda name: worth[name], default=None)
        if best is None or worth[best] <= 0:
            return None
        return max(groups[best], key=_urgency)

    def _worth(self, template: str, tasks: list[Task]) -> float:
        """Seconds of work for each slot with one more; none if those who serve it are ready sooner."""
        able = {host for task in tasks for host in task.hosts}
        serving = sum(1 for slot, held in self._holds.items() if held == template and slot.host in able)
        work = sum(task.expected_s for task in tasks)
        if serving and work / serving <= self._fresh_s:
            return 0
        return (work or 1) / (serving + 1)


def _urgency(task: Task) -> tuple[bool, float]:
    """Those that leave the guest as it was come first, then the longest."""
    return (not task.dirties, task.expected_s)
