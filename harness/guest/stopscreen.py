"""Is that a stop screen? A bugcheck that nobody heard of, in a guest that stays on it.

Windows 7 to 11 draw it in white on one blue, 11 for a while on black (which is no sign: a screen that is
off is black, too). After XenRT's check: more than half of one blue, next to nothing but white
(facts/xen-peers.md 4).
"""

from __future__ import annotations

import re
from collections import Counter

__all__ = ["is_stop_screen"]

_HEADER = re.compile(rb"P6\s+(?:#[^\n]*\n)*(\d{1,5})\s+(\d{1,5})\s+255\s")
_STEP = 7 * 3  # bytes: one pixel of seven is enough, and no width of a screen is a multiple of seven
_GROUND, _TOGETHER = 0.5, 0.9
_PIXELS = 64


def is_stop_screen(ppm: bytes) -> bool:
    """Whether a picture (PPM, P6, 8 bits) looks like one; False for what is no picture."""
    header = _HEADER.match(ppm)
    if header is None:
        return False
    pixels = ppm[header.end() :]
    colours = Counter(pixels[at : at + 3] for at in range(0, len(pixels) - 2, _STEP))
    total = sum(colours.values())
    if total < _PIXELS:
        return False
    (ground, count), *others = colours.most_common()
    white = sum(number for colour, number in others if min(colour) > 200)  # noqa: PLR2004  # of 255
    return _is_blue(ground) and count > total * _GROUND and white > 0 and count + white > total * _TOGETHER


def _is_blue(colour: bytes) -> bool:
    red, green, blue = colour
    return blue > 100 and red < blue // 3 and green < blue * 2 // 3  # noqa: PLR2004  # of 255
