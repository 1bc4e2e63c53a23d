"""Secrets: fetched where hosts.ini says they lie, and never shown (``redactor`` takes them out of text)."""

from __future__ import annotations

import importlib
import os
import stat
from pathlib import Path
from typing import NoReturn

from harness.errors import ConfigurationError
from harness.lab.spec import SecretRef

__all__ = ["MASK", "Secret", "found_secrets", "resolve_secret"]

MASK = "***"


class Secret:
    """A password. Printing, formatting, comparing and pickling do not give it away: ``reveal`` does."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself: to be called only where it is handed to what needs it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, format_spec: str) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: resolve its reference where it is needed")


_FOUND: dict[str, Secret] = {}  # by themselves: what this process must not say


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
    return _FOUND.setdefault(value, Secret(value))


def found_secrets() -> tuple[Secret, ...]:
    """Every secret that this process has fetched so far."""
    return tuple(_FOUND.values())


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
