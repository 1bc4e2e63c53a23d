"""The dumps of a guest that crashed and answers again: brought, hashed, read, told of in ``crash.txt``.

What is read of a dump follows public layouts (``harness.dump``); none written by Windows was at hand.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import ntpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.deadline import Deadline, Done, NotYet, WaitTimedOut, wait_until
from harness.dump import Crash, Dump, NotADump, read_dump
from harness.errors import ChannelError, InfrastructureError, OperationFailed
from harness.evidence.courier import MOST_BY_CHANNEL, Courier
from harness.evidence.notes import Notes
from harness.guest.guest import Guest
from harness.operations import DumpFile

__all__ = ["CRASH_TEXT", "Fetched", "WantedDumps", "fetch_dumps"]

CRASH_TEXT = "crash.txt"
_HEADER = 8 << 10  # enough for the header of either width
_MOST_MINIDUMPS = 4
_LARGEST_MINIDUMP = MOST_BY_CHANNEL
_SETTLE_S = 60  # before the host's time factor, as below
_LOOK_S = 2
_WHOLE_S = 1800  # for MEMORY.DMP whole


@dataclass(frozen=True)
class WantedDumps:
    """Which dumps are of this crash, and whether MEMORY.DMP is wanted ``whole``.

    ``before`` are path and time of those that were there before; None if nobody had looked: then it is
    those written since ``since``, a boot's id, which on Windows is its time. ``expected``: there was a
    bugcheck, so that a dump is waited for.
    """

    whole: bool = False
    expected: bool = False
    before: frozenset[tuple[str, str]] | None = None
    since: str = ""

    def is_new(self, dump: DumpFile) -> bool:
        """Whether a dump is of this crash."""
        if self.before is not None:
            return (dump.path, dump.modified_utc) not in self.before
        written, began = _time(dump.modified_utc), _time(self.since)
        return written is None or began is None or written >= began


@dataclass(frozen=True)
class Fetched:
    """Files in the folder of evidence, and what the dumps say of the crash if one could be read."""

    files: tuple[str, ...] = ()
    crash: Crash | None = None


@dataclass(frozen=True)
class _Brought:
    """A dump that is here, or its beginning."""

    file: str
    listed: DumpFile
    size: int
    sha256: str
    dump: Dump | NotADump


def fetch_dumps(guest: Guest, folder: Path, wanted: WantedDumps, deadline: Deadline, notes: Notes) -> Fetched:
    """Bring the new dumps of a guest that answers into ``folder``, minidumps first.

    What cannot be brought is a line of the notes. A guest that goes silent ends it.

    Raises:
        ChannelError, WaitTimedOut: it does not even list them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fetching = _Fetching(guest, folder, Courier(guest, deadline), notes)
    new = _settled(guest, fetching.courier, wanted, deadline)
    if not new:
        notes.add(f"dumps: there is no new one in {guest.name}")
    try:
        for number, listed in enumerate(_minidumps(new, notes), 1):
            fetching.whole(listed, f"minidump-{number}.dmp")
        for listed in filter(_of_memory, new):
            fetching.beginning(listed, "memory-header.dmp")
            if wanted.whole:
                fetching.courier = Courier(guest, guest.deadline(_WHOLE_S))
                fetching.whole(listed, "memory.dmp")
    except (ChannelError, WaitTimedOut) as error:
        notes.add(f"dumps: {type(error).__name__}: {error}")
    return _told(folder, fetching.brought, notes)


def _settled(guest: Guest, courier: Courier, wanted: WantedDumps, deadline: Deadline) -> Sequence[DumpFile]:
    """The new dumps once none grows any more: Windows writes them when it is up again."""
    seen: list[tuple[DumpFile, ...]] = [()]

    def probe() -> Done[None] | NotYet:
        new = tuple(dump for dump in courier.operations.dump_files() if wanted.is_new(dump))
        still = new == seen[-1] and (bool(new) or not wanted.expected)
        seen.append(new)
        return Done(None) if still else NotYet(f"{len(new)} new ones, not known to be whole")

    factor = guest.host.spec.time_factor
    with contextlib.suppress(WaitTimedOut):  # then what is there is looked at as it is
        wait_until(
            probe,
            subject=f"the dumps of {guest.name} are written",
            deadline=Deadline.after(deadline.at_most(_SETTLE_S * factor)),
            interval_s=_LOOK_S * factor,
        )
    return seen[-1]


