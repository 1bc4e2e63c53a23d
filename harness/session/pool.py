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
from harness.host.health import Health, health_of, look_at, note_health
from harness.host.host import Host
from harness.host.layers import LayerStore
from harness.host.lease import Holder, HostLease
from harness.host.logscan import HostLogs, read_logs, scan

__all__ = ["HostPool"]

_AT_ONCE = 8
_ASK_AGAIN_S = 5
_TIDY_S = 60


@dataclass
class HostPool:
    """Use it as a context: leaving it gives all hosts back. ``wait_s`` is for all of them together.

    What the logs of a host came to hold meanwhile, and should not, is a warning.
    """

    holder: Holder
    wait_s: float
    say: Callable[[str], None]
    warn: Callable[[str], None]
    _leases: dict[str, HostLease] = field(default_factory=dict)
    _hosts: dict[str, Host] = field(default_factory=dict)
    _held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _deadline: Deadline | None = None
    _logs: dict[str, HostLogs] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="scan-logs") as threads:
            list(threads.map(self._scan_logs, self._hosts.values()))
        self._held.close()
        self._leases.clear()
        self._hosts.clear()

    def take(self, host: Host) -> None:
        """Make a host ours; one that is ours already stays it.

        Raises:
            InfrastructureError: somebody else has it, it is under maintenance, or it cannot be used.
        """
        lost = self.lost().get(host.name)
        if lost:
            raise HostBusy(f"host {host.name} is not ours any more: {lost}")
        if host.name not in self._leases:
            self._keep(host, self._await(host))
            self._ready(host)

    def take_all(self, hosts: Sequence[Host]) -> dict[str, HarnessError]:
        """Take what can be had; gives what is wrong with the others, by name.

        Hosts that others have are waited for in the order of their names, so that two runs that wait do not
        wait for each other.
        """
        wrong: dict[str, HarnessError] = {}
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="take-host") as threads:
            for host, taken in [(host, threads.submit(self._take_free, host)) for host in hosts]:
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
        return {name: lease.lost for name, lease in self._leases.items() if lease.lost}

    def judge(self, name: str, health: Health, reason: str) -> None:
        """Say what this run found a host to be, if it had it."""
        if name in self._hosts:
            note_health(self._hosts[name].spec, health, reason)

    def _scan_logs(self, host: Host) -> None:
        if host.name in self.lost():
            return
        found = scan(self._logs.get(host.name, HostLogs()), read_logs(host), nested=host.nested)
        for finding in found:
            if not finding.known:
                self.warn(f"host {host.name}: {finding}")

    def _take_free(self, host: Host) -> None:
        self._keep(host, self._leased(host))
        self._ready(host)

    def _leased(self, host: Host) -> HostLease:
        note = health_of(host.spec)
        if note.health is Health.MAINTENANCE:
            raise HostBusy(
                f"host {host.name} is under maintenance: {note.reason or 'no reason given'}",
                mend=f"pvhck lab maintenance {host.name} --end",
            )
        lease = HostLease(host.shell, self.holder)
        return lease.__enter__()

    def _keep(self, host: Host, lease: HostLease) -> None:
        with self._lock:
            self._held.push(lease)
            self._leases[host.name], self._hosts[host.name] = lease, host

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

    def _ready(self, host: Host) -> None:
        try:
            _await_those_that_end(host)
            sweep(host.shell, host.toolstack, self.say)  # first: what dead runs left may be what fills it
            if not run_states(host.shell, host.toolstack):  # no guest is there that could run on one
                for layer in LayerStore(host.shell).trim(host.spec.layers_mib):
                    self.say(f"{host.name}: removing layer {layer.name}")
            look_at(host)
            self._logs[host.name] = read_logs(host)
        except HarnessError as error:
            note_health(host.spec, Health.BAD, str(error))
            raise
        if health_of(host.spec).health is Health.BAD:
            note_health(host.spec, Health.UNKNOWN, "it could be looked at again")


def _await_those_that_end(host: Host) -> None:
    """A run that was killed is gone, and its workers may still tidy up: they are let end.

    Raises:
        HostBusy: somebody has guests there without a lease.
    """

    def probe() -> Done[None] | NotYet:
        states = run_states(host.shell, host.toolstack).items()
        alive = [run for run, state in states if state is RunState.ALIVE]
        return NotYet(", ".join(alive)) if alive else Done(None)

    try:
        wait_until(
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
