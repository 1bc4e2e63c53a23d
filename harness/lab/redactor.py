"""Takes secrets out of text, in whatever way the text's writer had to write them.

The text is read several times, each time with one layer of what people put around characters taken off: XML
and HTML, JSON, URLs, CLIXML, escapes of C and Python (``&amp;#228;`` takes two). In each reading quotes and
what escapes them count as one mark, since each shell has more of them than the last, and the zeros of UTF-16
count as nothing. A secret is looked for as it is, as its bytes look in another code page, and inside Base64
wherever it begins there. What was found is taken out of the text as it was.

Everything here is done in one go over the text: it comes from guests, which may want to keep us busy.
"""

from __future__ import annotations

import base64
import bisect
import codecs
import functools
import html
import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from harness.lab.secrets import MASK, Secret, found_secrets

__all__ = ["Redactor", "without_found_secrets"]

# What gives away a login without being a secret of hosts.ini: tokens of the transfer server (harness/guest/
# transfer.py), the value of HTTP's login headers, an NTLM message in Base64 ("NTLMSSP", zero).
_ALWAYS = re.compile(
    r"(?=[apt])(?:(?P<token>\bpvhck-token-)[A-Za-z0-9_-]+"
    r"|(?P<header>\b(?:authorization|authenticate)\b[\"']?\s{0,8}[:=]\s{0,8}[\"']?"
    r"(?:basic|bearer|credssp|digest|kerberos|negotiate|ntlm)[ \t]{1,8})[A-Za-z0-9+/=_.~-]{4,}"
    r"|TlRMTVNTUAA[A-Za-z0-9+/=]+)",
    re.IGNORECASE,
)
_READINGS = 4  # layers that are taken off


class Redactor:
    """Replaces known secrets in text, also where they stand encoded. Safe to use from several threads."""

    def __init__(self) -> None:
        self._secrets: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def add(self, secret: Secret) -> None:
        """Know one more secret."""
        with self._lock:
            self._secrets |= {secret.reveal()} - {""}

    def clean(self, text: str) -> str:
        """The text with ``***`` for each known secret, and for each login that shows itself as one."""
        secrets = self._secrets
        masked = _masked(text, _found(text, secrets)) if secrets else text
        return _ALWAYS.sub(lambda match: f"{match['token'] or match['header'] or ''}{MASK}", masked)


def without_found_secrets(text: str) -> str:
    """The text without any secret that this process has fetched so far."""
    redactor = Redactor()
    for secret in found_secrets():
        redactor.add(secret)
    return redactor.clean(text)


def _masked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    parts, end = [], 0
    for first, last in sorted(spans):
        if first >= end:
            parts += [text[end:first], MASK]
        end = max(end, last)
    return "".join([*parts, text[end:]])


def _found(text: str, secrets: frozenset[str]) -> Iterator[tuple[int, int]]:
    """Where secrets stand in a text."""
    for secret in secrets:
        yield from (match.span() for match in re.finditer(re.escape(secret), text))
    patterns = [pattern for secret in secrets for pattern in _patterns(secret)]
    layers: list[_Rewritten] = []
    for _ in range(_READINGS):
        folded = _folded(layers[-1].text if layers else text)
        for pattern in patterns:
            for match in pattern.finditer(folded.text):
                span = folded.origin(*match.span())
                for layer in reversed(layers):
                    span = layer.origin(*span)
                yield span
        layer = _rewritten(layers[-1].text if layers else text, _LAYER, _meaning)
        if not layer.changed:
            return
        layers.append(layer)


# -- a text and where its characters come from


