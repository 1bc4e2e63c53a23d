"""From the text of one value in ``hosts.ini`` to a typed value. Pure, apart from making paths absolute."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

from harness.lab.spec import AddressSource, CertificatePolicy, SecretRef
from harness.model import ToolstackName, XenVersion

__all__ = [
    "ADDRESS",
    "ADDRESS_SOURCE",
    "AMOUNT_OR_NONE",
    "CERTIFICATE",
    "FACTOR",
    "HASHED_FILE",
    "HOST_PATH",
    "IMAGE",
    "JUMP",
    "LOCAL_PATH",
    "MEMORY",
    "SECRET",
    "SWITCH",
    "TEXT",
    "TOOLSTACK",
    "WORDS",
    "XEN_VERSION",
    "HashedFile",
    "Reader",
    "Unfit",
    "choice",
    "matching",
    "number",
]

T_co = TypeVar("T_co", covariant=True)
E = TypeVar("E", bound=StrEnum)


class Unfit(ValueError):
    """The text is not allowed here; the reader's ``allowed`` says what is."""


@dataclass(frozen=True)
class Reader(Generic[T_co]):
    """``parse(text, base)`` gives the value or raises ``Unfit``; ``base`` is the folder of the file.

    ``words`` are the possible values where there are few, for hints. What a ``hidden``
    reader was given is never shown.
    """

    allowed: str
    parse: Callable[[str, Path], T_co]
    words: tuple[str, ...] = ()
    hidden: bool = False


@dataclass(frozen=True)
class HashedFile:
    """A file on the controller and the SHA-256 it has to have, in lower case."""

    path: Path
    sha256: str


def choice(kind: type[E]) -> Reader[E]:
    """One of the words of an enumeration."""
    words = tuple(member.value for member in kind)

    def parse(text: str, _base: Path) -> E:
        if text not in words:
            raise Unfit
        return kind(text)

    return Reader(" | ".join(words), parse, words)


def number(low: int, high: int) -> Reader[int]:
    """A whole number from ``low`` to ``high``."""

    def parse(text: str, _base: Path) -> int:
        value = int(_match(r"[0-9]{1,9}", text).group())
        if not low <= value <= high:
            raise Unfit
        return value

    return Reader(f"a whole number from {low} to {high}", parse)


def matching(pattern: str, allowed: str) -> Reader[str]:
    """Text that fits a pattern as a whole."""
    return Reader(allowed, lambda text, _base: _match(pattern, text).group())


def _match(pattern: str, text: str) -> re.Match[str]:
    found = re.fullmatch(pattern, text, re.ASCII)
    if found is None:
        raise Unfit
    return found


def _local_path(text: str, base: Path) -> Path:
    return base.absolute() / os.path.expanduser(text)  # noqa: PTH111 - Path.expanduser raises without a home


_SWITCH = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


def _switch(text: str, _base: Path) -> bool:
    if text.lower() not in _SWITCH:
        raise Unfit
    return _SWITCH[text.lower()]


_MIN_MEMORY_MIB = 64
_MAX_MEMORY_MIB = 16 * 1024 * 1024


def _memory(text: str, _base: Path) -> int:
    found = _match(r"([0-9]{1,9}) ?([mMgG]?)(?:i?[bB])?", text)
    mib = int(found.group(1)) * (1024 if found.group(2) in {"g", "G"} else 1)
    if not _MIN_MEMORY_MIB <= mib <= _MAX_MEMORY_MIB:
        raise Unfit
    return mib


def _amount_or_none(text: str, base: Path) -> int:
    return 0 if text == "none" else _memory(text, base)


_MIN_FACTOR = 0.1
_MAX_FACTOR = 1000.0


def _factor(text: str, _base: Path) -> float:
    value = float(_match(r"[0-9]{1,4}(\.[0-9]{1,6})?", text).group())
    if not _MIN_FACTOR <= value <= _MAX_FACTOR:
        raise Unfit
    return value


_HOST_NAME = r"[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*\.?"


def _address(text: str, _base: Path) -> str:
    if ":" in text or re.fullmatch(r"[0-9.]+", text):
        return _ip(text)
    return _match(_HOST_NAME, text).group()


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise Unfit from None


_MAX_PORT = 65535


