"""The frame around sealed messages, ``multipart/encrypted`` ([MS-WSMV] 2.2.9.1; facts/winrm.md 5.2). Pure."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

__all__ = ["FrameError", "SealedMessage", "content_type", "parse_sealed", "protocol_of", "render_sealed"]

_BOUNDARY = b"--Encrypted Boundary"
_PROTOCOL = re.compile(r'protocol="(application/HTTP-[A-Za-z]+-session-encrypted)"')
_LENGTH = re.compile(rb"OriginalContent:[^\r\n]*;Length=(\d{1,10})\r\n")
_PAYLOAD = b"\tContent-Type: application/octet-stream\r\n"


class FrameError(Exception):
    """What came is not a frame."""


@dataclass(frozen=True)
class SealedMessage:
    """A message as it travels. ``length`` is that of the plain one."""

    length: int
    signature: bytes
    data: bytes


def protocol_of(header: str) -> str:
    """The sealing protocol a Content-Type names, empty when the body is plain."""
    if not header.lower().startswith("multipart/encrypted"):
        return ""
    found = _PROTOCOL.search(header)
    return found[1] if found else ""


def content_type(protocol: str) -> str:
    """The Content-Type of a sealed body."""
    return f'multipart/encrypted;protocol="{protocol}";boundary="Encrypted Boundary"'


def render_sealed(message: SealedMessage, protocol: str) -> bytes:
    """The body of a sealed message."""
    return b"".join(
        (
            _BOUNDARY + b"\r\n",
            f"\tContent-Type: {protocol}\r\n".encode(),
            b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;",
            f"Length={message.length}\r\n".encode(),
            _BOUNDARY + b"\r\n",
            _PAYLOAD,
            struct.pack("<I", len(message.signature)),
            message.signature,
            message.data,
            _BOUNDARY + b"--\r\n",
        )
    )


def parse_sealed(body: bytes) -> SealedMessage:
    """A sealed message from its body.

    The sealed data is arbitrary bytes and may well look like a boundary: only the first inner
    boundary and the last line count.

    Raises:
        FrameError: the frame is not as it must be.
    """
    end = _BOUNDARY + b"--\r\n"
    head, middle, payload = body.partition(b"\r\n" + _BOUNDARY + b"\r\n" + _PAYLOAD)
    if not middle or not head.startswith(_BOUNDARY + b"\r\n") or not payload.endswith(end):
        raise FrameError(f"not a sealed message: {body[:60]!r}")
    found = _LENGTH.search(head + b"\r\n")
    if found is None:
        raise FrameError("a sealed message without the length of the plain one")
    data = payload.removesuffix(end)
    if len(data) < 4:  # noqa: PLR2004 - the signature's length is four bytes
        raise FrameError("a sealed message without a signature")
    (size,) = struct.unpack("<I", data[:4])
    if size > len(data) - 4:
        raise FrameError(f"a signature of {size} bytes in {len(data)}")
    return SealedMessage(int(found[1]), data[4 : 4 + size], data[4 + size :])
