"""Screen dumps for the page: PNG as it is, PPM (what QEMU's screendump writes) made into PNG."""

from __future__ import annotations

import re
import struct
import zlib

__all__ = ["as_png"]

_PNG = b"\x89PNG\r\n\x1a\n"
# netpbm's ppm(5): P6, width, height, maximum, each behind white space or comments, one white space, samples.
_HEADER = re.compile(rb"P6(?:\s|#[^\n]*\n)+(\d{1,5})(?:\s|#[^\n]*\n)+(\d{1,5})(?:\s|#[^\n]*\n)+(\d{1,5})\s")
_BYTE = 255


def as_png(data: bytes) -> bytes | None:
    """The image as PNG; None if it is neither PNG nor a whole PPM of 8 bits."""
    if data.startswith(_PNG):
        return data
    header = _HEADER.match(data)
    if header is None:
        return None
    width, height, top = (int(number) for number in header.groups())
    pixels = data[header.end() :]
    row = 3 * width
    if top != _BYTE or not width or not height or len(pixels) < row * height:
        return None
    # Each row begins with its filter: none.
    rows = b"".join(b"\0" + pixels[start : start + row] for start in range(0, row * height, row))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    return _PNG + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows, 6)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
