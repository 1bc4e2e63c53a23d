"""Patterns on a raw disk, written and read past the page cache (O_DIRECT)."""

from __future__ import annotations

import hashlib
import mmap
import os

from harness.operations import OperationRefused, Pattern

__all__ = ["pattern_block", "read_pattern", "write_pattern"]

_SECTOR = 512


def pattern_block(seed: int, number: int, block_size: int) -> bytes:
    """Block ``number`` of a pattern: SHA-256 of ``"{seed}:{number}"``, repeated."""
    digest = hashlib.sha256(f"{seed}:{number}".encode()).digest()
    return digest * (block_size // len(digest))


def write_pattern(device: str, *, seed: int, blocks: int, block_size: int) -> Pattern:
    """Write the pattern from the disk's beginning on, and flush the disk's own cache.

    Raises:
        OperationRefused: a parameter is out of range.
    """
    _check(blocks, block_size)
    whole = hashlib.sha256()
    # an anonymous map is aligned to a page, as O_DIRECT wants it
    with mmap.mmap(-1, block_size) as buffer:
        fd = os.open(device, os.O_RDWR | os.O_DIRECT)
        try:
            for number in range(blocks):
                buffer[:] = pattern_block(seed, number, block_size)
                if os.pwrite(fd, buffer, number * block_size) != block_size:
                    raise OperationRefused("command-failed", f"the disk ends in block {number}")
                whole.update(buffer)
            os.fsync(fd)
        finally:
            os.close(fd)
    return Pattern(whole.hexdigest(), blocks, block_size)


def read_pattern(device: str, *, blocks: int, block_size: int) -> Pattern:
    """Hash what lies there.

    Raises:
        OperationRefused: a parameter is out of range, or the disk ends before.
    """
    _check(blocks, block_size)
    whole = hashlib.sha256()
    with mmap.mmap(-1, block_size) as buffer:
        fd = os.open(device, os.O_RDONLY | os.O_DIRECT)
        try:
            for number in range(blocks):
                if os.preadv(fd, [buffer], number * block_size) != block_size:
                    raise OperationRefused("command-failed", f"the disk ends in block {number}")
                whole.update(buffer)
        finally:
            os.close(fd)
    return Pattern(whole.hexdigest(), blocks, block_size)


def _check(blocks: int, block_size: int) -> None:
    if blocks < 1 or block_size < _SECTOR or block_size % _SECTOR:
        raise OperationRefused("bad-parameter", "blocks must be at least 1, block_size a multiple of 512")
