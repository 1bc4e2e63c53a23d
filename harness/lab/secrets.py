"""Secrets: fetched where hosts.ini says they lie, never shown, and taken out of what is written down."""

from __future__ import annotations

import base64
import html
import importlib
import json
import os
import re
import stat
import urllib.parse
from pathlib import Path
from typing import NoReturn

from harness.errors import ConfigurationError
from harness.lab.spec import SecretRef

__all__ = ["Redactor", "Secret", "resolve_secret"]

_MASK = "***"


class Secret:
    """A password. Printing, formatting, comparing and pickling do not give it away: ``reveal`` does."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself: to be called only where it is handed to what needs it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({_MASK})"

    def __str__(self) -> str:
        return _MASK

    def __format__(self, format_spec: str) -> str:
        return _MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: resolve its reference where it is needed")


def resolve_secret(ref: SecretRef) -> Secret:
    """Fetch a secret: environment variable, first line of a private file, or keyring entry.

    Raises:
        ConfigurationError: it is not there, is empty, or others can read it; names the
            reference, never the value.
    """
    match ref.scheme:
        case "env":
            value = os.environ.get(ref.name, "")
            mend = f"export {ref.name}=..."
        case "file":
            value = _from_file(ref, Path(ref.name))
            mend = "write the secret into the first line of the file"
        case "keyring":
            service, _, user = ref.name.partition("/")
            value = _from_keyring(ref, service, user)
            mend = f"keyring set {service} {user}"
    if not value:
        raise ConfigurationError(f"secret {ref}: not set or empty", mend=mend)
    return Secret(value)


def _from_file(ref: SecretRef, path: Path) -> str:
    try:
        # The check is of the file that is read, not of what a path meant a moment ago;
        # non-blocking, since opening a pipe that nobody writes to would wait for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigurationError(f"secret {ref}: not a regular file")
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                found = f"secret {ref}: others may read or change the file (mode {stat.S_IMODE(mode):04o})"
                raise ConfigurationError(found, mend=f"chmod 600 {path}")
            return file.readline().rstrip("\r\n")
    except OSError as error:
        raise ConfigurationError(f"secret {ref}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        # Not chained: the exception carries the bytes.
        raise ConfigurationError(f"secret {ref}: the file is not text in UTF-8") from None


def _from_keyring(ref: SecretRef, service: str, user: str) -> str:
    try:
        keyring = importlib.import_module("keyring")
        errors = importlib.import_module("keyring.errors")
    except ImportError:
        found = f"secret {ref}: the Python package keyring is not installed"
        raise ConfigurationError(found, mend="install pvhck with its extra: keyring") from None
    try:
        return str(keyring.get_password(service, user) or "")
    except errors.KeyringError as error:
        raise ConfigurationError(f"secret {ref}: the keyring refused: {type(error).__name__}") from error


class Redactor:
    """Replaces known secrets in text, also where they stand encoded. Safe to use from several threads."""

    def __init__(self) -> None:
        self._forms: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: Secret) -> None:
        """Know one more secret."""
        self._forms |= _forms_of(secret.reveal())
        # The longest first: a secret may be the beginning of another.
        ordered = sorted(self._forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def clean(self, text: str) -> str:
        """The text with ``***`` for each known secret."""
        pattern = self._pattern
        return pattern.sub(_MASK, text) if pattern else text


def _forms_of(value: str) -> frozenset[str]:
    """A secret as it may stand in logs: plain, in XML, JSON, a URL, or inside something in Base64."""
    if not value:
        return frozenset()
    written = {
        value,
        html.escape(value),
        html.escape(value, quote=False),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        urllib.parse.quote(value, safe=""),
        urllib.parse.quote_plus(value),
    }
    # UTF-8 as in Basic authentication, UTF-16 as in powershell -EncodedCommand.
    encoded = {form for codec in ("utf-8", "utf-16-le") for form in _inside_base64(value.encode(codec))}
    return frozenset(written | encoded)


_FEWEST_DIGITS = 6  # fewer match by chance


def _inside_base64(data: bytes) -> set[str]:
    """The Base64 digits that depend on ``data`` alone, wherever it begins in what is encoded."""
    forms = set()
    for before in range(3):
        bits_before, bits = before * 8, len(data) * 8
        digits = base64.b64encode(bytes(before) + data).decode("ascii")
        first, last = -(-bits_before // 6), (bits_before + bits) // 6
        if last - first >= _FEWEST_DIGITS:
            forms.add(digits[first:last])
    return forms
