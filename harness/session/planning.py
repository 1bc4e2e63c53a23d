"""From what was collected to what is spread over slots: tasks, their expected durations, the slots. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.lab import GuestTemplate, Lab
from harness.results import TestFacts
from harness.session.dispatch import Task
from harness.session.selection import Planned, test_facts
from harness.session.slots import Slot, slots_of

__all__ = ["Plan", "make_plan"]

_UNKNOWN_S = 60.0  # of a test, when no run has told yet; only what is longer than what matters
_FRESH_TESTS = 3  # a new guest with drivers costs about as much as so many tests


@dataclass(frozen=True)
class Plan:
    """A run that is spread over slots. ``skipped`` are the tests that cannot run, and why."""

    tests: tuple[TestFacts, ...]
    tasks: tuple[Task, ...]
    skipped: Mapping[str, str]
    slots: tuple[Slot, ...]
    fresh_s: float

    @property
    def expected_s(self) -> float:
        """How long it may take, if earlier runs tell."""
        return sum(task.expected_s for task in self.tasks) / max(1, len(self.slots))

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts of the slots, sorted."""
        return tuple(sorted({slot.host for slot in self.slots}))


def make_plan(
    planned: Sequence[Planned], lab: Lab, durations: Mapping[str, float], *, most: int | None = None
) -> Plan:
    """How a run goes over at most so many slots; ``durations`` in seconds, by test id, of earlier runs."""
    usual = statistics.median(durations.values()) if durations else _UNKNOWN_S
    able = [one for one in planned if one.hosts]
    templates: dict[str, dict[str, GuestTemplate]] = {}
    for one in able:
        for host in one.hosts:
            templates.setdefault(host, {})[one.template.name] = one.template
    return Plan(
        tests=tuple(test_facts(one) for one in planned),
        tasks=tuple(_task(one, durations.get(one.item.nodeid, usual)) for one in able),
        skipped={one.item.nodeid: "; ".join(one.reasons) for one in planned if one.reasons},
        slots=slots_of(
            lab.hosts.values(), {host: tuple(found.values()) for host, found in templates.items()}, most=most
        ),
        fresh_s=_FRESH_TESTS * usual if durations else 0.0,  # nothing is known: use what is there
    )


def _task(planned: Planned, expected_s: float) -> Task:
    item = planned.item
    fixtures: Sequence[str] = getattr(item, "fixturenames", ())
    return Task(
        id=item.nodeid,
        name=planned.name,
        template=planned.template.name,
        hosts=planned.hosts,
        exclusive=item.get_closest_marker("pv_exclusive") is not None,
        # a bare guest takes the place of the one that is kept
        dirties=item.get_closest_marker("pv_dirties") is not None or "bare_guest" in fixtures,
        expected_s=expected_s,
    )
