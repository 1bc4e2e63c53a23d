"""Files of the guest: reading, writing, hashing, by HTTP, from a zip file."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import shutil
from pathlib import Path
from typing import Any

from harness.operations import FileContent, FileFacts, OperationRefused

__all__ = ["expand_zip", "facts", "pull", "push", "read_part", "remove", "write"]

_HTTP_S = 600


def facts(path: Path) -> FileFacts:
    """Size and hash."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileFacts(str(path), path.stat().st_size, digest)


def read_part(path: Path, offset: int, length: int) -> FileContent:
    """A part, shorter at the end."""
    if offset < 0 or length < 0:
        raise OperationRefused("bad-parameter", "offset and length must not be negative")
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(length)
    return FileContent(str(path), path.stat().st_size, base64.b64encode(data).decode())


def write(path: Path, content: str) -> FileFacts:
    """Write from base64, making the folder."""
    try:
        data = base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise OperationRefused("bad-parameter", "content is not base64") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return facts(path)


def remove(path: Path) -> None:
    """A file, or a folder with all in it; nothing where nothing is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def pull(url: str, path: Path, sha256: str) -> FileFacts:
    """Fetch by HTTP; the file gets its name when it is whole and what was promised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        with _open(url) as answer, part.open("wb") as file:
            shutil.copyfileobj(answer, file, 1 << 20)
        got = facts(part).sha256
        if got != sha256:
            raise OperationRefused("command-failed", f"what came has SHA-256 {got}, not {sha256}")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return facts(path)


def push(path: Path, url: str) -> FileFacts:
    """Send by HTTP PUT."""
    import urllib.request  # noqa: PLC0415 - slow in the guest

    found = facts(path)
    with path.open("rb") as file:
        request = urllib.request.Request(url, data=file, method="PUT")  # noqa: S310 - the harness's own URL
        request.add_header("Content-Length", str(found.size))
        with _open(request):
            return found


def expand_zip(path: Path, folder: Path) -> None:
    """Unpack into a folder that is made anew."""
    import zipfile  # noqa: PLC0415 - slow in the guest

    try:
        with zipfile.ZipFile(path) as archive:
            remove(folder)
            folder.mkdir(parents=True)
            archive.extractall(folder)  # keeps members inside the folder
    except zipfile.BadZipFile as error:
        raise OperationRefused("command-failed", f"{path}: {error}") from error


def _open(request: Any) -> contextlib.AbstractContextManager[Any]:
    import urllib.error  # noqa: PLC0415 - slow in the guest
    import urllib.request  # noqa: PLC0415

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return contextlib.closing(opener.open(request, timeout=_HTTP_S))
    except urllib.error.URLError as error:
        raise OperationRefused("command-failed", str(error)) from error
