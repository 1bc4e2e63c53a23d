"""What the tests by hypothesis share: texts that quoting and parsers stumble over, damaged outputs."""

from __future__ import annotations

from pathlib import Path

import fake_host
from hypothesis import strategies as st

FIXTURES = Path(__file__).parents[1] / "fixtures"

# Signs that mean something to a shell, to PowerShell, to XML, INI, JSON, a format or a path.
_SIGNS = (
    *(
        " ",
        "  ",
        "'",
        "''",
        '"',
        '""',
        "\\",
        "\\\\",
        "\\n",
        "$(id)",
        "`id`",
        "${HOME}",
        "$HOME",
        "$x",
        "%PATH%",
    ),
    *(
        "%s",
        "%",
        "!",
        "!!",
        "-",
        "--",
        "-rf",
        ";",
        "&&",
        "&",
        "|",
        "<",
        ">",
        "&amp;",
        "]]>",
        "<!--",
        "<!DOCTYPE",
    ),
    *(
        "*",
        "?",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        "~",
        "#",
        "=",
        ",",
        ":",
        "/",
        "..",
        "@",
        "^",
        "0",
        "-1",
        "PVH ",
    ),
    *("\U0001f600", "日本", "ä", "e\u0301", "\u202e", "\u200b", "\ufeff", "\u00a0", "\u2019", "\u201c"),
)
_LINE_ENDS = ("\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029")
_CONTROLS = ("\t", "\x01", "\x1b[31m", "\x7f", "\x9b", "\ufffe", "\uffff")
_PRINTABLE = st.characters(exclude_categories=("Cs", "Cc", "Cn", "Zl", "Zp"))

# One line, nothing that is no text: what a person may put into a name, a path or a password.
one_line = st.lists(st.sampled_from(_SIGNS) | _PRINTABLE, min_size=1, max_size=12).map("".join)
# Whatever a decoded output may hold.
any_text = st.lists(
    st.sampled_from((*_SIGNS, *_LINE_ENDS, *_CONTROLS)) | st.characters(exclude_categories=("Cs",)),
    max_size=30,
).map("".join)
# ... and what JSON from a guest may hold beyond that: halves of characters beyond the BMP.
torn_text = st.lists(
    st.sampled_from((*_SIGNS, *_LINE_ENDS, *_CONTROLS, "\0", "\ud800", "\udc00", "\udfff")) | st.characters(),
    max_size=20,
).map("".join)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 0, -1])
    | st.floats()
    | torn_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(torn_text, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """An output with lines cut, doubled, reordered, left out, in CRLF, with strange ones among them."""
    lines = text.split("\n")
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(lines) - 1, 0)))
        match draw(st.sampled_from(["cut", "head", "double", "swap", "drop", "garbage", "wide", "end"])):
            case "cut":
                lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
            case "head":
                lines[at] = lines[at][draw(st.integers(0, len(lines[at]))) :]
            case "double":
                lines.insert(at, lines[at])
            case "swap":
                other = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            case "drop" if len(lines) > 1:
                del lines[at]
            case "garbage":
                lines.insert(at, draw(any_text))
            case "wide":
                digits = draw(st.sampled_from(["9" * 400, "9" * 5000, "1" * 20]))
                lines[at] = lines[at].replace(draw(st.sampled_from("0123456789")), digits, 1)
            case "end":
                lines = lines[: at + 1]
                lines[-1] = lines[-1][: draw(st.integers(0, len(lines[-1])))]
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines)


def recorded(name: str, folder: str = "xen-4.17") -> str:
    """The stdout of a recorded command."""
    return fake_host.recorded(name, folder)[1]
