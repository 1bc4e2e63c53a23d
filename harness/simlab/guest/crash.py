"""Bugchecks: the dump, what the next boot will say, what the hypervisor hears."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from harness.model import Arch
from harness.simlab.guest.disk import Bugcheck, Kept
from harness.simlab.guest.dumpfile import Crashed, Image, memory_dump, minidump
from harness.simlab.guest.files import WINDOWS, GuestFiles
from harness.simlab.machine import Machine, StopReason

__all__ = ["DRIVER_FAULT", "INACCESSIBLE_BOOT_DEVICE", "NMI", "BugCode", "Kernel", "crash"]

_DUMP_SIZE = 256 << 10  # small on purpose: a real one is as large as memory
_MINIDUMP_SIZE = 32 << 10
_BASE = {Arch.X86: 0x8000_0000, Arch.X64: 0xFFFF_F800_0000_0000}
_GAP = 0x10_0000  # from one image to the next
_IMAGE = 0x2_0000
_DISPATCH_LEVEL = 2


@dataclass(frozen=True)
class BugCode:
    """A bugcheck by its number; ``name`` as xen.sys prints it, empty where it prints the number."""

    code: int
    name: str = ""


# Names: BugCodeTable of win-xenbus src/xen/bug_check.c.
DRIVER_FAULT = BugCode(0xD1, "DRIVER_IRQL_NOT_LESS_OR_EQUAL")
NMI = BugCode(0x80)  # NMI_HARDWARE_FAILURE
INACCESSIBLE_BOOT_DEVICE = BugCode(0x7B, "INACCESSIBLE_BOOT_DEVICE")


@dataclass(frozen=True)
class Kernel:
    """The kernel that stops: its build, its drivers by their files, and whether xen.sys is one of them.

    ``boot`` tells one boot from the others: in each everything lies somewhere else.
    """

    build: int
    drivers: Sequence[str]
    xen: bool
    boot: str

    def images(self, arch: Arch) -> tuple[Image, ...]:
        """The drivers in memory; where, and which build of each, is made up."""
        digest = hashlib.sha256(self.boot.encode()).digest()
        slide = int.from_bytes(digest[:2], "big") << 12
        return tuple(
            Image(name, _BASE[arch] + slide + number * _GAP, _IMAGE, 0x6955_B900 + number)
            for number, name in enumerate(self.drivers)
        )


def crash(
    machine: Machine, kept: Kept, what: BugCode, kernel: Kernel, *, files: GuestFiles | None, culprit: str
) -> StopReason:
    """Crash: write the dump where there is a disk (``files``), and say how the domain ends.

    ``culprit`` is the driver's file, empty for none. Only xen.sys tells the hypervisor
    (facts/pv-drivers.md 7). Without it Windows restarts by itself, as its CrashControl says unless it
    was changed.
    """
    images = kernel.images(kept.arch)
    at_fault = next((image for image in images if image.name == culprit), None)
    parameters = _parameters(what, at_fault)
    dump = ""
    if files is not None:
        now = dt.datetime.now(dt.UTC)
        crashed = Crashed(kept.arch, kernel.build, machine.vcpus, what.code, parameters, now, images)
        dump = _write_dumps(files, crashed)
    kept.bugcheck = Bugcheck(what.code, parameters, dump)
    if not kernel.xen:
        return StopReason.REBOOT
    for line in _said(kept.arch, what, parameters, at_fault):
        machine.hypervisor_line(f"XEN|BUGCHECK: {line}")
    return StopReason.CRASH


def _parameters(what: BugCode, at_fault: Image | None) -> tuple[int, int, int, int]:
    """By Microsoft's "Bug Check Code Reference"; addresses of data are made up."""
    if what is NMI:
        return 0x4F4454, 0, 0, 0
    if at_fault is None:
        return 0x1000, 0, 0, 0
    return 0x28, _DISPATCH_LEVEL, 0, at_fault.base + 0x1A3F


def _said(
    arch: Arch, what: BugCode, parameters: tuple[int, int, int, int], at_fault: Image | None
) -> Sequence[str]:
    """What xen.sys prints: win-xenbus src/xen/bug_check.c, without context and stack."""
    digits = 16 if arch is Arch.X64 else 8
    words = [f"{value:0{digits}X}" for value in parameters]
    lines = [f"{what.name or f'{what.code:08X}'}: {' '.join(words)}"]
    if what is DRIVER_FAULT and at_fault is not None:
        lines += [
            f"MEMORY REFERENCED: {words[0]}",
            f"             IRQL: {parameters[1]:02X}",
            f"           ACCESS: {words[2]}",
            f"          ADDRESS: {at_fault.name} + {parameters[3] - at_fault.base:0{digits}X}",
        ]
    return ["====>", *lines, "<===="]


def _write_dumps(files: GuestFiles, crashed: Crashed) -> str:
    """MEMORY.DMP and a minidump, with nothing in them but what they say of themselves."""
    files.put(f"{WINDOWS}\\MEMORY.DMP", memory_dump(crashed, _DUMP_SIZE))
    day = crashed.at.strftime("%m%d%y")
    number = 1
    while files.real(f"{WINDOWS}\\Minidump\\{day}-5000-{number:02}.dmp").exists():
        number += 1
    files.put(f"{WINDOWS}\\Minidump\\{day}-5000-{number:02}.dmp", minidump(crashed, _MINIDUMP_SIZE))
    return f"{WINDOWS}\\MEMORY.DMP"
