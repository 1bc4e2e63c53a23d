"""The boot catalogue of a CD: which entry a UEFI takes, and where it leads. Pure but for reading.

Layout: "El Torito" Bootable CD-ROM Format Specification 1.0 (1995): the boot record in sector 17 names the
catalogue, whose entries have 32 bytes. UEFI 2.10, 13.3.2.1: platform 0xEF is a FAT file system to boot from.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

__all__ = ["SECTOR", "BootPatch", "boot_patch"]

SECTOR = 2048
_BOOT_RECORD = 17
_CATALOGUE = 71  # where the boot record says it
_SYSTEM_ID = b"EL TORITO SPECIFICATION"
_ENTRY = 32
_PLACE = 8  # in an entry, the sector that it leads to
_EFI = 0xEF
_SECTION, _LAST_SECTION = 0x90, 0x91
_BOOTABLE = 0x88


@dataclass(frozen=True)
class BootPatch:
    """Bytes to write into a copy of a CD; ``offset`` is in bytes."""

    offset: int
    data: bytes

    @property
    def sector(self) -> int:
        """The sector that it lies in."""
        return self.offset // SECTOR

    def applied(self, sector: bytes) -> bytes:
        """That sector, with it."""
        at = self.offset % SECTOR
        return sector[:at] + self.data + sector[at + len(self.data) :]


def boot_patch(data: IO[bytes], target: int) -> BootPatch | None:
    """What makes a CD's first bootable UEFI entry lead to a sector; None where it has no such entry."""
    record = _sector(data, _BOOT_RECORD)
    if record[:6] != b"\0CD001" or not record[7:].startswith(_SYSTEM_ID):
        return None
    start = int.from_bytes(record[_CATALOGUE : _CATALOGUE + 4], "little")
    for number, platform, entry in _entries(_sector(data, start)):
        if platform == _EFI and entry[0] == _BOOTABLE:
            return BootPatch(start * SECTOR + number * _ENTRY + _PLACE, struct.pack("<I", target))
    return None


def _entries(catalogue: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Number, platform and bytes of each boot entry."""
    if len(catalogue) < SECTOR:
        return
    platform = catalogue[1]
    left = 1  # the entry behind the validation entry
    for number in range(1, SECTOR // _ENTRY):
        entry = catalogue[number * _ENTRY : (number + 1) * _ENTRY]
        if left:
            left -= 1
            yield number, platform, entry
        elif entry[0] in {_SECTION, _LAST_SECTION}:
            platform, left = entry[1], int.from_bytes(entry[2:4], "little")
        else:
            return


def _sector(data: IO[bytes], number: int) -> bytes:
    data.seek(number * SECTOR)
    return data.read(SECTOR)
