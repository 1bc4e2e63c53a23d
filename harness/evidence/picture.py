"""A screen dump as QEMU writes it (PPM) made into what browsers show (PNG).

Formats: ppm(5) of Netpbm, kind P6; PNG 1.2 (RFC 2083): signature, IHDR, IDAT, IEND.
"""

from __future__ import annotations

import re
import struct
import zlib

from harness.errors import OutputNotUnderstood

__all__ = ["ppm_to_png"]

# Blanks and comments may stand between the four words of the header; one blank ends it.
_HEADER = re.compile(
    rb"P6(?:\s+|#[^\n]*\n)+(?P<width>\d{1,5})(?:\s+|#[^\n]*\n)+(?P<height>\d{1,5})(?:\s+|#[^\n]*\n)+(?P<top>\d{1,5})\s"
)
_ONE_BYTE = 255  # the greatest value of a colour: above it two bytes are used, which QEMU never does
_RGB = 2
_NO_FILTER = b"\0"


def ppm_to_png(ppm: bytes) -> bytes:
    """The same picture, lossless.

    Raises:
        OutputNotUnderstood: it is no PPM of 8 bits per colour, or it is cut off.
    """
    header = _HEADER.match(ppm)
    if header is None:
        raise OutputNotUnderstood("the screen dump is no PPM picture", text=_shown(ppm))
    width, height = int(header["width"]), int(header["height"])
    pixels = memoryview(ppm)[header.end() :]
    if int(header["top"]) != _ONE_BYTE or not width or not height or len(pixels) != width * height * 3:
        raise OutputNotUnderstood(
            f"the screen dump of {width} x {height} has {len(pixels)} bytes of pixels", text=_shown(ppm)
        )
    row = width * 3
    rows = b"".join(_NO_FILTER + pixels[start : start + row] for start in range(0, len(pixels), row))
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _RGB, 0, 0, 0)),
            _chunk(b"IDAT", zlib.compress(rows, 6)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _shown(ppm: bytes) -> str:
    return ppm[:60].decode("latin-1")
