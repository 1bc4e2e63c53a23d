"""What a run leaves on a host, and how it is taken away again.

Everything carries the run id: domains are named ``pvhck-RUN-N``, files lie in
``STORAGE/runs/RUN/`` and begin with their domain's name, logical volumes are
called as their domain is. A run holds a lock on
its folder through an SSH channel; the kernel of the host frees it when the
channel dies, whatever became of us. A folder whose lock is free belongs to a
dead run, and the next sweep removes all of it.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Self

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.errors import CommandFailed, InfrastructureError
from harness.host.adopted import DISK, TARGET, changes_left, note_path, put_back
from harness.host.ssh import SshShell
from harness.host.sshchannel import Hold
from harness.host.strays import Gone, ports_of, processes_of, store_paths_of
from harness.host.toolstack.protocol import NoSuchDomain, Toolstack
from harness.host.volumes import remove_volume, volume_names
from harness.host.xenstore import Xenstore

__all__ = [
    "DOMAIN_PREFIX",
    "Leftover",
    "RunArea",
    "RunState",
    "domain_name",
    "home_of",
    "leftovers",
    "remove_leftover",
    "remove_leftovers",
    "remove_run",
    "run_of",
    "run_states",
    "sweep",
]

DOMAIN_PREFIX = "pvhck-"
# Whatever else a person called pvhck-something is none of ours, and is let be.
_OURS = re.compile(rf"{DOMAIN_PREFIX}(?P<run>[A-Za-z0-9][A-Za-z0-9-]*)-(?P<number>\d+)")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_DEVICES = "/sys/class/net"
_ROUNDS = 2  # what stays of a domain is seen when the domain itself is gone
_VOLUME = "logical volume"
_LOCK_WAIT_S = 10  # others look at the lock now and then, and hold it while they look


@dataclass(frozen=True, order=True)
class Leftover:
    """Something of a run on a host: domain, file, loop device, volume (VG/LV), stray of what is gone."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def passing(self) -> bool:
        """Whether it may still go by itself: what a toolstack takes away after the domain itself."""
        return self.kind in {"process", "xenstore path", "network device", "loop device"}


class RunState(StrEnum):
    """What a run's lock and expiry say of it."""

    ALIVE = "alive"
    KEPT = "kept"
    DEAD = "dead"


def domain_name(run_id: str, number: int) -> str:
    """The name of a run's n-th domain on a host."""
    return f"{DOMAIN_PREFIX}{run_id}-{number}"


def run_of(domain: str) -> str | None:
    """The run that a domain belongs to; None for what is none of ours."""
    match = _OURS.fullmatch(domain)
    return match["run"] if match else None


def home_of(shell: SshShell, domain: str) -> PurePosixPath:
    """Where files of a domain lie on the host: in its run's folder, which a sweep looks through."""
    run = run_of(domain)
    return PurePosixPath(shell.spec.storage) if run is None else _runs(shell) / run


