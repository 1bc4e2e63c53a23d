"""How a secret may stand in a text: by the writers that a run's texts go through, none of them ours."""

from __future__ import annotations

import base64
import html
import json
import shlex
import urllib.parse
import xml.sax.saxutils
from collections.abc import Callable, Iterator

__all__ = ["WRITERS", "base64_cores", "forms"]


def powershell(text: str) -> str:
    """A single-quoted string; typographic quotes end one, too."""
    doubled = "".join(char * 2 if char in "'\u2018\u2019\u201a\u201b" else char for char in text)
    return f"'{doubled}'"


def powershell_double(text: str) -> str:
    return '"' + "".join(f"`{char}" if char in '`$"\u201c\u201d\u201e' else char for char in text) + '"'


def powershell_json(text: str) -> str:
    """ConvertTo-Json of 5.1 (JavaScriptSerializer) escapes what HTML minds."""
    escaped = json.dumps(text, ensure_ascii=False)[1:-1]
    return escaped.translate({ord(char): f"\\u{ord(char):04x}" for char in "<>&'"})


def clixml(text: str) -> str:
    data = text.encode("utf-16-be")
    units = [int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2)]
    return "".join(chr(one) if chr(one).isalnum() or one == 0x20 else f"_x{one:04X}_" for one in units)


def xenstore(text: str) -> str:
    """What xenstore-read shows (sanitise_value in xenstore_client.c)."""
    shown = ""
    for byte in text.encode():
        shown += "\\\\" if byte == 0x5C else chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"
    return shown


def url_latin(text: str) -> str:
    return "".join(
        urllib.parse.quote(char, safe="", encoding="latin-1" if ord(char) < 256 else None) for char in text
    )


WRITERS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "html": html.escape,
    "html, quotes left": lambda text: html.escape(text, quote=False),
    "xml": lambda text: xml.sax.saxutils.escape(text, {'"': "&quot;", "'": "&apos;"}),
    "xml, decimal": lambda text: text.encode("ascii", "xmlcharrefreplace").decode(),
    "html in html": lambda text: html.escape(html.escape(text)),
    "json": lambda text: json.dumps(text)[1:-1],
    "json, not ascii": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json in json": lambda text: json.dumps(json.dumps(text))[3:-3],
    "json of PowerShell": powershell_json,
    "json of PHP": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "url": urllib.parse.quote,
    "url, all": lambda text: urllib.parse.quote(text, safe=""),
    "url, form": urllib.parse.quote_plus,
    "url, lower": lambda text: urllib.parse.quote(text, safe="").replace("%C3%A4", "%c3%a4"),
    "url, latin-1": url_latin,
    "url in url": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
    "sh": shlex.quote,
    "sh, by hand": lambda text: "'" + text.replace("'", "'\\''") + "'",
    "sh in sh": lambda text: shlex.quote(shlex.quote(text)),
    "cmd": lambda text: "".join(f"^{char}" if char in '&|<>^"()%' else char for char in text),
    "batch": lambda text: text.replace("%", "%%"),
    "PowerShell": powershell,
    "PowerShell, double": powershell_double,
    "clixml": clixml,
    "python": repr,
    "python bytes": lambda text: repr(text.encode()),
    "xenstore": xenstore,
    "utf-16": lambda text: text.encode("utf-16-le").decode("utf-8", "replace"),
    "utf-16 as latin-1": lambda text: text.encode("utf-16-le").decode("latin-1"),
    "utf-16, big": lambda text: text.encode("utf-16-be").decode("latin-1"),
    "utf-16 in json": lambda text: json.dumps(text.encode("utf-16-le").decode("latin-1"))[1:-1],
    "utf-8 as latin-1": lambda text: text.encode().decode("latin-1"),
    "latin-1 as utf-8": lambda text: text.encode("latin-1", "replace").decode("utf-8", "replace"),
    "code page 850": lambda text: text.encode("cp850", "replace").decode("cp1252", "replace"),
}


def base64_cores(data: bytes) -> Iterator[str]:
    """The digits that depend on ``data`` alone, at each of the places where it may begin."""
    for before in range(3):
        digits = base64.b64encode(bytes(before) + data + bytes(3)).decode()
        first, last = -(-before * 8 // 6), (before + len(data)) * 8 // 6
        core = digits[first:last]
        yield core
        yield core.replace("+", "-").replace("/", "_")
        yield urllib.parse.quote(core, safe="")


def forms(secret: str, user: str) -> dict[str, str]:
    """Every form by its name, as it must stand in nothing that a run leaves; ``user`` logs in with it."""
    found = {name: write(secret).strip("'\"") for name, write in WRITERS.items()}
    for codec in ("utf-8", "latin-1", "utf-16-le"):
        data = secret.encode(codec, "replace")
        for number, core in enumerate(base64_cores(data)):
            found[f"base64 of {codec}, {number}"] = core
        found[f"Basic in {codec}"] = base64.b64encode(f"{user}:".encode() + data).decode()
    return found