def _jump(text: str, base: Path) -> str:
    found = _match(rf"(?:[A-Za-z0-9_.\\-]+@)?({_HOST_NAME}|\[[0-9A-Fa-f:.]+\])(?::([0-9]{{1,5}}))?", text)
    _address(found.group(1).strip("[]"), base)
    if not 1 <= int(found.groups()[-1] or 22) <= _MAX_PORT:
        raise Unfit
    return text


def _toolstack(text: str, _base: Path) -> ToolstackName | None:
    if text == "auto":
        return None
    if text not in _TOOLSTACKS:
        raise Unfit
    return ToolstackName(text)


_TOOLSTACKS = ("auto", *(name.value for name in ToolstackName))


def _xen_version(text: str, _base: Path) -> XenVersion:
    found = _match(r"([0-9]{1,2})\.([0-9]{1,3})", text)
    return XenVersion(int(found.group(1)), int(found.group(2)))


def _secret(text: str, base: Path) -> SecretRef:
    scheme, _, name = text.partition(":")
    match scheme:
        case "env":
            return SecretRef("env", _match(r"[A-Za-z_][A-Za-z0-9_]*", name).group())
        case "file" if name:
            return SecretRef("file", str(_local_path(name, base)))
        case "keyring":
            return SecretRef("keyring", _match(r"[^/]+/.+", name).group())
        case _:
            raise Unfit


def _certificate(text: str, _base: Path) -> CertificatePolicy:
    if text == "first-use":
        return CertificatePolicy()
    digits = text.removeprefix("sha256:").replace(":", "")
    return CertificatePolicy(_match(r"[0-9A-Fa-f]{64}", digits).group().lower())


_LEARNT = tuple(source.value for source in AddressSource if source is not AddressSource.FIXED)


def _address_source(text: str, _base: Path) -> tuple[AddressSource, str]:
    if text in _LEARNT:
        return AddressSource(text), ""
    return AddressSource.FIXED, _ip(_match(r"fixed +(\S+)", text).group(1))


def _hashed_file(text: str, base: Path) -> HashedFile:
    found = _match(r"(\S.*?)\s+sha256:([0-9A-Fa-f]{64})", text)
    return HashedFile(_local_path(found.group(1), base), found.group(2).lower())


def _words(text: str, _base: Path) -> tuple[str, ...]:
    words = tuple(re.split(r"\s*,\s*|\s+", text.strip(" ,")))
    if any(not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:=@/-]*", word) for word in words):
        raise Unfit
    if len(set(words)) != len(words):
        raise Unfit
    return words


TEXT = matching(r".{1,200}", "text of at most 200 characters")
SWITCH = Reader("yes | no", _switch, tuple(_SWITCH))
MEMORY = Reader("an amount from 64 MiB to 16 TiB: 2048, 2048m or 2g", _memory)
AMOUNT_OR_NONE = Reader("an amount from 64 MiB to 16 TiB: 2048, 2048m or 2g; or none", _amount_or_none)
FACTOR = Reader("a number from 0.1 to 1000", _factor)
ADDRESS = Reader("a host name or an IP address, without port", _address)
JUMP = Reader("HOST, USER@HOST or USER@HOST:PORT", _jump)
TOOLSTACK = Reader(" | ".join(_TOOLSTACKS), _toolstack, _TOOLSTACKS)
XEN_VERSION = Reader("MAJOR.MINOR, such as 4.17", _xen_version)
LOCAL_PATH = Reader("a path on this machine; relative ones start at the folder of this file", _local_path)
HOST_PATH = matching(r"/.*", "an absolute path on the host")
IMAGE = matching(r".{1,400}", "a path on the host; relative ones start at its storage")
SECRET = Reader(
    "a reference, never the secret itself: env:NAME | file:PATH | keyring:SERVICE/USER", _secret, hidden=True
)
CERTIFICATE = Reader(
    "first-use, or the certificate's SHA-256 fingerprint (64 hexadecimal digits, colons as you like)",
    _certificate,
)
ADDRESS_SOURCE = Reader(" | ".join((*_LEARNT, "fixed IP")), _address_source, (*_LEARNT, "fixed"))
HASHED_FILE = Reader("PATH sha256:64-HEXADECIMAL-DIGITS", _hashed_file)
WORDS = Reader("words, each once, separated by commas or blanks", _words)
