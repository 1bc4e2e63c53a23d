"""As much of HTTP/1.1 as WinRM clients speak. Pure but for the reader given.

http.server would do, but it imports ssl, which takes seconds on the stand-in guest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["BadRequest", "HttpRequest", "HttpResponse", "Reader", "read_body", "read_head", "render"]

_MAX_HEAD_LINES = 100
_MOST_DIGITS = 18  # of a length; Python refuses to read some thousands
_MAX_LINE = 65_536  # NTLM tokens travel in a header
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    413: "Payload Too Large",
    500: "Internal Server Error",
}


class BadRequest(Exception):
    """What came is not a request."""


class Reader(Protocol):
    """Where requests come from, as ``socket.makefile("rb")`` gives it."""

    def readline(self, limit: int, /) -> bytes:
        """Bytes up to and with a line feed, at most ``limit``."""

    def read(self, size: int, /) -> bytes:
        """``size`` bytes, fewer only at the end."""


@dataclass(frozen=True)
class HttpRequest:
    """The head of a request. Header names are in lower case; of doubled ones the last counts."""

    method: str
    path: str
    version: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Bytes in the body.

        Raises:
            BadRequest: the length is no number, or the body comes in chunks.
        """
        if "transfer-encoding" in self.headers:
            raise BadRequest("a body in chunks")
        text = self.headers.get("content-length", "0")
        if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
            raise BadRequest(f"Content-Length is {text!r}")
        return int(text)

    @property
    def keeps_alive(self) -> bool:
        """Whether the client means to go on with the connection."""
        wish = self.headers.get("connection", "").lower()
        return wish == "keep-alive" if self.version == "HTTP/1.0" else wish != "close"


@dataclass(frozen=True)
class HttpResponse:
    """An answer. ``headers`` may name one twice."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def read_head(reader: Reader) -> HttpRequest | None:
    """The next request's head; None when the client has closed the connection.

    Raises:
        BadRequest: it is no request.
    """
    line = _line(reader)
    if line is None:
        return None
    words = line.split()
    if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, path, version
        raise BadRequest(f"not a request line: {line[:80]!r}")
    headers: dict[str, str] = {}
    for _ in range(_MAX_HEAD_LINES):
        line = _line(reader)
        if line is None:
            raise BadRequest("the head ends in the middle")
        if not line:
            return HttpRequest(words[0], words[1], words[2], headers)
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest(f"not a header: {line[:80]!r}")
        headers[name.strip().lower()] = value.strip()
    raise BadRequest("too many headers")


def read_body(reader: Reader, length: int) -> bytes:
    """The body.

    Raises:
        BadRequest: the connection ended before all of it came.
    """
    body = reader.read(length) if length else b""
    if len(body) != length:
        raise BadRequest(f"the body ends after {len(body)} of {length} bytes")
    return body


def render(response: HttpResponse, *, keep_alive: bool = True) -> bytes:
    """An answer as it goes over the wire; head as HTTP.sys writes it."""
    lines = [f"HTTP/1.1 {response.status} {_REASONS[response.status]}", "Server: Microsoft-HTTPAPI/2.0"]
    if response.content_type:
        lines.append(f"Content-Type: {response.content_type}")
    lines += [f"{name}: {value}" for name, value in response.headers]
    if not keep_alive:
        lines.append("Connection: close")
    lines.append(f"Content-Length: {len(response.body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + response.body


def _line(reader: Reader) -> str | None:
    raw = reader.readline(_MAX_LINE)
    if not raw:
        return None
    if not raw.endswith(b"\n"):
        raise BadRequest("a line without an end")
    return raw.decode("latin-1").rstrip("\r\n")
