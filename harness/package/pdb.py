"""Which image a PDB belongs to: its GUID and age.

Format: MSF 7.0 and the streams 1 (PDB info) and 3 (DBI), as LLVM documents them (llvm.org/docs/PDB: MsfFile,
PdbStream, DbiStream). Only these few bytes are read of a file that may have many MiB.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass

__all__ = ["NotAPdb", "PdbIdentity", "read_pdb"]

_MAGIC = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0"
_BLOCK_SIZES = {512, 1024, 2048, 4096, 8192, 16384, 32768}
_INFO, _DBI = 1, 3
_NO_STREAM = 0xFFFF_FFFF
_NEW_DBI = 0xFFFF_FFFF  # its first word: since then there is an age in it
_MOST_STREAMS = 1 << 16


class NotAPdb(Exception):
    """The file is no PDB of version 7, or a damaged one."""


@dataclass(frozen=True)
class PdbIdentity:
    """GUID in upper case hexadecimal, and the ages the file has: any of them may be the image's.

    Tools that write into a PDB later (pdbstr) raise the age of its info stream and leave that of the DBI
    stream, which is the one linker and debugger compare.
    """

    guid: str
    ages: frozenset[int]

    def symbols(self) -> frozenset[str]:
        """What symbol servers may file it under."""
        return frozenset(f"{self.guid}{age:X}" for age in self.ages)


def read_pdb(data: bytes) -> PdbIdentity:
    """A PDB's identity.

    Raises:
        NotAPdb: it cannot be read as one.
    """
    try:
        streams = _Streams.of(data)
        info = streams.beginning(_INFO, 28)
        _, _, age, guid = struct.unpack("<III16s", info)
    except (struct.error, IndexError) as error:
        raise NotAPdb(f"it is cut off or damaged: {error}") from error
    ages = {age} | _dbi_age(streams)
    return PdbIdentity(uuid.UUID(bytes_le=guid).hex.upper(), frozenset(ages))


def _dbi_age(streams: _Streams) -> set[int]:
    """The age in the DBI stream; a PDB of types alone has none."""
    try:
        signature, _, age = struct.unpack("<III", streams.beginning(_DBI, 12))
    except (NotAPdb, struct.error, IndexError):
        return set()
    return {age} if signature == _NEW_DBI else set()


@dataclass(frozen=True)
class _Streams:
    """The directory of streams: sizes, and the blocks each lies in."""

    data: bytes
    block_size: int
    directory: bytes

    @classmethod
    def of(cls, data: bytes) -> _Streams:
        if data[: len(_MAGIC)] != _MAGIC:
            raise NotAPdb("it does not begin like a PDB of version 7")
        size, _, _, length, _, map_at = struct.unpack_from("<6I", data, len(_MAGIC))
        if size not in _BLOCK_SIZES:
            raise NotAPdb(f"its blocks cannot have {size} bytes")
        count = -(-length // size)
        numbers = struct.unpack_from(f"<{count}I", data, map_at * size) if count * 4 <= size else ()
        directory = b"".join(data[number * size : (number + 1) * size] for number in numbers)
        if not numbers or len(directory) < length:
            raise NotAPdb("its directory is not where it should be")
        return cls(data, size, directory[:length])

    def beginning(self, stream: int, size: int) -> bytes:
        """The first bytes of a stream; they lie in its first block."""
        (count,) = struct.unpack_from("<I", self.directory)
        if not stream < count <= _MOST_STREAMS:
            raise NotAPdb(f"it has {count} streams")
        sizes = struct.unpack_from(f"<{count}I", self.directory, 4)
        if sizes[stream] in {0, _NO_STREAM}:
            raise NotAPdb(f"its stream {stream} is empty")
        before = sum(-(-length // self.block_size) for length in sizes[:stream] if length != _NO_STREAM)
        (block,) = struct.unpack_from("<I", self.directory, 4 + 4 * count + 4 * before)
        start = block * self.block_size
        return self.data[start : start + min(size, sizes[stream])]
