"""After a guest crashed or hung and its evidence is gathered: reset it once more, for its dumps.

Nothing here decides anything: the verdict stands, and what does not work is a line in the notes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.deadline import Deadline
from harness.dump import Crash
from harness.errors import HarnessError
from harness.evidence import Fetched, Notes, WantedDumps, dump_core, fetch_dumps
from harness.guest.crash import CrashWatch, crash_told
from harness.guest.guest import Guest
from harness.host.area import RunArea
from harness.model import Arch
from harness.package import DriverBuild, keep_symbols

__all__ = [
    "Aftermath",
    "came_down",
    "crash_heard",
    "domid_of",
    "keep_all_symbols",
    "kept_core",
    "look_after",
]

_log = logging.getLogger(__name__)

_ALL_S = 300  # a boot that writes the dump, and bringing it; before the host's time factor


@dataclass(frozen=True)
class Aftermath:
    """Files in the folder of evidence, and the crash as far as host and guest tell of it."""

    files: tuple[str, ...] = ()
    crash: Crash | None = None


def look_after(
    guest: Guest,
    folder: Path,
    told: Crash | None,
    wanted: WantedDumps,
    *,
    may_reset: bool,
    redact: Callable[[str], str],
) -> Aftermath:
    """Bring the guest back and its dumps here. ``told`` is what the hypervisor's log says.

    Nothing more is expected of the guest. It is not reset where people want to find it as it is
    (``may_reset``).
    """
    guest.break_()
    notes = Notes(folder, redact)
    fetched = Fetched()
    deadline = guest.deadline(_ALL_S)
    try:
        if _bring_back(guest, deadline, notes, may_reset=may_reset):
            fetched = fetch_dumps(guest, folder, wanted, deadline, notes)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is no second failure
        _log.debug("dumps of %s", guest.name, exc_info=True)
        notes.add(f"dumps: {guest.name} does not come back with them: {type(error).__name__}: {error}")
    return Aftermath((*fetched.files, *notes.files), _agreed(told, fetched.crash, notes))


def crash_heard(guest: Guest, watch: CrashWatch | None) -> Crash | None:
    """What the hypervisor heard of a crash; None if it heard nothing or cannot be asked."""
    try:
        return watch.crash() if watch is not None else crash_told(guest)
    except HarnessError:
        return None


def domid_of(guest: Guest) -> int | None:
    """The domain's number now; None if it is not there, or its host cannot be asked."""
    try:
        domain = guest.host.toolstack.find(guest.name)
    except HarnessError:
        return None
    return domain.domid if domain is not None else None


def came_down(guest: Guest, domid: int | None) -> bool:
    """Whether a guest has crashed, or restarted by itself, since its domain had that number."""
    try:
        domain = guest.host.toolstack.find(guest.name)
    except HarnessError:
        return False
    return domain is not None and (domain.crashed or domain.domid != domid)


def keep_all_symbols(builds: Iterable[DriverBuild | None], arch: Arch, store: Path) -> str:
    """Keep the PDBs of a guest's builds for a debugger; gives why not, empty if all is well."""
    packages = [package for build in builds if build for package in build.packages if package.arch is arch]
    try:
        keep_symbols(tuple(packages), store)
    except OSError as error:
        return f"the build's PDBs are not kept in {store}: {error}"
    return ""


def kept_core(guest: Guest, area: RunArea, folder: Path, *, redact: Callable[[str], str]) -> tuple[str, ...]:
    """A core dump of a guest that hangs; gives its file, and the notes if there is none."""
    notes = Notes(folder, redact)
    files: tuple[str, ...] = ()
    try:
        files = dump_core(guest, area, folder, notes)
    except (HarnessError, OSError) as error:
        notes.add(f"core dump: {type(error).__name__}: {error}")
    return (*files, *notes.files)


def _bring_back(guest: Guest, deadline: Deadline, notes: Notes, *, may_reset: bool) -> bool:
    """Whether it answers now: one that crashed, or is gone, is started again from its own disk."""
    domain = guest.host.toolstack.find(guest.name)
    runs = domain is not None and not (domain.crashed or domain.shutdown or domain.paused)
    if not runs and not may_reset:
        notes.add(f"dumps: {guest.name} is left as it is: it stays after this run")
        return False
    if not runs:
        guest.kill()
        guest.start()
    guest.wait_ready(deadline)
    return True


def _agreed(told: Crash | None, read: Crash | None, notes: Notes) -> Crash | None:
    """The one that knows more; a dump of another bugcheck than the hypervisor heard of proves nothing."""
    if told is None or read is None:
        return told or read
    if not told.agrees_with(read):
        notes.add(f"dumps: the newest tells of {read}, the hypervisor of {told}: it may be an older one")
        return told
    return read if read.module else told
