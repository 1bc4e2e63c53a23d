"""The picture on a guest's screen, as PPM: plain colours, and a comment that says what they stand for."""

from __future__ import annotations

from enum import Enum

__all__ = ["Picture", "paint"]

_WIDTH, _HEIGHT = 320, 200
_FRAME = 8


class Picture(Enum):
    """What is on the screen: a name, the colour of the ground, and one of the frame."""

    OFF = ("off", (0, 0, 0), (0, 0, 0))
    FIRMWARE = ("firmware", (0, 0, 0), (90, 90, 90))
    NO_DISK = ("no bootable device", (0, 0, 0), (160, 0, 0))
    LOGO = ("boot logo", (0, 0, 0), (0, 120, 215))
    SETUP = ("Windows Setup asks something", (0, 55, 120), (200, 200, 200))
    DESKTOP = ("desktop", (0, 99, 177), (40, 40, 40))
    BUGCHECK = ("bugcheck", (0, 0, 170), (255, 255, 255))


def paint(picture: Picture, name: str) -> bytes:
    """A PPM image (P6)."""
    title, ground, frame = picture.value
    edge, body = bytes(frame), bytes(ground)
    full = edge * _WIDTH
    row = edge * _FRAME + body * (_WIDTH - 2 * _FRAME) + edge * _FRAME
    rows = full * _FRAME + row * (_HEIGHT - 2 * _FRAME) + full * _FRAME
    return f"P6\n# simulated guest {name}: {title}\n{_WIDTH} {_HEIGHT}\n255\n".encode() + rows
