"""Kernel dumps for the tests, written to the public layout; none of them came from Windows."""

from __future__ import annotations

import datetime as dt

from harness.model import Arch
from harness.simlab.guest.dumpfile import Crashed, Image, memory_dump, minidump

SIZE = 32 << 10
AT = dt.datetime(2026, 11, 26, 10, 30, 15, tzinfo=dt.UTC)
BASES = {Arch.X86: 0x8280_0000, Arch.X64: 0xFFFF_F800_1234_0000}


def crashed(
    arch: Arch = Arch.X64,
    *,
    code: int = 0xD1,
    fault: str = "xenvif.sys",
    names: tuple[str, ...] = ("ntoskrnl.exe", "hal.dll", "xen.sys", "xenbus.sys", "xenvif.sys"),
    slide: int = 0,
) -> Crashed:
    """A kernel that stopped at an instruction of ``fault``."""
    base = BASES[arch] + slide
    images = [
        Image(name, base + number * 0x10_0000, 0x2_0000, 0x6543_2100 + number)
        for number, name in enumerate(names)
    ]
    place = next((image.base for image in images if image.name == fault), 0x1000) + 0x1A3F
    return Crashed(arch, 19045, 2, code, (0x28, 2, 0, place), AT, images)


def a_minidump(arch: Arch = Arch.X64, **changes: object) -> bytes:
    return minidump(crashed(arch, **changes), SIZE)


def a_memory_dump(arch: Arch = Arch.X64, **changes: object) -> bytes:
    return memory_dump(crashed(arch, **changes), SIZE)