class RunArea:
    """A run's folder on a host, locked while the run lives. Use it as a context.

    Leaving it removes the folder if nothing of a guest lies in it any more: the disk of a domain
    that runs is not taken from under it. What stays is the next sweep's.
    """

    def __init__(self, shell: SshShell, run_id: str) -> None:
        if not _RUN_ID.fullmatch(run_id):
            raise ValueError(f"{run_id!r} is no run id: letters, digits and dashes")
        self._shell = shell
        self.run_id = run_id
        self.folder = str(_runs(shell) / run_id)
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._shell.check(["mkdir", "-p", self.folder])
            lock = ["flock", "-w", str(_LOCK_WAIT_S), _lock(self.folder), "cat"]
            self._await_lock(self._held.enter_context(self._shell.hold(lock)))
        except BaseException:
            with contextlib.suppress(InfrastructureError):
                self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            files = self._shell.run(["find", self.folder, "-type", "f"], repeatable=True).stdout
            if not _guest_files(files, self.folder):
                self._shell.check(["rm", "-rf", self.folder])
        finally:
            self._held.close()

    def path(self, name: str) -> str:
        """A file of this run on the host."""
        return str(PurePosixPath(self.folder) / name)

    def keep(self, hours: float) -> None:
        """Spare this folder and its guests from sweeps until the host's clock is that much later."""
        now = int(self._shell.check(["date", "+%s"]))
        self._shell.put(f"{now + int(hours * 3600)}\n".encode(), _expiry(self.folder))
        self._held.close()

    def _await_lock(self, hold: Hold) -> None:
        def probe() -> Done[None] | NotYet:
            look = self._shell.run(["flock", "-n", _lock(self.folder), "true"])
            if not hold.running or look.rc not in {0, 1}:
                raise InfrastructureError(
                    f"host {self._shell.spec.name}: cannot lock {self.folder}: {look.describe()}",
                    mend="flock of util-linux must be there and the storage writable",
                )
            return NotYet("the lock is still free") if look.ok else Done(None)

        wait_until(
            probe,
            subject=f"the run's lock on host {self._shell.spec.name}",
            deadline=Deadline.after(20 * self._shell.spec.time_factor),
            interval_s=0.05,
        )


def leftovers(
    shell: SshShell, toolstack: Toolstack, run_id: str, domids: Collection[int] = ()
) -> tuple[Leftover, ...]:
    """All that is a run's on the host now, sorted; the lock is not counted.

    ``domids`` are numbers its domains have or had: by them strays are known that carry no name.
    """
    folder = str(_runs(shell) / run_id)
    domains = toolstack.domains()
    found = [Leftover("domain", domain.name) for domain in domains if run_of(domain.name) == run_id]
    files = shell.run(["find", folder, "-type", "f"], repeatable=True).stdout
    found += [Leftover("file", path) for path in _guest_files(files, folder)]
    loops = shell.run(["losetup", "-a"], repeatable=True).stdout.splitlines()
    found += [Leftover("loop device", line.partition(":")[0]) for line in loops if f"{folder}/" in line]
    if note_path(folder) in files.splitlines():
        found += [Leftover(kind, name) for kind, name in changes_left(shell, toolstack, folder)]
    found += [Leftover(_VOLUME, name) for name, run in _our_volumes(shell) if run == run_id]
    gone = Gone(
        ours=lambda name: run_of(name) == run_id,
        names=_OURS,
        listed=frozenset(domain.name for domain in domains),
        domids=frozenset(domids) - {domain.domid for domain in domains},
    )
    return tuple(sorted((*found, *_strays(shell, gone))))


def _strays(shell: SshShell, gone: Gone) -> Iterator[Leftover]:
    processes = shell.check(["ps", "-e", "-o", "pid=", "-o", "args="], repeatable=True)
    for pid, words in processes_of(gone, processes):
        yield Leftover("process", f"{pid} ({words})")
    for path in store_paths_of(gone, Xenstore(shell).tree("/")):
        yield Leftover("xenstore path", path)
    devices = shell.run(["ls", "-1", _DEVICES], repeatable=True).stdout.splitlines()
    for device in ports_of(gone, devices):
        yield Leftover("network device", device)


def sweep(shell: SshShell, toolstack: Toolstack, report: Callable[[str], None]) -> int:
    """Remove everything of dead runs; gives how many there were. ``report`` gets a line for each thing."""
    dead = [run for run, state in run_states(shell, toolstack).items() if state is RunState.DEAD]
    for run in dead:
        remove_run(shell, toolstack, run, report)
    return len(dead)


def run_states(shell: SshShell, toolstack: Toolstack) -> Mapping[str, RunState]:
    """Every run that has something on the host, sorted by its id.

    The lock is looked at last: a run that begins meanwhile has its folder first, then its lock.
    """
    return {run: _state_of(shell, run) for run in sorted(_run_ids(shell, toolstack))}


