"""Writing minimal PDBs for synthetic builds: the streams that say which image they belong to, no symbols.

Format: MSF 7.0, as LLVM documents it (llvm.org/docs/PDB: MsfFile, PdbStream, DbiStream).
"""

from __future__ import annotations

import struct
import uuid

__all__ = ["make_pdb"]

_BLOCK = 512
_MAGIC = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0"
_VC70, _DBI_V70 = 20000404, 19990903
_FIRST = 3  # behind superblock and the two maps of free blocks


def make_pdb(guid: uuid.UUID, age: int, *, timestamp: int) -> bytes:
    """A PDB of that identity. The same arguments give the same bytes."""
    info = struct.pack("<III", _VC70, timestamp, age) + guid.bytes_le + struct.pack("<II", 0, 0)
    dbi = struct.pack("<iII", -1, _DBI_V70, age).ljust(64, b"\0")
    streams = (b"", info, b"", dbi)
    blocks = [stream.ljust(_BLOCK, b"\0") for stream in streams if stream]
    numbers = iter(range(_FIRST, _FIRST + len(blocks)))
    places = [next(numbers) for stream in streams if stream]
    directory = struct.pack("<5I", len(streams), *map(len, streams)) + struct.pack(
        f"<{len(places)}I", *places
    )
    directory_at = _FIRST + len(blocks)
    map_at = directory_at + 1
    total = map_at + 1
    head = _MAGIC + struct.pack("<6I", _BLOCK, 1, total, len(directory), 0, map_at)
    free = b"\0" * _BLOCK  # every block is in use
    body = [head, free, free, *blocks, directory, struct.pack("<I", directory_at)]
    return b"".join(block.ljust(_BLOCK, b"\0") for block in body)
