"""The list of loaded drivers in a minidump of the kernel (a triage dump).

Layout: ``dmp32_triage`` and ``dmp64_triage``, ``dmp_driver_entry*``, ``dmp_kldr_data_table_entry*`` and
``dmp_string`` of rizin, commit 1004594 (librz/bin/format/dmp/dmp_specs.h); Ghidra's TriageDump and
KldrDataTableEntry (commit 8632891) agree as far as they are used here. Offsets count from the beginning of
the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.dump.crash import module_name
from harness.dump.fields import Fields, NotADump
from harness.dump.header import DumpHeader

__all__ = ["LoadedModule", "module_at", "read_modules"]

# Fields of the triage header, each of four bytes, by their place in it.
_SIZE_OF_DUMP, _VALID_AT, _LIST_AT, _COUNT = 0x04, 0x08, 0x30, 0x34
_VALID = b"TRGD"  # at the end of a dump that was written whole
_MOST_DRIVERS = 4096
_LONGEST_NAME = 1024  # characters
_LARGEST_IMAGE = 1 << 30


@dataclass(frozen=True)
class LoadedModule:
    """An image in the kernel. ``timestamp`` is the one in its PE header: with the size it names the build."""

    name: str
    base: int
    size: int
    timestamp: int
    checksum: int

    def holds(self, address: int) -> bool:
        """Whether an address lies in it."""
        return self.base <= address < self.base + self.size


@dataclass(frozen=True)
class _Entry:
    """Where things stand in an entry of the list."""

    size: int
    base: int
    image_size: int
    checksum: int
    timestamp: int


_ENTRIES = {
    False: _Entry(size=0x4C, base=0x1C, image_size=0x24, checksum=0x44, timestamp=0x48),
    True: _Entry(size=0x90, base=0x38, image_size=0x48, checksum=0x80, timestamp=0x88),
}


def read_modules(data: bytes, header: DumpHeader) -> tuple[LoadedModule, ...]:
    """The drivers a minidump lists, in its order: that in which they were loaded.

    Raises:
        NotADump: it is cut off, or what it says of its own contents cannot be.
    """
    fields = Fields(data, header.wide)
    _check_whole(fields, header)
    start = fields.u32(header.size + _LIST_AT, "triage header")
    count = fields.u32(header.size + _COUNT, "triage header")
    if count > _MOST_DRIVERS:
        raise NotADump(f"says it lists {count} drivers, which cannot be")
    entry = _ENTRIES[header.wide]
    fields.part(start, count * entry.size, f"list of {count} drivers")
    return tuple(_module(fields, start + number * entry.size, entry) for number in range(count))


def module_at(modules: Iterable[LoadedModule], address: int) -> LoadedModule | None:
    """The module that holds an address."""
    return next((module for module in modules if module.holds(address)), None)


def _check_whole(fields: Fields, header: DumpHeader) -> None:
    size = fields.u32(header.size + _SIZE_OF_DUMP, "triage header")
    if len(fields.data) < size:
        raise NotADump(f"cut off: {len(fields.data)} of {size} bytes")
    at = fields.u32(header.size + _VALID_AT, "triage header")
    mark = fields.part(at, len(_VALID), "mark of a dump that is whole")
    if mark != _VALID:
        raise NotADump(f"not written to its end: at 0x{at:x} is {mark.hex(' ')}, not {_VALID.hex(' ')}")


def _module(fields: Fields, at: int, entry: _Entry) -> LoadedModule:
    name = _name(fields, fields.u32(at, "driver's name"))
    base = fields.address(at + entry.base, name)
    size = fields.u32(at + entry.image_size, name)
    if not base or size > _LARGEST_IMAGE:
        raise NotADump(f"says {name or 'a driver'} has {size} bytes at 0x{base:x}, which cannot be")
    return LoadedModule(
        name, base, size, fields.u32(at + entry.timestamp, name), fields.u32(at + entry.checksum, name)
    )


def _name(fields: Fields, at: int) -> str:
    length = fields.u32(at, "driver's name")
    if length > _LONGEST_NAME:
        raise NotADump(f"says a driver's name at 0x{at:x} has {length} characters, which cannot be")
    text = fields.part(at + 4, 2 * length, "driver's name").decode("utf-16-le", errors="replace")
    return module_name(text.partition("\0")[0])