def remove_leftover(shell: SshShell, toolstack: Toolstack, leftover: Leftover) -> None:
    """Take one thing away; what is already gone is no error."""
    match leftover.kind:
        case "domain":
            with contextlib.suppress(NoSuchDomain):
                toolstack.destroy(leftover.name)
        case "loop device":
            shell.run(["losetup", "-d", leftover.name])
        case "logical volume":
            remove_volume(shell, leftover.name)
        case kind if kind in {DISK, TARGET}:
            put_back(toolstack, kind, leftover.name)
        case "process":
            shell.run(["kill", leftover.name.partition(" ")[0]])
        case "xenstore path":
            shell.run(["xenstore-rm", leftover.name])
        case "network device":
            shell.run(["ip", "link", "delete", leftover.name])
        case _:
            shell.check(["rm", "-f", leftover.name])


def remove_leftovers(
    shell: SshShell, toolstack: Toolstack, run_id: str, report: Callable[[str], None] = lambda _: None
) -> None:
    """Take away all that carries a run's id, a line for each thing; its folder stays, with its lock."""
    for _ in range(_ROUNDS):
        for leftover in (found := leftovers(shell, toolstack, run_id)):
            report(f"{shell.spec.name}: removing {leftover}")
            remove_leftover(shell, toolstack, leftover)
        if not found:
            return


def remove_run(shell: SshShell, toolstack: Toolstack, run_id: str, report: Callable[[str], None]) -> None:
    """Take away all of a run whose process is gone, its folder too; a line for each thing."""
    remove_leftovers(shell, toolstack, run_id, report)
    shell.check(["rm", "-rf", str(_runs(shell) / run_id)])


def _run_ids(shell: SshShell, toolstack: Toolstack) -> set[str]:
    by_domain = {run_of(domain.name) for domain in toolstack.domains()} - {None}
    folders = shell.run(["ls", "-1", str(_runs(shell))], repeatable=True).stdout.splitlines()
    found = {run for run in by_domain if run} | {name for name in folders if _RUN_ID.fullmatch(name)}
    return found | {run for _, run in _our_volumes(shell)}


def _our_volumes(shell: SshShell) -> list[tuple[str, str]]:
    """Logical volumes of runs, each with its run: they bear a domain's name."""
    named = [(name, run_of(name.partition("/")[2])) for name in volume_names(shell)]
    return [(name, run) for name, run in named if run is not None]


def _state_of(shell: SshShell, run: str) -> RunState:
    if _is_kept(shell, run):
        return RunState.KEPT
    return RunState.ALIVE if _is_alive(shell, run) else RunState.DEAD


def _is_kept(shell: SshShell, run: str) -> bool:
    result = shell.run(["cat", _expiry(str(_runs(shell) / run))], repeatable=True)
    if not result.ok or not result.stdout.strip().isdecimal():
        return False
    return int(shell.check(["date", "+%s"], repeatable=True)) < int(result.stdout)


def _is_alive(shell: SshShell, run: str) -> bool:
    """Whether somebody holds the run's lock; without a folder (a domain alone) nobody can."""
    folder = str(_runs(shell) / run)
    result = shell.run(["flock", "-n", _lock(folder), "true"])
    if result.rc not in {0, 1} and shell.run(["ls", folder], repeatable=True).ok:
        raise CommandFailed(
            f"host {shell.spec.name}: {result.describe()}", mend=f"look at {shlex.quote(folder)}"
        )
    return result.rc == 1


def _guest_files(listing: str, folder: str) -> list[str]:
    ours = {_lock(folder), _expiry(folder), note_path(folder)}
    return [path for path in listing.splitlines() if path not in ours]


def _runs(shell: SshShell) -> PurePosixPath:
    return PurePosixPath(shell.spec.storage) / "runs"


def _lock(folder: str) -> str:
    return f"{folder}/alive"


def _expiry(folder: str) -> str:
    return f"{folder}/kept-until"
