"""One run at a time on a host: a lock on this machine, and one on dom0 that lives by our heartbeats.

The lock on this machine (filelock) keeps runs of one controller apart without asking the host; the kernel
frees it when we die. The one on dom0 keeps controllers apart: a command holds it there as long as its SSH
channel is open and a line comes every 20 s. When we die the channel closes; when the cable is cut dom0
notices that no line came for a minute, and ends the command itself. Both say who holds them, for people.

A person reserves a host by a file there that no process has to hold: it ends at a time of the host's clock.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import filelock

from harness.deadline import Deadline
from harness.errors import HarnessError, HostBusy, InfrastructureError
from harness.host.numbers import whole_number
from harness.host.ssh import SshShell
from harness.host.sshchannel import Hold
from harness.host.state import moment, read_note, state_path
from harness.lab import HostKind, HostSpec

__all__ = [
    "FOLDER",
    "Holder",
    "HostLease",
    "holder_now",
    "lease_holder",
    "me",
    "release",
    "reservation",
    "reserve",
]

FOLDER = "/var/lib/pvhck"  # on dom0; not the storage, which controllers may have different ones of
_LOCK, _BEAT, _HOLDER, _RESERVED = (
    f"{FOLDER}/{name}" for name in ("lease", "lease.beat", "lease.json", "reserved.json")
)
_BEAT_S = 20
_LOST_S = 60  # as long as dom0 waits, before the host's time factor
_WAIT_S = 3
_BUSY = 1  # what flock -n says

# find's -mmin counts whole minutes, in any find there is; the clock is the host's own. A process that was
# killed outright is noticed by kill -0. Only what POSIX sh of an old dom0 has: neither read -t nor timeout.
_KEEPER = f"""beat={_BEAT}; me=$$
echo "$me" >{FOLDER}/lease.pid
: >"$beat"
(while sleep {_BEAT_S} && kill -0 "$me"; do
  if [ -n "$(find "$beat" -mmin +1)" ]; then kill "$me"; exit; fi
done) </dev/null >/dev/null 2>&1 &
watch=$!
while read -r line; do : >"$beat"; echo "$line"; done
kill "$watch"
"""


@dataclass(frozen=True)
class Holder:
    """Who has a host. Times are seconds since 1970; ``until`` is the expected end, 0 if nobody can say."""

    owner: str
    run: str = ""  # empty: a person has reserved it
    since: float = 0.0
    until: float = 0.0
    reason: str = ""

    def __str__(self) -> str:
        what = f"run {self.run} of {self.owner}" if self.run else self.owner
        since = f"since {_minute(self.since)}" if self.since else ""
        until = f"until about {_minute(self.until)}" if self.until else ""
        return ", ".join(word for word in (what, since, until, self.reason) if word)


def _minute(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def me() -> str:
    """Who we are, for others: user@machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no name for our number, as in containers
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


def holder_now(run: str, *, expected_s: float = 0.0, reason: str = "") -> Holder:
    """Ourselves as a holder from now on."""
    now = time.time()
    return Holder(me(), run, now, now + expected_s if expected_s else 0.0, reason)


class HostLease:
    """A host for one run. Use it as a context; ``lost`` says why it is ours no longer, empty while it is."""

    def __init__(self, shell: SshShell, holder: Holder, *, folder: Path | None = None) -> None:
        self._shell = shell
        self._holder = holder
        self._folder = folder
        self._held = contextlib.ExitStack()
        self._ended = threading.Event()
        self._lost = ""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_lock_here(self._shell.spec, self._holder, self._folder))
            stack.enter_context(self._lock_there())
            self._held = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @property
    def lost(self) -> str:
        """Why the host is not ours any more."""
        return self._lost

    # -- inner parts

    @contextlib.contextmanager
    def _lock_there(self) -> Iterator[None]:
        shell = self._shell
        shell.check(["mkdir", "-p", FOLDER])
        reserved = reservation(shell)
        if reserved is not None and reserved.owner != self._holder.owner:
            raise _busy(shell.spec, reserved, f"pvhck lab release {shell.spec.name} --force")
        # not -n: a run that has just ended may still be letting go
        with shell.hold(["flock", "-w", str(_WAIT_S), "-o", _LOCK, "sh", "-c", _KEEPER]) as hold:
            if not self._beat(hold):
                raise self._not_ours()
            with contextlib.suppress(InfrastructureError):  # a full disk is said by whoever needs more of it
                shell.put(_plain(self._holder).encode(), _HOLDER)
            beats = threading.Thread(
                target=self._beats, args=(hold,), name=f"lease-{shell.spec.name}", daemon=True
            )
            beats.start()
            try:
                yield
            finally:
                self._ended.set()
                beats.join()
                if not self._lost:
                    with contextlib.suppress(HarnessError):
                        shell.run(["rm", "-f", _HOLDER])

    def _not_ours(self) -> HarnessError:
        spec = self._shell.spec
        found = lease_holder(self._shell)
        if found is not None:
            return _busy(spec, found, f"pvhck lab status {spec.name} says when it is free")
        return InfrastructureError(
            f"host {spec.name}: cannot lock {_LOCK}",
            mend="flock of util-linux must be there, and the folder writable",
        )

    def _beats(self, hold: Hold) -> None:
        allowed = _LOST_S * self._shell.spec.time_factor
        last = time.monotonic()
        while not self._ended.wait(min(_BEAT_S, allowed / 3)):
            if self._beat(hold) or self._beat_again(hold):
                last = time.monotonic()
            elif not hold.running or time.monotonic() - last > allowed:
                self._lost = "its lock on dom0 was lost: the connection broke, or somebody ended it there"
                return

    def _beat_again(self, hold: Hold) -> bool:
        """On a new connection, if the old one broke: the lock may still be free there."""
        with contextlib.suppress(HarnessError):
            self._shell.run(["true"], repeatable=True)
            return self._beat(hold)
        return False

    def _beat(self, hold: Hold) -> bool:
        """Whether the command that holds the lock has answered: the echo of our line is the proof."""
        word = str(time.monotonic_ns())
        deadline = Deadline.after(_BEAT_S * self._shell.spec.time_factor)
        hold.send(word)
        while (line := hold.next_line(deadline)) is not None:
            if line == word:
                return True
        return False


