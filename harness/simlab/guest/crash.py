"""Bugchecks: the dump, what the next boot will say, what the hypervisor hears."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass

from harness.simlab.guest.disk import Bugcheck, Kept
from harness.simlab.guest.files import WINDOWS, GuestFiles
from harness.simlab.machine import Machine, StopReason

__all__ = ["DRIVER_FAULT", "INACCESSIBLE_BOOT_DEVICE", "NMI", "BugCode", "crash"]

_DUMP_SIZE = 256 << 10  # small on purpose: a real one is as large as memory
_MINIDUMP_SIZE = 16 << 10


@dataclass(frozen=True)
class BugCode:
    """A bugcheck by its number; ``name`` as xen.sys prints it, empty where it prints the number."""

    code: int
    name: str = ""


# Names: BugCodeTable of win-xenbus src/xen/bug_check.c.
DRIVER_FAULT = BugCode(0xD1, "DRIVER_IRQL_NOT_LESS_OR_EQUAL")
NMI = BugCode(0x80)  # NMI_HARDWARE_FAILURE
INACCESSIBLE_BOOT_DEVICE = BugCode(0x7B, "INACCESSIBLE_BOOT_DEVICE")


def crash(
    machine: Machine,
    kept: Kept,
    what: BugCode,
    *,
    files: GuestFiles | None,
    subject: str,
    xen: bool,
    seed: str,
) -> StopReason:
    """Crash: write the dump where there is a disk (``files``), and say how the domain ends.

    Only xen.sys tells the hypervisor (facts/pv-drivers.md 7). Without it Windows restarts by itself,
    as its CrashControl says unless it was changed.
    """
    digest = hashlib.sha256(f"{seed}/{what.code}/{subject}".encode()).digest()
    parameters = tuple(
        int.from_bytes(digest[at : at + 4], "big") | 0xFFFF8000_00000000 for at in (0, 4, 8, 12)
    )
    first, second, third, fourth = parameters
    dump = ""
    if files is not None:
        dump = _write_dumps(files, what, parameters)
    kept.bugcheck = Bugcheck(what.code, (first, second, third, fourth), dump)
    if not xen:
        return StopReason.REBOOT
    words = " ".join(f"{value:016X}" for value in parameters)
    machine.hypervisor_line("XEN|BUGCHECK: ====>")
    machine.hypervisor_line(f"XEN|BUGCHECK: {what.name or f'{what.code:08X}'}: {words}")
    if subject:
        machine.hypervisor_line(f"XEN|BUGCHECK: {subject}")
    machine.hypervisor_line("XEN|BUGCHECK: <====")
    return StopReason.CRASH


def _write_dumps(files: GuestFiles, what: BugCode, parameters: tuple[int, ...]) -> str:
    """MEMORY.DMP and a minidump, which begin as 64-bit dumps do; there is nothing in them."""
    head = b"PAGEDU64" + b"".join(value.to_bytes(8, "little") for value in (what.code, *parameters))
    files.put(f"{WINDOWS}\\MEMORY.DMP", head.ljust(_DUMP_SIZE, b"\0"))
    day = dt.datetime.now(dt.UTC).strftime("%m%d%y")
    number = 1
    while files.real(f"{WINDOWS}\\Minidump\\{day}-5000-{number:02}.dmp").exists():
        number += 1
    files.put(f"{WINDOWS}\\Minidump\\{day}-5000-{number:02}.dmp", head.ljust(_MINIDUMP_SIZE, b"\0"))
    return f"{WINDOWS}\\MEMORY.DMP"
