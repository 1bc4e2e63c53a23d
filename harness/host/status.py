"""What is on a host now: for ``pvhck lab status``. It only looks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.errors import HarnessError
from harness.host.area import Leftover, RunState, leftovers, run_of, run_states
from harness.host.health import HealthNote, health_of
from harness.host.host import Host
from harness.host.layers import Layer, LayerStore
from harness.host.lease import Holder, lease_holder, reservation
from harness.host.toolstack.protocol import DomainInfo

__all__ = ["HostStatus", "RunGuest", "RunOnHost", "host_status", "status_lines"]


@dataclass(frozen=True)
class RunGuest:
    """A domain of a run. ``state`` is a word for people."""

    name: str
    memory_mib: int
    vcpus: int
    state: str


@dataclass(frozen=True)
class RunOnHost:
    """A run that has something here. ``ALIVE`` holds its lock; of a dead one all is left over."""

    run_id: str
    state: RunState
    guests: tuple[RunGuest, ...]
    things: tuple[Leftover, ...]

    @property
    def locked(self) -> bool:
        """Whether a living process somewhere holds the run's lock."""
        return self.state is RunState.ALIVE


@dataclass(frozen=True)
class HostStatus:
    """A host now; memory in MiB. ``problem`` is empty when it could be looked at."""

    name: str
    address: str
    problem: str = ""
    mend: str = ""
    xen: str = ""
    total_mib: int = 0
    free_mib: int = 0
    other_domains: int = 0
    runs: tuple[RunOnHost, ...] = ()
    holder: Holder | None = None  # the run that has it
    reserved: Holder | None = None  # for a person
    health: HealthNote = field(default_factory=HealthNote)
    layers: tuple[Layer, ...] = ()

    @property
    def reachable(self) -> bool:
        """Whether it could be looked at."""
        return not self.problem

    @property
    def leftovers(self) -> tuple[Leftover, ...]:
        """What the next sweep will remove."""
        return tuple(thing for run in self.runs if run.state is RunState.DEAD for thing in run.things)


def host_status(host: Host) -> HostStatus:
    """Look at a host; one that cannot be looked at says why."""
    spec = host.spec
    health = health_of(spec)
    try:
        toolstack = host.toolstack
        info = toolstack.info()
        domains = toolstack.domains()
        runs = tuple(
            RunOnHost(
                run_id,
                state,
                tuple(_guest(domain) for domain in domains if run_of(domain.name) == run_id),
                leftovers(host.shell, toolstack, run_id),
            )
            for run_id, state in run_states(host.shell, toolstack).items()
        )
    except HarnessError as error:
        return HostStatus(spec.name, spec.address, problem=error.found, mend=error.mend, health=health)
    others = sum(1 for domain in domains if domain.domid != 0 and run_of(domain.name) is None)
    return HostStatus(
        spec.name,
        spec.address,
        xen=info.version_text,
        total_mib=info.total_mib,
        free_mib=info.free_mib,
        other_domains=others,
        runs=runs,
        holder=lease_holder(host.shell),
        reserved=reservation(host.shell),
        layers=LayerStore(host.shell).all(),
        health=health,
    )


def status_lines(status: HostStatus) -> Iterator[str]:
    """A host for people, a line each."""
    if not status.reachable:
        yield f"{status.name} ({status.address}): {status.problem.removeprefix(f'host {status.name}: ')}"
        if status.mend:
            yield f"  -> {status.mend}"
        yield from _health_lines(status.health)
        return
    memory = f"{status.free_mib} of {status.total_mib} MiB free"
    others = f"{_count(status.other_domains, 'domain')} of others"
    free = ", free" if status.holder is None else ""
    yield f"{status.name} ({status.address}): Xen {status.xen}, {memory}, {others}{free}"
    yield from _health_lines(status.health)
    if status.reserved is not None:
        yield f"  reserved for {status.reserved}"
    if status.holder is not None:
        yield f"  held by {status.holder}"
    if status.layers:
        size_mib = sum(layer.size_mib for layer in status.layers)
        yield f"  {_count(len(status.layers), 'layer')} with installed builds, {size_mib} MiB"
    for run in status.runs:
        yield from _run_lines(run)
    if status.leftovers:
        yield f"  -> pvhck lab sweep {status.name}"


def _run_lines(run: RunOnHost) -> Iterator[str]:
    yield f"  run {run.run_id}: {_RUNS[run.state]}"
    for guest in run.guests:
        yield f"    {guest.name}: {guest.state}, {guest.memory_mib} MiB, {_count(guest.vcpus, 'vCPU')}"
    if run.state is RunState.DEAD:
        for thing in run.things:
            if thing.kind != "domain":
                yield f"    {thing}"


def _health_lines(note: HealthNote) -> Iterator[str]:
    if note.since:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(note.since))
        yield f"  health: {note.health} since {since}{f', {note.reason}' if note.reason else ''}"


_RUNS = {
    RunState.ALIVE: "running, holds its lock",
    RunState.KEPT: "kept on purpose",
    RunState.DEAD: "dead, left over",
}


def _guest(domain: DomainInfo) -> RunGuest:
    states = {
        "crashed": domain.crashed,
        "dying": domain.dying,
        "shut down": domain.shutdown,
        "paused": domain.paused,
    }
    state = next((word for word, holds in states.items() if holds), "running")
    return RunGuest(domain.name, domain.memory_mib, domain.vcpus, state)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