@dataclass(frozen=True)
class _Rewritten:
    """A text made from another. A piece begins at ``starts[n]`` and was ``pieces[n]`` there.

    A piece is the other's own, or of another length and stands as a whole for what it was made from.
    """

    text: str
    starts: list[int]
    pieces: list[tuple[int, int]]
    own: list[bool]

    @property
    def changed(self) -> bool:
        """Whether it differs from what it was made from."""
        return not all(self.own)

    def origin(self, first: int, last: int) -> tuple[int, int]:
        """Where a part of it, which is not empty, comes from."""
        head, tail = (bisect.bisect_right(self.starts, at) - 1 for at in (first, last - 1))
        begin, end = self.pieces[head][0], self.pieces[tail][1]
        if self.own[head]:
            begin += first - self.starts[head]
        if self.own[tail]:
            end = self.pieces[tail][0] + last - self.starts[tail]
        return begin, end


def _rewritten(text: str, pattern: re.Pattern[str], meaning: Callable[[re.Match[str]], str]) -> _Rewritten:
    made, starts, pieces, own = [], [], [], []
    length = done = 0

    def add(piece: str, first: int, last: int, *, same: bool) -> None:
        nonlocal length
        if piece:
            made.append(piece)
            starts.append(length)
            pieces.append((first, last))
            own.append(same)
            length += len(piece)

    for match in pattern.finditer(text):
        add(text[done : match.start()], done, match.start(), same=True)
        add(meaning(match), *match.span(), same=False)
        done = match.end()
    add(text[done:], done, len(text), same=True)
    return _Rewritten("".join(made), starts, pieces, own)


# -- one layer less

_LAYER = re.compile(
    r"(?=[%\\_&])(?:"  # at most places nothing begins, and this is known at once
    r"(?P<bytes>(?:%[0-9a-fA-F]{2}){1,4096}"
    r"|(?<!\\)\\{1,64}+x[0-9a-fA-F]{2}(?:\\{1,2}+x[0-9a-fA-F]{2}){0,4096}"
    r"|(?<!\\)\\{1,64}+[0-3][0-7]{2}(?:\\{1,2}+[0-3][0-7]{2}){0,4096})"
    r"|(?P<units>(?<!\\)\\{1,64}+u[0-9a-fA-F]{4}(?:\\{1,2}+u[0-9a-fA-F]{4}){0,4096}"
    r"|(?:_x[0-9a-fA-F]{4}_){1,4096})"
    r"|(?<!\\)\\{1,64}+U(?P<point>000[0-9a-fA-F]{5}|0010[0-9a-fA-F]{4})"
    r"|(?<!\\)\\{1,64}+(?P<letter>[nrt])"
    r"|(?P<entity>&(?:\#[0-9]{1,7}|\#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});))"
)
_NUMBERS = re.compile(r"%(..)|x(..)(?=\\|$)|([0-3][0-7]{2})")
_UNITS = re.compile(r"[ux]([0-9a-fA-F]{4})")
_LETTERS = {"n": "\n", "r": "\r", "t": "\t"}


_AS_LATIN = "pvhck-as-latin-1"


def _as_latin(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_AS_LATIN, _as_latin)


def _meaning(match: re.Match[str]) -> str:
    """What an escape stands for; of many backslashes some are the text's own."""
    own = "\\" if match[0].startswith("\\\\\\") else ""
    return own + _unescaped(match)


def _unescaped(match: re.Match[str]) -> str:
    if written := match["bytes"]:
        found = _NUMBERS.findall(written)
        data = bytes(int(octal, 8) if octal else int(url or c, 16) for url, c, octal in found)
        return data.decode("utf-8", _AS_LATIN)
    if units := match["units"]:
        data = b"".join(bytes.fromhex(unit) for unit in _UNITS.findall(units))
        return data.decode("utf-16-be", "replace")
    if point := match["point"]:
        return chr(int(point, 16))
    if letter := match["letter"]:
        return _LETTERS[letter]
    return html.unescape(match["entity"])


# -- what makes no difference

_QUOTE = '"'
# Quotes and escapes of POSIX shells, JSON, cmd and PowerShell, which takes typographic quotes for quotes.
_ALIKE = str.maketrans(dict.fromkeys("'`\\^\u2018\u2019\u201a\u201b\u201c\u201d\u201e", _QUOTE) | {"+": " "})
_FOLDED = re.compile(r'(?=[\0"%])(?:[\0"]{2,}|\0|%{2,})')


