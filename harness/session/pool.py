"""The hosts a run has: leased, looked at, swept; given back at its end with a word on their health."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from harness.deadline import Deadline, Done, NotYet, WaitTimedOut, wait_until
from harness.errors import HarnessError, HostBusy
from harness.host.area import RunState, run_states, sweep
from harness.host.figures import HostFigures, differences, read_figures
from harness.host.health import Health, health_of, look_at, note_health
from harness.host.host import Host
from harness.host.layers import LayerStore
from harness.host.lease import Holder, HostLease
from harness.host.logscan import HostLogs, read_logs, scan
from harness.lab import GuestTemplate
from harness.lab.match import cannot_carry

__all__ = ["HostPool"]

_AT_ONCE = 8
_ASK_AGAIN_S = 5
_TIDY_S = 60


@dataclass(frozen=True)
class _Had:
    """A host that is ours, and how it was when it became so."""

    host: Host
    lease: HostLease
    logs: HostLogs
    figures: HostFigures


@dataclass
class HostPool:
    """Use it as a context: leaving it gives all hosts back. ``wait_s`` is for all of them together.

    What the logs of a host came to hold meanwhile, and should not, is a warning, and so is what leaked.
    """

    holder: Holder
    wait_s: float
    say: Callable[[str], None]
    warn: Callable[[str], None]
    templates: Sequence[GuestTemplate] = ()  # those the run may clone
    _had: dict[str, _Had] = field(default_factory=dict)
    _held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _deadline: Deadline | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="look-back") as threads:
            list(threads.map(self._look_back, self._had.values()))
        self._held.close()
        self._had.clear()

    def take(self, host: Host) -> None:
        """Make a host ours; one that is ours already stays it.

        Raises:
            InfrastructureError: somebody else has it, it is under maintenance, or it cannot be used.
        """
        lost = self.lost().get(host.name)
        if lost:
            raise HostBusy(f"host {host.name} is not ours any more: {lost}")
        if host.name not in self._had:
            self._own(host, self._await(host))

    def take_all(self, hosts: Sequence[Host]) -> dict[str, HarnessError]:
        """Take what can be had; gives what is wrong with the others, by name.

        Hosts that others have are waited for in the order of their names, so that two runs that wait do not
        wait for each other.
        """
        wrong: dict[str, HarnessError] = {}
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="take-host") as threads:
            for host, taken in [(host, threads.submit(self._own_free, host)) for host in hosts]:
                with _kept(wrong, host):
                    taken.result()
        busy = [host for host in hosts if isinstance(wrong.get(host.name), HostBusy)] if self.wait_s else []
        for host in sorted(busy, key=lambda one: one.name):
            del wrong[host.name]
            with _kept(wrong, host):
                self.take(host)
        return wrong

    def lost(self) -> dict[str, str]:
        """Hosts that were ours and are not any more, and why."""
        return {name: had.lease.lost for name, had in self._had.items() if had.lease.lost}

    def judge(self, name: str, health: Health, reason: str) -> None:
        """Say what this run found a host to be, if it had it."""
        if name in self._had:
            note_health(self._had[name].host.spec, health, reason)

    def _look_back(self, had: _Had) -> None:
        host = had.host
        if had.lease.lost:
            return
        # one that answers no more tells nothing, and is no reason to keep the others
        with contextlib.suppress(HarnessError):
            for finding in scan(had.logs, read_logs(host), nested=host.nested):
                if not finding.known:
                    self.warn(f"host {host.name}: {finding}")
            for leaked in differences(had.figures, read_figures(host)):
                self.warn(f"host {host.name}: leaked in this run: {leaked}")

    def _own_free(self, host: Host) -> None:
        self._own(host, self._leased(host))

    def _own(self, host: Host, lease: HostLease) -> None:
        """A leased host is ours when it is ready; one that is not is given back."""
        with contextlib.ExitStack() as stack:
            stack.push(lease)
            had = _Had(host, lease, self._ready(host), read_figures(host))
            with self._lock:
                self._held.push(stack.pop_all())
                self._had[host.name] = had

    def _leased(self, host: Host) -> HostLease:
        note = health_of(host.spec)
        if note.health is Health.MAINTENANCE:
            raise HostBusy(
                f"host {host.name} is under maintenance: {note.reason or 'no reason given'}",
                mend=f"pvhck lab maintenance {host.name} --end",
            )
        lease = HostLease(host.shell, self.holder)
        return lease.__enter__()

    def _await(self, host: Host) -> HostLease:
        last: HostBusy | None = None

        def probe() -> Done[HostLease] | NotYet:
            nonlocal last
            try:
                return Done(self._leased(host))
            except HostBusy as busy:
                if last is None and self.wait_s:
                    self.say(f"waiting for host {host.name}: {busy.found}")
                last = busy
                return NotYet(busy.found)

        self._deadline = self._deadline or Deadline.after(self.wait_s)
        try:
            return wait_until(
                probe, subject=f"host {host.name}", deadline=self._deadline, interval_s=_ASK_AGAIN_S
            )
        except WaitTimedOut as error:
            assert last is not None
            raise last from error

    def _ready(self, host: Host) -> HostLogs:
        try:
            states = _await_those_that_end(host)
            sweep(host.shell, host.toolstack, self.say)  # first: what dead runs left may be what fills it
            if RunState.KEPT not in states:  # no guest is there that could run on one
                for layer in LayerStore(host.shell).trim(host.spec.layers_mib):
                    self.say(f"{host.name}: removing layer {layer.name}")
            look_at(host, self._images(host))
            logs = read_logs(host)
        except HostBusy:
            raise  # that says nothing of its health
        except HarnessError as error:
            note_health(host.spec, Health.BAD, str(error))
            raise
        if health_of(host.spec).health is Health.BAD:
            note_health(host.spec, Health.UNKNOWN, "it could be looked at again")
        return logs

    def _images(self, host: Host) -> Iterator[str]:
        for template in self.templates:
            if not cannot_carry(host.spec, template):
                yield str(template.image_on(host.spec))


def _await_those_that_end(host: Host) -> frozenset[RunState]:
    """A run that was killed is gone, and its workers may still tidy up: they are let end.

    Gives what is there of other runs: kept guests, and what dead ones left.

    Raises:
        HostBusy: somebody has guests there without a lease.
    """

    def probe() -> Done[frozenset[RunState]] | NotYet:
        states = run_states(host.shell, host.toolstack)
        alive = [run for run, state in states.items() if state is RunState.ALIVE]
        return NotYet(", ".join(alive)) if alive else Done(frozenset(states.values()))

    try:
        return wait_until(
            probe,
            subject=f"runs on host {host.name} that hold no lease end",
            deadline=Deadline.after(_TIDY_S * host.spec.time_factor),
        )
    except WaitTimedOut as error:
        raise HostBusy(str(error), mend=f"pvhck lab status {host.name}") from error


@contextlib.contextmanager
def _kept(wrong: dict[str, HarnessError], host: Host) -> Iterator[None]:
    try:
        yield
    except HarnessError as error:
        wrong[host.name] = error
