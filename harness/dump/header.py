"""The header of a kernel dump: MEMORY.DMP or a minidump of the kernel, of 32 or 64 bits.

Offsets for 32 bits: ``_DMP_HEADER`` of volatility, commit 117e5b4
(volatility/plugins/overlays/windows/crash_vtypes.py). For 64: ``HEADER64`` of kdmp-parser, commit 0114c86
(src/lib/kdmp-parser-structs.h), which names rekall as its source. Both agree with ``dmp32_header`` and
``dmp64_header`` of rizin, commit 1004594 (librz/bin/format/dmp/dmp_specs.h), which also has the dump types.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import IntEnum

from harness.dump.bugcodes import Bugcheck, code_of
from harness.dump.fields import Fields, NotADump

__all__ = ["HEADER_SIZE", "DumpHeader", "DumpType", "ExceptionRecord", "read_header"]

_UNSET = 0x45474150  # "PAGE": Windows fills the header with it first, and leaves it where it has nothing
_MACHINES = {0x014C: ("x86", False), 0x8664: ("x64", True), 0xAA64: ("arm64", True)}
_EPOCH = dt.datetime(1601, 1, 1, tzinfo=dt.UTC)
_TICKS = 10  # of 100 ns in a microsecond
_FAILED = 0x8000_0000  # every exception that is an error has it set: NTSTATUS


class DumpType(IntEnum):
    """What of memory a dump holds."""

    FULL = 1
    KERNEL = 2  # "summary"
    HEADER = 3
    TRIAGE = 4  # a minidump
    BITMAP_FULL = 5
    BITMAP_KERNEL = 6
    AUTOMATIC = 7


@dataclass(frozen=True)
class ExceptionRecord:
    """The exception that led to the bugcheck, where there was one."""

    code: int
    address: int


@dataclass(frozen=True)
class DumpHeader:
    """What a dump says of itself. ``type`` and ``system_time`` are None where it does not say.

    ``machine`` is x86, x64 or arm64; ``build`` the number of the Windows build; ``checked`` tells a checked
    build of Windows. The time is the guest's, in UTC.
    """

    wide: bool  # 64 bits
    machine: str
    build: int
    checked: bool
    processors: int
    bugcheck: Bugcheck
    type: DumpType | None
    system_time: dt.datetime | None
    exception: ExceptionRecord | None

    @property
    def size(self) -> int:
        """Bytes of the header itself."""
        return HEADER_SIZE[self.wide]


@dataclass(frozen=True)
class _Places:
    """Where things stand in one of the two headers."""

    machine: int
    bugcheck: int
    parameters: int
    exception: int
    exception_address: int  # in the record
    type: int
    time: int


HEADER_SIZE = {False: 0x1000, True: 0x2000}
_PLACES = {
    False: _Places(0x20, 0x28, 0x2C, 0x7D0, 0x0C, 0xF88, 0xFC0),
    True: _Places(0x30, 0x38, 0x40, 0xF00, 0x10, 0xF98, 0xFA8),
}
_BUILD = 0x0C
_MAJOR = 0x08
_CHECKED = 0x0C  # 0x0F in free builds


def read_header(data: bytes) -> DumpHeader:
    """The header out of a dump's first bytes: 0x1000 of them for 32 bits, 0x2000 for 64.

    Raises:
        NotADump: it is something else, was never written, or is cut off.
    """
    wide = _wide(data)
    if len(data) < HEADER_SIZE[wide]:
        raise NotADump(f"cut off in its header: {len(data)} of {HEADER_SIZE[wide]} bytes")
    fields, at = Fields(data, wide), _PLACES[wide]
    return DumpHeader(
        wide=wide,
        machine=_machine(fields, at),
        build=fields.u32(_BUILD, "build"),
        checked=fields.u32(_MAJOR, "version") == _CHECKED,
        processors=fields.u32(at.machine + 4, "processors"),
        bugcheck=_bugcheck(fields, at),
        type=_type(fields.u32(at.type, "dump type")),
        system_time=_time(fields.u64(at.time, "system time")),
        exception=_exception(fields, at),
    )


def _wide(data: bytes) -> bool:
    match data[:4], data[4:8]:
        case b"PAGE", b"DUMP":
            return False
        case b"PAGE", b"DU64":
            return True
        case b"MDMP", _:
            raise NotADump("the dump of a program (MDMP), not of the kernel")
    if not data:
        raise NotADump("empty")
    if not data.strip(b"\0"):
        raise NotADump(f"{len(data)} zeros: the paging file was never written back to it")
    raise NotADump(f"begins with {data[:8].hex(' ')}, which is no kernel dump")


def _machine(fields: Fields, at: _Places) -> str:
    number = fields.u32(at.machine, "machine")
    name, wide = _MACHINES.get(number, (f"machine 0x{number:x}", fields.wide))
    if wide is not fields.wide:
        raise NotADump(f"a header of {fields.address_size * 8} bits says the machine is {name}")
    return name


def _bugcheck(fields: Fields, at: _Places) -> Bugcheck:
    first, second, third, fourth = (
        fields.address(at.parameters + number * fields.address_size, "parameters") for number in range(4)
    )
    return Bugcheck(code_of(fields.u32(at.bugcheck, "bugcheck")), (first, second, third, fourth))


def _type(number: int) -> DumpType | None:
    return DumpType(number) if number in set(DumpType) else None


def _time(ticks: int) -> dt.datetime | None:
    if ticks in {0, _UNSET << 32 | _UNSET}:
        return None
    try:
        return _EPOCH + dt.timedelta(microseconds=ticks // _TICKS)
    except OverflowError:
        return None


def _exception(fields: Fields, at: _Places) -> ExceptionRecord | None:
    """The record; a bugcheck that no exception led to leaves what was there."""
    code = fields.u32(at.exception, "exception")
    address = fields.address(at.exception + at.exception_address, "exception")
    unset = address in {0, _UNSET, _UNSET << 32 | _UNSET}
    return ExceptionRecord(code, address) if code & _FAILED and not unset else None
