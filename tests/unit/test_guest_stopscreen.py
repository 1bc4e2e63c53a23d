"""A stop screen is told from a desktop, a boot logo and a screen that is off; pictures are made here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.guest.stopscreen import is_stop_screen
from harness.simlab.guest.screen import Picture, paint

_BLUES = {"7": (0, 0, 128), "8": (16, 113, 198), "10": (0, 120, 215), "vga": (0, 0, 170)}
_WHITE, _GREY = (255, 255, 255), (190, 190, 190)


def _picture(ground: tuple[int, int, int], *others: tuple[tuple[int, int, int], int]) -> bytes:
    """640 x 480, with so many pixels of other colours spread over it."""
    pixels = [bytes(ground)] * (640 * 480)
    at = 0
    for colour, count in others:
        for _ in range(count):
            pixels[at % len(pixels)] = bytes(colour)
            at += 11
    return b"P6\n640 480\n255\n" + b"".join(pixels)


@pytest.mark.parametrize("blue", _BLUES.values(), ids=_BLUES)
def test_white_on_one_blue_is_a_stop_screen(blue: tuple[int, int, int]) -> None:
    assert is_stop_screen(_picture(blue, (_WHITE, 9000), (_GREY, 2000)))


@pytest.mark.parametrize(
    "picture",
    [
        _picture((0, 120, 215)),  # an empty desktop
        _picture((0, 99, 177), ((40, 40, 40), 40_000), (_WHITE, 500)),  # with a task bar
        _picture((0, 0, 0), (_WHITE, 3000)),  # a console, or Windows 11's black one: nobody can tell
        _picture((255, 255, 255), ((0, 0, 128), 3000)),
        b"P5\n1 1\n255\nx",
        b"P6\n2 1\n255\nabcdef",
        b"",
    ],
)
def test_what_else_a_guest_shows_is_none(picture: bytes) -> None:
    assert not is_stop_screen(picture)


@pytest.mark.parametrize("picture", Picture)
def test_the_simulated_guests_pictures_are_told_apart(picture: Picture) -> None:
    assert is_stop_screen(paint(picture, "win")) is (picture is Picture.BUGCHECK)


@given(st.binary())
def test_any_bytes_are_looked_at(data: bytes) -> None:
    assert is_stop_screen(data) in {True, False}
    assert not is_stop_screen(b"P6\n1 1\n255\n" + data[:60])
