"""The password of a template: made here, kept where its reference says, never shown."""

from __future__ import annotations

import contextlib
import os
import secrets
import string
from collections.abc import Iterator
from pathlib import Path

from harness.errors import ConfigurationError
from harness.lab import Secret, SecretRef, resolve_secret

__all__ = ["default_reference", "kept_password", "new_password"]

_LENGTH = 24
# Nothing that XML, cmd.exe or a shell would have to be told of.
_ALPHABET = string.ascii_letters + string.digits + "-_."
_KINDS = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "-_.")


def default_reference(template: str, folder: Path | None = None) -> SecretRef:
    """A file of the user's own for a template's password."""
    where = folder or Path.home() / ".local" / "share" / "pvhck" / "secrets"
    return SecretRef("file", str(where / template))


def new_password() -> str:
    """A random password that fits Windows' rules: 24 characters of four kinds."""
    while True:
        password = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
        if all(set(password) & set(kind) for kind in _KINDS):
            return password


@contextlib.contextmanager
def kept_password(ref: SecretRef) -> Iterator[Secret]:
    """The password behind a reference; a file that is not there is made, with a new one.

    A file that was made here goes again when what it was made for fails.

    Raises:
        ConfigurationError: there is no such secret and it is no file, or the file cannot be made.
    """
    path = Path(ref.name)
    if ref.scheme != "file" or path.exists():
        yield resolve_secret(ref)
        return
    _write(ref, path, new_password())
    try:
        yield resolve_secret(ref)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write(ref: SecretRef, path: Path, password: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # nobody else may read it at any moment
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{password}\n")
    except OSError as error:
        raise ConfigurationError(f"secret {ref} cannot be kept: {error.strerror or error}") from error