@dataclass
class _Fetching:
    """What has come so far."""

    guest: Guest
    folder: Path
    courier: Courier
    notes: Notes
    brought: list[_Brought] = field(default_factory=list)

    def whole(self, listed: DumpFile, name: str) -> None:
        """Bring a dump whole."""
        with self._noted(listed):
            target = self.folder / name
            facts = self.courier.whole(listed.path, listed.size, target)
            with target.open("rb") as file:
                data = file.read(_LARGEST_MINIDUMP)
            self.brought.append(_Brought(name, listed, facts.size, facts.sha256, _read(data)))

    def beginning(self, listed: DumpFile, name: str) -> None:
        """Bring a dump's header only."""
        with self._noted(listed):
            data = self.courier.beginning(listed.path, _HEADER)
            (self.folder / name).write_bytes(data)
            sha256 = hashlib.sha256(data).hexdigest()
            self.brought.append(_Brought(name, listed, len(data), sha256, _read(data)))

    @contextlib.contextmanager
    def _noted(self, listed: DumpFile) -> Iterator[None]:
        try:
            yield
        except (OperationFailed, InfrastructureError, OSError) as error:
            self.notes.add(f"dump {listed.path}, {listed.size} bytes: {type(error).__name__}: {error}")


def _read(data: bytes) -> Dump | NotADump:
    try:
        return read_dump(data)
    except NotADump as error:
        return error


def _minidumps(new: Sequence[DumpFile], notes: Notes) -> Sequence[DumpFile]:
    """The newest first; what is too much is said."""
    minidumps = sorted(
        (dump for dump in new if not _of_memory(dump)), key=lambda dump: dump.modified_utc, reverse=True
    )
    taken = [dump for dump in minidumps if dump.size <= _LARGEST_MINIDUMP][:_MOST_MINIDUMPS]
    for dump in minidumps:
        if dump not in taken:
            notes.add(
                f"dump {dump.path}, {dump.size} bytes, is left in the guest: too large, or one too many"
            )
    return taken


def _of_memory(dump: DumpFile) -> bool:
    return ntpath.basename(dump.path).lower() == "memory.dmp"


def _told(folder: Path, brought: Sequence[_Brought], notes: Notes) -> Fetched:
    if not brought:
        return Fetched()
    text = notes.clean("\n".join(_description(one) for one in brought))
    (folder / CRASH_TEXT).write_text(text, encoding="utf-8", errors="backslashreplace")
    crashes = [one.dump.crash for one in brought if isinstance(one.dump, Dump)]
    # the newest minidump comes first, and names the module
    return Fetched((*(one.file for one in brought), CRASH_TEXT), crashes[0] if crashes else None)


def _description(one: _Brought) -> str:
    part = one.size != one.listed.size
    whole = f", the first of {one.listed.size}: `--full-dumps` brings it whole" if part else ""
    lines = [
        f"{one.file}: {one.listed.path} of {one.listed.modified_utc}",
        f"  {one.size} bytes{whole}, SHA-256 {one.sha256}",
    ]
    dump = one.dump
    if isinstance(dump, NotADump):
        return "\n".join([*lines, f"  no dump that can be read: {dump}", ""])
    header = dump.header
    parameters = " ".join(f"0x{value:x}" for value in header.bugcheck.parameters)
    kind = header.type.name.lower().replace("_", " ") if header.type is not None else "of unknown kind"
    at = f"{header.system_time:%Y-%m-%d %H:%M:%S} UTC" if header.system_time is not None else "unknown"
    lines += [f"  {dump.crash}", f"  parameters {parameters}"]
    if dump.module is not None and dump.fault is not None:
        lines.append(f"  at {dump.module.name} + 0x{dump.fault - dump.module.base:x}")
    if header.exception is not None:
        lines.append(f"  exception 0x{header.exception.code:x} at 0x{header.exception.address:x}")
    lines.append(f"  {kind}, {header.machine}, Windows build {header.build}, time of the guest {at}")
    if dump.damage:
        lines.append(f"  its list of drivers cannot be read: {dump.damage}")
    lines += [
        f"  0x{module.base:x} {module.size:>8x} {module.timestamp:08x} {module.name}"
        for module in dump.modules
    ]
    return "\n".join([*lines, ""])


def _time(text: str) -> dt.datetime | None:
    """A time as Windows' module writes it, with ticks of 100 ns; None for any other text."""
    try:
        return dt.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=dt.UTC)
    except ValueError:
        return None
