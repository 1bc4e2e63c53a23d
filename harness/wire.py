r"""How the controller and the process in the guest talk: one line of ASCII per message.

The process reads from stdin::

    <base64 of the gzipped module text>          the first line
    {"id": 1, "op": "boot_id", "params": {}}     then requests, until the end of stdin

and writes to stdout, each line behind a mark so that stray output is told apart::

    PVH {"ready": {"shell": "5.1.17763.316", "module": "<sha256 of the module text>"}}
    PVH {"id": 1, "ok": true, "result": {"boot_id": "..."}}
    PVH {"id": 2, "ok": false, "error": {"kind": "not-found", "detail": "..."}}
    PVH {"id": null, "ok": false, "error": {...}}             a request that could not be read

Everything beyond ASCII is escaped as ``\uXXXX``: no code page can spoil it. Half a surrogate pair, which
PowerShell's texts may hold and no file of ours can, is read as U+FFFD.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.operations import ErrorKind

__all__ = [
    "MARK",
    "Answer",
    "Ready",
    "Refusal",
    "Request",
    "decode_message",
    "decode_module",
    "decode_request",
    "encode_answer",
    "encode_module",
    "encode_ready",
    "encode_refusal",
    "encode_request",
    "module_digest",
]

MARK = "PVH "


@dataclass(frozen=True)
class Request:
    """What the controller asks."""

    id: int
    op: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Ready:
    """The process announces itself: its shell's version, the digest of the module it was given."""

    shell: str
    module: str


@dataclass(frozen=True)
class Answer:
    """The result of a request, as plain JSON values."""

    id: int
    result: Any


@dataclass(frozen=True)
class Refusal:
    """A request that ended in an error; ``id`` is None when it could not even be read."""

    id: int | None
    kind: str
    detail: str


def module_digest(text: str) -> str:
    """SHA-256 of a module's text, as ``Ready`` carries it."""
    return hashlib.sha256(text.encode()).hexdigest()


def encode_module(text: str) -> str:
    """The first line for stdin, without its line end."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode("ascii")


def decode_module(line: str) -> str:
    """The module's text from the first line.

    Raises:
        ValueError: the line is not base64 of gzipped UTF-8.
    """
    try:
        return gzip.decompress(base64.b64decode(line.strip(), validate=True)).decode()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"not a gzipped module: {error}") from error


def encode_request(request: Request) -> str:
    """A request as a line, without its line end."""
    return _line({"id": request.id, "op": request.op, "params": dict(request.params)})


def decode_request(line: str) -> Request:
    """A request from a line.

    Raises:
        ValueError: not a request; half-written lines end here.
    """
    fields = _read(line)
    match fields:
        case {"id": int(number), "op": str(name), "params": dict(params)}:
            return Request(number, name, params)
    raise ValueError(f"not a request: {line[:80]!r}")


def encode_ready(ready: Ready) -> str:
    """The announcement as a line, without its line end."""
    return MARK + _line({"ready": {"shell": ready.shell, "module": ready.module}})


def encode_answer(answer: Answer) -> str:
    """An answer as a line, without its line end."""
    return MARK + _line({"id": answer.id, "ok": True, "result": answer.result})


def encode_refusal(number: int | None, kind: ErrorKind, detail: str) -> str:
    """An error as a line, without its line end."""
    return MARK + _line({"id": number, "ok": False, "error": {"kind": kind, "detail": detail}})


def decode_message(line: str) -> Ready | Answer | Refusal | None:
    """A line of stdout; None for output that is none of ours.

    Raises:
        ValueError: the mark is there, what follows makes no sense.
    """
    if not line.startswith(MARK):
        return None
    fields = _read(line[len(MARK) :])
    match fields:
        case {"ready": {"shell": str(shell), "module": str(digest)}}:
            return Ready(shell, digest)
        case {"id": int(number), "ok": True, "result": result}:
            return Answer(number, result)
        case {"id": int() | None as number, "ok": False, "error": {"kind": str(kind), "detail": str(detail)}}:
            return Refusal(number, kind, detail)
    raise ValueError(f"not a message of the module: {line[:80]!r}")


def _read(text: str) -> Any:
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("endless brackets") from error
    return _whole(value) if "\\ud" in text.lower() else value


def _whole(value: Any) -> Any:
    """The same value with no half of a surrogate pair in any text."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_whole(one) for one in value]
        case dict():
            return {_whole(name): _whole(one) for name, one in value.items()}
    return value


def _line(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":"))
