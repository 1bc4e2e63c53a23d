"""A number that a command of a host prints, and nothing beside it: a size, a time, a memory target."""

from __future__ import annotations

from harness.errors import OutputNotUnderstood

__all__ = ["whole_number"]


def whole_number(text: str, what: str) -> int:
    """The number; ``what`` names it in words.

    Raises:
        OutputNotUnderstood: it is none.
    """
    try:
        return int(text)
    except ValueError as error:
        raise OutputNotUnderstood(f"{what} is no whole number", text=text) from error