def _folded(text: str) -> _Rewritten:
    """One mark for quotes of all sorts, one % for several (batch files), no zeros, blanks for +."""
    return _rewritten(text.translate(_ALIKE), _FOLDED, lambda match: match[0].replace("\0", "")[:1])


# -- what is looked for in a folded text

_FEWEST_CERTAIN = (
    4  # characters that folding and other code pages leave as they are: else much would look alike
)
_CERTAIN = re.compile(r'[^"?%\s\0\ufffd]')
_MISREAD = (
    ("ascii", "ascii"),
    ("utf-8", "latin-1"),
    ("utf-8", "cp1252"),
    ("utf-16-le", "latin-1"),
    ("utf-16-le", "utf-8"),
    ("utf-16-be", "latin-1"),
    ("latin-1", "utf-8"),
    ("cp1252", "cp850"),
    ("cp850", "utf-8"),
    ("cp850", "cp1252"),
)


@functools.lru_cache(maxsize=64)
def _patterns(secret: str) -> tuple[re.Pattern[str], ...]:
    written = dict.fromkeys(_folded(text).text for text in _looks(secret))
    certain = [text for text in written if text == secret or len(_CERTAIN.findall(text)) >= _FEWEST_CERTAIN]
    # UTF-8 as in Basic authentication, or Latin-1 there (requests 2, auth.py); UTF-16 as in -EncodedCommand.
    inside = dict.fromkeys(
        digits
        for codec in ("utf-8", "latin-1", "cp1252", "utf-16-le")
        for data in _bytes(secret, codec)
        for digits in _inside_base64(data)
    )
    return tuple(re.compile(pattern) for pattern in (*map(_escaped, certain), *map(_in_lines, inside)))


def _looks(secret: str) -> Iterator[str]:
    """The secret, and what it looks like where somebody took its bytes for those of another code page."""
    # é is one character or two (e and an accent), as a keyboard or a Mac writes it
    yield from (secret, unicodedata.normalize("NFC", secret), unicodedata.normalize("NFD", secret))
    # what it has itself that looks like an escape goes with the layer that is taken off: %41 in a password
    text = secret
    for _ in range(_READINGS):
        text = _rewritten(text, _LAYER, _meaning).text
        yield text
    for written, read in _MISREAD:
        yield secret.encode(written, "replace").decode(read, "replace")


_LETTER = re.compile(r"[A-Za-z0-9]")


def _escaped(text: str) -> str:
    """A pattern of a folded text in which each sign that is no letter may be escaped."""
    pairs = zip(_QUOTE + text, text, strict=False)  # before the first it makes no difference
    return "".join(
        re.escape(char)
        if _QUOTE in (before, char) or _LETTER.fullmatch(char)
        else f"{_QUOTE}?{re.escape(char)}"
        for before, char in pairs
    )


_FEWEST_DIGITS = 6  # fewer match by chance
# In JSON a slash may be escaped; RFC 4648 has other digits for URLs; + is a blank in a folded text.
_DIGITS = {"+": "[ -]", "/": f"{_QUOTE}?[/_]"}


def _in_lines(digits: str) -> str:
    """A pattern of Base64 digits, broken into lines or not."""
    return r"\s{0,2}".join(_DIGITS.get(digit, digit) for digit in digits)


def _inside_base64(data: bytes) -> Iterator[str]:
    """The digits that depend on ``data`` alone, wherever it begins in what is encoded."""
    for before in range(3):
        bits_before, bits = before * 8, len(data) * 8
        digits = base64.b64encode(bytes(before) + data).decode("ascii")
        first, last = -(-bits_before // 6), (bits_before + bits) // 6
        if last - first >= _FEWEST_DIGITS:
            yield digits[first:last]


def _bytes(text: str, codec: str) -> Iterator[bytes]:
    """The text in a codec; nothing where that has not all of it."""
    try:
        yield text.encode(codec, "surrogatepass" if codec.startswith("utf") else "strict")
    except UnicodeEncodeError:
        return
