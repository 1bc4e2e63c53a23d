"""S-expressions as xend shows them (xend/sxp.py ``show``, xend/PrettyPrint.py): broken after 80 letters."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Form", "show"]

Form = str | Sequence["Form"]

_WIDTH = 80
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:/~")


def show(form: Form, indent: int = 0) -> str:
    """A form on one line if it fits, else each part on a line of its own, four blanks further in."""
    if isinstance(form, str):
        return _word(form)
    flat = "(" + " ".join(show(part) for part in form) + ")"
    if indent + len(flat) <= _WIDTH:
        return flat
    first, *rest = form
    inner = indent + 4
    lines = [f"({show(first)}", *(" " * inner + show(part, inner) for part in rest), " " * indent + ")"]
    return "\n".join(lines)


def _word(text: str) -> str:
    """Plain, or as Python 2's ``repr`` shows the bytes; an empty text is nothing at all."""
    if set(text) <= _PLAIN:
        return text
    shown = "".join(_shown(byte) for byte in text.encode())
    if "'" in text and '"' not in text:
        return f'"{shown}"'
    escaped = shown.replace("'", "\\'")
    return f"'{escaped}'"


def _shown(byte: int) -> str:
    named = {ord("\\"): "\\\\", ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}
    return named.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}")  # noqa: PLR2004  # ASCII
