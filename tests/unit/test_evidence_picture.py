"""The screen dump becomes a picture that browsers show, pixel by pixel the same."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import OutputNotUnderstood
from harness.evidence.picture import ppm_to_png


def pixels_of(png: bytes) -> tuple[int, int, bytes]:
    """Width, height and RGB bytes of an unfiltered PNG, its checksums checked."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length) == (zlib.crc32(kind + data),)
        chunks[kind] = data
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert rest == [8, 2, 0, 0, 0]
    rows = zlib.decompress(chunks[b"IDAT"])
    step = width * 3 + 1
    assert set(rows[::step]) == {0}
    return width, height, b"".join(rows[y * step + 1 : (y + 1) * step] for y in range(height))


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_no_pixel_is_lost_or_moved(width: int, height: int, data: st.DataObject) -> None:
    pixels = data.draw(st.binary(min_size=width * height * 3, max_size=width * height * 3))
    png = ppm_to_png(b"P6\n%d %d\n255\n" % (width, height) + pixels)
    assert pixels_of(png) == (width, height, pixels)


def test_comments_in_the_header_are_no_pixels() -> None:
    assert pixels_of(ppm_to_png(b"P6 # made by\n# QEMU\n1 1\n255\n\n\n\n")) == (1, 1, b"\n\n\n")


@pytest.mark.parametrize(
    "ppm",
    [
        b"",
        b"P5\n1 1\n255\n\0",
        b"P6\n1 1\n255\n\0\0",
        b"P6\n1 1\n255\n\0\0\0\0",
        b"P6\n0 1\n255\n",
        b"P6\n1 1\n65535\n\0\0\0\0\0\0",
        b"P6\n9999999999 9\n255\n",
        b"<html>no</html>",
    ],
)
def test_what_is_cut_off_or_no_picture_is_an_error(ppm: bytes) -> None:
    with pytest.raises(OutputNotUnderstood, match="screen dump"):
        ppm_to_png(ppm)
