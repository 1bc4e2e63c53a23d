"""Writes kernel dumps as Windows lays them out: headers, and a minidump's list of drivers.

The layout is that of public readers, field after field: rizin, commit 1004594
(librz/bin/format/dmp/dmp_specs.h), and kdmp-parser, commit 0114c86 (src/lib/kdmp-parser-structs.h). No dump
of a real Windows was at hand, and memory, processor context and stack are left empty: a debugger would find
nothing in them. The harness's own reader shares nothing with this file, so that each reading of the layout
holds the other.
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from harness.model import Arch

__all__ = ["Crashed", "Image", "memory_dump", "minidump"]

_FILL = b"PAGE"  # what Windows leaves where it has nothing to say
_MACHINES = {Arch.X86: 0x014C, Arch.X64: 0x8664}
_FREE = 0x0F
_HEADER = {Arch.X86: 0x1000, Arch.X64: 0x2000}
_SUMMARY, _TRIAGE, _BITMAP_KERNEL = 2, 4, 6
_EPOCH = dt.datetime(1601, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Image:
    """A driver in memory."""

    name: str
    base: int
    size: int
    timestamp: int


@dataclass(frozen=True)
class Crashed:
    """What there is to say of a kernel that stopped."""

    arch: Arch
    build: int
    processors: int
    code: int
    parameters: tuple[int, int, int, int]
    at: dt.datetime
    images: Sequence[Image]

    @property
    def _wide(self) -> bool:
        return self.arch is Arch.X64

    def header(self, kind: int) -> bytes:
        """A dump's header, of the size its architecture gives it."""
        return self._header64(kind) if self._wide else self._header32(kind)

    def _header32(self, kind: int) -> bytes:
        parts = [
            b"PAGEDUMP",
            struct.pack("<II", _FREE, self.build),
            struct.pack("<IIII", 0x1AB000, 0, 0x8296_0000, 0x8296_1000),  # tables and lists: made up
            struct.pack("<III", _MACHINES[self.arch], self.processors, self.code),
            struct.pack("<IIII", *self.parameters),
            _FILL * 8,  # VersionUser
            b"\x01" + b"\0" * 3,  # PAE, and what shares its word
            struct.pack("<I", 0),  # debugger data
            _FILL * 175,  # memory runs
            bytes(1200),  # context
            _FILL * 20,  # exception: none led here
            bytes(128),  # comment
        ]
        body = b"".join(parts).ljust(0xF88, b"\0")
        body += struct.pack("<IIIIII", kind, 0, 0, 1, 0x110, 0)
        body += struct.pack("<Q", 0).ljust(0xFB8 - 0xFA0, b"\0")
        body += struct.pack("<QQ", 600 * 10**7, self._ticks)
        return body.ljust(_HEADER[self.arch], b"\0")

    def _header64(self, kind: int) -> bytes:
        parts = [
            b"PAGEDU64",
            struct.pack("<II", _FREE, self.build),
            struct.pack("<QQQQ", 0x1AB000, 0, 0xFFFFF800_02C4_0000, 0xFFFFF800_02C4_1000),  # made up
            struct.pack("<III", _MACHINES[self.arch], self.processors, self.code),
            _FILL,  # aligns what follows
            struct.pack("<QQQQ", *self.parameters),
            _FILL * 8,  # VersionUser
            struct.pack("<Q", 0),  # debugger data
            _FILL * 176,  # memory runs: 700 bytes and four of alignment
            bytes(3000),  # context
            _FILL * 38,  # exception: none led here
            struct.pack("<I", kind),
            _FILL,
            struct.pack("<QQ", 0, self._ticks),  # space asked for, time
            bytes(128),  # comment
            struct.pack("<Q", 600 * 10**7),  # up for ten minutes
        ]
        return b"".join(parts).ljust(_HEADER[self.arch], b"\0")

    @property
    def _ticks(self) -> int:
        return (self.at - _EPOCH) // dt.timedelta(microseconds=1) * 10

    def driver(self, image: Image, name_at: int) -> bytes:
        """An entry of a minidump's list of drivers."""
        if self._wide:
            return struct.pack(
                "<II 6Q QQ I4x 16x 16x I HH Q I4x I4x",
                name_at, 0,
                0, 0, 0, 0, 0, 0,
                image.base, image.base + 0x1000, image.size,
                0x09104000, 1, 0, 0, 0, image.timestamp,
            )  # fmt: skip
        return struct.pack(
            "<I 6I II I 8x 8x I HH I I I",
            name_at,
            0, 0, 0, 0, 0, 0,
            image.base, image.base + 0x1000, image.size,
            0x09104000, 1, 0, 0, 0, image.timestamp,
        )  # fmt: skip


def memory_dump(crashed: Crashed, size: int) -> bytes:
    """MEMORY.DMP with the kernel's memory, of which there is none: its header, and zeros up to ``size``."""
    if crashed.arch is Arch.X86:
        return crashed.header(_SUMMARY).ljust(size, b"\0")
    bitmap = b"SDMPDUMP" + bytes(0x18) + struct.pack("<QQQ", 0x4000, 0, 0)
    return (crashed.header(_BITMAP_KERNEL) + bitmap).ljust(size, b"\0")


def minidump(crashed: Crashed, size: int) -> bytes:
    """A minidump of the kernel of ``size`` bytes, with the list of drivers and their names."""
    header = crashed.header(_TRIAGE)
    list_at = len(header) + 0x100
    entry = len(crashed.driver(Image("", 0, 0, 0), 0))
    names_at = list_at + entry * len(crashed.images)
    drivers, names = b"", b""
    for image in crashed.images:
        drivers += crashed.driver(image, names_at + len(names))
        names += _text(image.name)
    triage = struct.pack(
        "<III 9I IIII",
        0, size, size - 4,
        *(0,) * 9,
        list_at, len(crashed.images), names_at, len(names),
    )  # fmt: skip
    body = (header + triage).ljust(list_at, b"\0") + drivers + names
    return body.ljust(size - 4, b"\0") + b"TRGD"


def _text(name: str) -> bytes:
    """A count of characters, the characters, a zero, and on to the next eight bytes."""
    text = struct.pack("<I", len(name)) + f"{name}\0".encode("utf-16-le")
    return text + bytes(-len(text) % 8)