def lease_holder(shell: SshShell) -> Holder | None:
    """The run that holds a host now; None if it is free. It only looks."""
    if shell.run(["flock", "-n", _LOCK, "true"]).rc != _BUSY:
        return None
    return _holder(shell.run(["cat", _HOLDER], repeatable=True).stdout) or Holder("somebody unknown")


def reservation(shell: SshShell) -> Holder | None:
    """The reservation of a host that holds now, by the host's clock."""
    found = _holder(shell.run(["cat", _RESERVED], repeatable=True).stdout)
    if found is None or found.until < _clock(shell):
        return None
    return found


def reserve(shell: SshShell, seconds: float, reason: str) -> Holder:
    """Keep a host for us, whatever runs others start; a run that is on it is let end.

    Raises:
        HostBusy: somebody else has reserved it.
    """
    shell.check(["mkdir", "-p", FOLDER])
    there = reservation(shell)
    if there is not None and there.owner != me():
        raise _busy(shell.spec, there, f"pvhck lab release {shell.spec.name} --force")
    now = _clock(shell)
    holder = replace(holder_now("", reason=reason), since=now, until=now + seconds)
    shell.put(_plain(holder).encode(), _RESERVED)
    return holder


def release(shell: SshShell, *, force: bool = False) -> Holder | None:
    """End the reservation of a host; gives the one that was there.

    Raises:
        HostBusy: it is somebody else's, and nobody said ``force``.
    """
    there = reservation(shell)
    if there is not None and there.owner != me() and not force:
        raise _busy(shell.spec, there, f"pvhck lab release {shell.spec.name} --force")
    shell.check(["rm", "-f", _RESERVED])
    return there


@contextlib.contextmanager
def _lock_here(spec: HostSpec, holder: Holder, folder: Path | None) -> Iterator[None]:
    if spec.kind is HostKind.SIMULATED:
        yield  # it lives within this run: nobody else knows of it
        return
    note = state_path(spec, "json", folder)
    note.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(state_path(spec, "lock", folder), blocking=False)
    try:
        held = lock.acquire()
    except filelock.Timeout as error:
        there = _holder(note.read_text(encoding="utf-8") if note.exists() else "")
        raise _busy(
            spec, there or Holder("another run on this machine"), "wait for it: pvhck run --wait MINUTES"
        ) from error
    with held:
        note.write_text(_plain(holder), encoding="utf-8")
        try:
            yield
        finally:
            note.unlink(missing_ok=True)


def _clock(shell: SshShell) -> float:
    """The host's own time, in seconds since 1970."""
    return whole_number(shell.check(["date", "+%s"], repeatable=True), "the host's clock")


def _busy(spec: HostSpec, holder: Holder, mend: str) -> HostBusy:
    return HostBusy(f"host {spec.name} is taken: {holder}", mend=mend)


def _plain(holder: Holder) -> str:
    return json.dumps(asdict(holder)) + "\n"


def _holder(text: str) -> Holder | None:
    """What a file says of a holder; None for what nobody could read: the lock counts, not its note."""
    try:
        fields = read_note(text)
        return Holder(
            str(fields["owner"]),
            str(fields["run"]),
            moment(fields["since"]),
            moment(fields["until"]),
            str(fields["reason"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
