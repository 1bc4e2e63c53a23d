"""Files by HTTP and from CDs, as they come through the guest's network and drives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import pycdlib
import pycdlib.pycdlibexception
import requests

from harness.operations import CdFile, FileFacts, OperationRefused
from harness.simlab.guest.files import GuestFiles

__all__ = ["Cd", "corrupt", "pull", "push"]

_CONNECT_S, _READ_S = 10, 60
_BLOCK = 1 << 20


def corrupt(data: bytes) -> bytes:
    """What a driver that changes its payload makes of a block: one bit in the middle is another."""
    if not data:
        return data
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def pull(files: GuestFiles, url: str, path: str, sha256: str, *, corrupts: bool) -> FileFacts:
    """See ``GuestOperations.pull_file``: the file gets its name when it is whole and right."""
    target = files.real(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    hasher = hashlib.sha256()
    try:
        with _session() as session, part.open("wb") as data:
            answer = session.get(_checked(url), stream=True, timeout=(_CONNECT_S, _READ_S))
            answer.raise_for_status()
            for number, block in enumerate(answer.iter_content(_BLOCK)):
                carried = corrupt(block) if corrupts and number == 0 else block
                hasher.update(carried)
                data.write(carried)
        if hasher.hexdigest() != sha256:
            raise OperationRefused(
                "command-failed", f"what came has SHA-256 {hasher.hexdigest()}, not {sha256}"
            )
        part.replace(target)
    except requests.RequestException as error:
        raise OperationRefused("command-failed", f"{type(error).__name__}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return files.facts(path)


def push(files: GuestFiles, path: str, url: str, *, corrupts: bool) -> FileFacts:
    """See ``GuestOperations.push_file``."""
    facts = files.facts(path)
    try:
        with _session() as session, files.existing(path).open("rb") as data:
            body = _Stream(data.read, facts.size, corrupts=corrupts)
            answer = session.put(_checked(url), data=body, timeout=(_CONNECT_S, _READ_S))
            answer.raise_for_status()
    except requests.RequestException as error:
        raise OperationRefused("command-failed", f"{type(error).__name__}: {error}") from error
    return facts


class _Stream:
    """A body of known length for requests, perhaps changed on its way."""

    def __init__(self, read: Callable[[int], bytes], length: int, *, corrupts: bool) -> None:
        self._read, self._length, self._corrupts = read, length, corrupts

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        block = self._read(size)
        if self._corrupts:
            self._corrupts = False
            return corrupt(block)
        return block


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # a guest knows nothing of this machine's proxy
    return session


def _checked(url: str) -> str:
    if urlsplit(url).scheme not in {"http", "https"}:
        raise OperationRefused("command-failed", f"{url} is no URL that WebClient fetches here")
    return url


class Cd:
    """An inserted CD: an ISO image of this machine, read each time it is asked."""

    def __init__(self, image: Path) -> None:
        self._image = image

    @property
    def label(self) -> str | None:
        """The volume label; None for an image that is none."""
        try:
            with _Iso(self._image) as iso:
                descriptor = iso.joliet_vd or iso.pvd
                raw = descriptor.volume_identifier
                encoding = "utf-16-be" if iso.joliet_vd else "ascii"
                return str(raw.decode(encoding, errors="replace").rstrip("\x00 "))
        except (pycdlib.pycdlibexception.PyCdlibException, OSError):
            return None

    def files(self) -> tuple[CdFile, ...]:
        """All files, by their paths below the drive, sorted."""
        found = []
        with _Iso(self._image) as iso:
            for folder, _, names in iso.walk(**_way(iso)):
                for name in names:
                    inner = f"{folder.rstrip('/')}/{name}"
                    record = iso.get_record(**_way(iso, inner))
                    path = _plain(inner).strip("/").replace("/", "\\")
                    found.append(CdFile(path, record.get_data_length()))
        return tuple(sorted(found, key=lambda file: file.path))

    def content(self, path: str) -> bytes | None:
        """A file's content; None when it is not there."""
        wanted = path.replace("/", "\\").strip("\\").casefold()
        with _Iso(self._image) as iso:
            for folder, _, names in iso.walk(**_way(iso)):
                for name in names:
                    inner = f"{folder.rstrip('/')}/{name}"
                    if _plain(inner).strip("/").replace("/", "\\").casefold() == wanted:
                        data = BytesIO()
                        iso.get_file_from_iso_fp(data, **_way(iso, inner))
                        return data.getvalue()
        return None


class _Iso:
    """An open image as a context."""

    def __init__(self, path: Path) -> None:
        self._iso = pycdlib.PyCdlib()
        self._path = path

    def __enter__(self) -> pycdlib.PyCdlib:
        self._iso.open(str(self._path))
        return self._iso

    def __exit__(self, *_: object) -> None:
        self._iso.close()


def _way(iso: pycdlib.PyCdlib, path: str = "/") -> dict[str, str]:
    """Joliet's names where there are any, as Windows prefers them."""
    return {"joliet_path" if iso.has_joliet() else "iso_path": path}


def _plain(name: str) -> str:
    """Without ISO 9660's version number."""
    return name.partition(";")[0]
