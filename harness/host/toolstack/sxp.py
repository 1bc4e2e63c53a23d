"""S-expressions as xend and xl 4.1 print them.

xend quotes by Python's ``repr`` where a word is more than letters, digits and ``.-_:/~``
(tools/python/xen/xend/sxp.py, Xen 4.0, ``show``); xl 4.1 quotes nothing (tools/libxl/xl_cmdimpl.c,
``printf_info``). Libraries for s-expressions read Lisp, where a single quote begins no text.
"""

from __future__ import annotations

import re

from harness.errors import OutputNotUnderstood

__all__ = ["Sxp", "children", "parse_sxp", "value"]

Sxp = str | list["Sxp"]

_TOKEN = re.compile(
    r"""\s*(?:(?P<open>\()|(?P<close>\))|(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<word>[^\s()'"]+))""",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_NAMED = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}


def parse_sxp(text: str) -> tuple[list[Sxp], ...]:
    """All lists of a text, one after the other.

    Raises:
        OutputNotUnderstood: a parenthesis or a quote is not closed, or a word stands outside of lists.
    """
    found: list[list[Sxp]] = []
    nest: list[list[Sxp]] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise OutputNotUnderstood("an s-expression has a quote that is not closed", text=text[at:])
        at = match.end()
        if match["open"]:
            nest.append([])
        elif not nest:
            raise OutputNotUnderstood("an s-expression has words outside of its lists", text=text)
        elif match["close"]:
            done = nest.pop()
            (nest[-1] if nest else found).append(done)
        else:
            nest[-1].append(match["word"] or _plain(match["text"]))
    if nest:
        raise OutputNotUnderstood("an s-expression has a list that is not closed", text=text)
    return tuple(found)


def children(expression: Sxp, name: str) -> tuple[list[Sxp], ...]:
    """The lists within a list whose first word is ``name``."""
    if isinstance(expression, str):
        return ()
    return tuple(item for item in expression if isinstance(item, list) and item[:1] == [name])


def value(expression: Sxp, name: str) -> str:
    """What stands behind a name, "" for nothing: ``(domain (name win1))``; of unquoted blanks one is kept."""
    for child in children(expression, name):
        return " ".join(word for word in child[1:] if isinstance(word, str))
    return ""


def _plain(quoted: str) -> str:
    """The text that Python 2's ``repr`` of a byte string shows."""
    raw = _ESCAPE.sub(lambda match: chr(_code(match[1])), quoted[1:-1])
    try:
        return raw.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return raw


def _code(escape: str) -> int:
    if escape[0] == "x" and len(escape) > 1:
        return int(escape[1:], 16)
    if escape[0] in "01234567":
        return int(escape, 8) & 0xFF
    return _NAMED.get(escape, ord(escape))
