"""What a run leaves on a host, and how it is taken away again.

Everything carries the run id: domains are named ``pvhck-RUN-N``, files lie in
``STORAGE/runs/RUN/`` and begin with their domain's name. A run holds a lock on
its folder through an SSH channel; the kernel of the host frees it when the
channel dies, whatever became of us. A folder whose lock is free belongs to a
dead run, and the next sweep removes all of it.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Self

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.errors import CommandFailed, InfrastructureError
from harness.host.ssh import SshShell
from harness.host.toolstack.protocol import NoSuchDomain, Toolstack

__all__ = ["DOMAIN_PREFIX", "Leftover", "RunArea", "domain_name", "leftovers", "remove_leftover", "sweep"]

DOMAIN_PREFIX = "pvhck-"


@dataclass(frozen=True, order=True)
class Leftover:
    """Something of a run on a host: a domain, a file or a loop device."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def domain_name(run_id: str, number: int) -> str:
    """The name of a run's n-th domain on a host."""
    return f"{DOMAIN_PREFIX}{run_id}-{number}"


class RunArea:
    """A run's folder on a host, locked while the run lives. Use it as a context."""

    def __init__(self, shell: SshShell, run_id: str) -> None:
        self._shell = shell
        self.run_id = run_id
        self.folder = str(_runs(shell) / run_id)
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._shell.check(["mkdir", "-p", self.folder])
        running = self._held.enter_context(self._shell.hold(["flock", "-n", _lock(self.folder), "cat"]))
        self._await_lock(running)
        return self

    def __exit__(self, *_: object) -> None:
        self._shell.check(["rm", "-rf", self.folder])
        self._held.close()

    def path(self, name: str) -> str:
        """A file of this run on the host."""
        return str(PurePosixPath(self.folder) / name)

    def keep(self, hours: float) -> None:
        """Spare this folder and its guests from sweeps until the host's clock is that much later."""
        now = int(self._shell.check(["date", "+%s"]))
        self._shell.put(f"{now + int(hours * 3600)}\n".encode(), _expiry(self.folder))
        self._held.close()

    def _await_lock(self, running: Callable[[], bool]) -> None:
        def probe() -> Done[None] | NotYet:
            if not running():
                raise InfrastructureError(
                    f"host {self._shell.spec.name}: cannot lock {self.folder}",
                    mend="flock of util-linux must be there and the storage writable",
                )
            taken = self._shell.run(["flock", "-n", _lock(self.folder), "true"])
            return NotYet("the lock is still free") if taken.ok else Done(None)

        wait_until(
            probe,
            subject=f"the run's lock on host {self._shell.spec.name}",
            deadline=Deadline.after(20 * self._shell.spec.time_factor),
            interval_s=0.05,
        )


def leftovers(shell: SshShell, toolstack: Toolstack, run_id: str) -> tuple[Leftover, ...]:
    """All that carries a run's id on the host now, sorted; the lock is not counted."""
    folder = str(_runs(shell) / run_id)
    found = [
        Leftover("domain", domain.name)
        for domain in toolstack.domains()
        if domain.name.startswith(f"{DOMAIN_PREFIX}{run_id}-")
    ]
    files = shell.run(["find", folder, "-type", "f"], repeatable=True).stdout.splitlines()
    found += [Leftover("file", path) for path in files if path not in {_lock(folder), _expiry(folder)}]
    loops = shell.run(["losetup", "-a"], repeatable=True).stdout.splitlines()
    found += [Leftover("loop device", line.partition(":")[0]) for line in loops if folder in line]
    return tuple(sorted(found))


def sweep(shell: SshShell, toolstack: Toolstack, report: Callable[[str], None]) -> int:
    """Remove everything of dead runs; gives how many there were. ``report`` gets a line for each thing."""
    alive = _live_runs(shell)
    dead = {run for run in _run_ids(shell, toolstack) if run not in alive and not _is_kept(shell, run)}
    for run in sorted(dead):
        for leftover in leftovers(shell, toolstack, run):
            report(f"{shell.spec.name}: removing {leftover}")
            remove_leftover(shell, toolstack, leftover)
        shell.check(["rm", "-rf", str(_runs(shell) / run)])
    return len(dead)


def remove_leftover(shell: SshShell, toolstack: Toolstack, leftover: Leftover) -> None:
    """Take one thing away; what is already gone is no error."""
    if leftover.kind == "domain":
        with contextlib.suppress(NoSuchDomain):
            toolstack.destroy(leftover.name)
    elif leftover.kind == "loop device":
        shell.run(["losetup", "-d", leftover.name])
    else:
        shell.check(["rm", "-f", leftover.name])


def _run_ids(shell: SshShell, toolstack: Toolstack) -> set[str]:
    by_domain = {
        domain.name.removeprefix(DOMAIN_PREFIX).rpartition("-")[0]
        for domain in toolstack.domains()
        if domain.name.startswith(DOMAIN_PREFIX)
    }
    return by_domain | set(_folders(shell))


def _live_runs(shell: SshShell) -> set[str]:
    return {run for run in _folders(shell) if not _lock_is_free(shell, str(_runs(shell) / run))}


def _is_kept(shell: SshShell, run: str) -> bool:
    result = shell.run(["cat", _expiry(str(_runs(shell) / run))], repeatable=True)
    if not result.ok:
        return False
    return int(shell.check(["date", "+%s"], repeatable=True)) < int(result.stdout)


def _folders(shell: SshShell) -> Iterable[str]:
    return shell.run(["ls", "-1", str(_runs(shell))], repeatable=True).stdout.splitlines()


def _lock_is_free(shell: SshShell, folder: str) -> bool:
    result = shell.run(["flock", "-n", _lock(folder), "true"])
    if result.rc not in {0, 1}:
        raise CommandFailed(
            f"host {shell.spec.name}: {result.describe()}", mend=f"look at {shlex.quote(folder)}"
        )
    return result.ok


def _runs(shell: SshShell) -> PurePosixPath:
    return PurePosixPath(shell.spec.storage) / "runs"


def _lock(folder: str) -> str:
    return f"{folder}/alive"


def _expiry(folder: str) -> str:
    return f"{folder}/kept-until"
