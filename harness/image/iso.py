"""The medium of Windows read, its boot without a key press, and the setup CD made.

The medium stays as it is but for four bytes. A BIOS boots it without asking as long as no disk is bootable
(bootfix.bin); the UEFI loader on it always asks for a key, in a picture of a floppy disk (``efisys.bin``)
that the El Torito catalogue leads to. A second one that does not ask lies beside it,
``efisys_noprompt.bin``: so the catalogue of a copy is made to lead there (``eltorito``). install.wim, which
may be larger than 4 GiB, is not touched.
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from harness.errors import ConfigurationError
from harness.image.eltorito import SECTOR, BootPatch, boot_patch
from harness.image.wim import WimImage, read_images

__all__ = ["SETUP_LABEL", "Medium", "make_setup_iso", "read_medium"]

SETUP_LABEL = "PVHCKSETUP"
_WIMS = ("sources/install.wim", "sources/install.esd")
_NO_PROMPT = "efi/microsoft/boot/efisys_noprompt.bin"
# of these a medium for two architectures has one each (Media Creation Tool)
_BOTH = ("x64/sources/install.esd", "x86/sources/install.esd")
_LONGEST_NAME = 60  # of Joliet


@dataclass(frozen=True)
class Medium:
    """A medium of Windows. ``no_prompt`` makes its UEFI boot ask nobody; None where it has no such loader.

    ``no_prompt_sector`` is the whole sector to write, with the patch in it; empty beside None.
    """

    path: Path
    size: int
    images: tuple[WimImage, ...]
    no_prompt: BootPatch | None = None
    no_prompt_sector: bytes = b""


def read_medium(path: Path) -> Medium:
    """What there is to know of a medium of Windows.

    Raises:
        ConfigurationError: it cannot be read, or holds no Windows that could be set up.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as data, _opened(path) as iso:
            images = read_images(_File(data, *_extent(path, iso)))
            patch = _no_prompt(data, iso)
            sector = b"" if patch is None else patch.applied(_read(data, patch.sector * SECTOR, SECTOR))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    if not images:
        raise ConfigurationError(f"{path}: its install.wim holds no Windows")
    return Medium(path, size, images, patch, sector)


def make_setup_iso(
    target: Path, root: Mapping[str, bytes], folders: Mapping[str, Mapping[str, Path]]
) -> None:
    """The setup CD (Joliet, label ``PVHCKSETUP``, nothing on it boots).

    ``root`` are files by their path on it, ``folders`` files of this machine by folder and name.

    Raises:
        ConfigurationError: a name cannot stand on a CD.
    """
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, vol_ident=SETUP_LABEL)
    writer = _Writer(iso)
    held = contextlib.ExitStack()
    try:
        with held:
            for name, content in root.items():
                writer.add_bytes(name, content, held)
            for folder, files in folders.items():
                for name, path in files.items():
                    writer.add_file(f"{folder}/{name}", path)
            iso.write(str(target))
    finally:
        with contextlib.suppress(PyCdlibException):
            iso.close()


class _Writer:
    """Puts files on a CD under names that ISO 9660 and Joliet both take."""

    def __init__(self, iso: Any) -> None:
        self._iso = iso
        self._folders: dict[str, str] = {"": ""}
        self._number = 0

    def add_bytes(self, name: str, content: bytes, held: contextlib.ExitStack) -> None:
        data = held.enter_context(io.BytesIO(content))
        self._iso.add_fp(data, len(content), self._place(name), joliet_path=f"/{name}")

    def add_file(self, name: str, path: Path) -> None:
        try:
            self._iso.add_file(str(path), self._place(name), joliet_path=f"/{name}")
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror or error}") from error

    def _place(self, name: str) -> str:
        folder, _, plain = name.rpartition("/")
        if not plain.isascii() or not plain.isprintable() or len(plain) > _LONGEST_NAME:
            raise ConfigurationError(f"{plain!r} cannot be a file name on a CD", mend="rename it")
        self._number += 1
        return f"{self._folder(folder)}/F{self._number:07}.;1"

    def _folder(self, name: str) -> str:
        if name not in self._folders:
            parent = self._folder(name.rpartition("/")[0])
            made = f"{parent}/D{len(self._folders):03}"
            self._iso.add_directory(made, joliet_path=f"/{name}")
            self._folders[name] = made
        return self._folders[name]


class _File:
    """A file on a medium, by where it begins and how long it is."""

    def __init__(self, data: Any, start: int, length: int) -> None:
        self._data = data
        self._start = start
        self._length = length

    def read_at(self, offset: int, length: int) -> bytes:
        """See ``WimSource``."""
        return _read(self._data, self._start + offset, max(0, min(length, self._length - offset)))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    iso = pycdlib.PyCdlib()
    try:
        iso.open(str(path))
    except (PyCdlibException, struct.error, IndexError, ValueError) as error:
        raise ConfigurationError(
            f"{path} is no ISO image that can be read: {error}", mend="compare its SHA-256 with Microsoft's"
        ) from error
    try:
        yield iso
    finally:
        iso.close()


def _extent(path: Path, iso: Any) -> tuple[int, int]:
    """Where install.wim begins on the medium, and its length, in bytes."""
    for name in _WIMS:
        found = _find(iso, name)
        if found is not None:
            return found
    if any(_find(iso, name) is not None for name in _BOTH):
        raise ConfigurationError(
            f"{path} holds Windows for two architectures", mend="take a medium for the one you want"
        )
    if _find(iso, "sources/install.swm") is not None:
        raise ConfigurationError(f"{path}: its image is split", mend="take a medium with install.wim")
    raise ConfigurationError(
        f"{path} is no medium of Windows: there is no {_WIMS[0]}", mend="take the ISO that Microsoft gives"
    )


def _find(iso: Any, name: str) -> tuple[int, int] | None:
    """A file by its path, whatever its letters' case, in UDF or else in Joliet or ISO 9660."""
    views = [("udf_path", iso.has_udf()), ("joliet_path", iso.has_joliet()), ("iso_path", True)]
    for view, there in views:
        if not there:
            continue
        path = ""
        for word in name.split("/"):
            known = _children(iso, view, path or "/")
            if word not in known:
                break
            path = f"{path}/{known[word]}"
        else:
            return _where(iso.get_record(**{view: path}))
    return None


def _children(iso: Any, view: str, path: str) -> dict[str, str]:
    """Names in a folder, as they are, by their lower-case form without a version."""
    names: dict[str, str] = {}
    with contextlib.suppress(PyCdlibException):
        for child in iso.list_children(**{view: path}):
            if child is None or child.is_dot() or child.is_dotdot():
                continue
            name = _name(child, view)
            names[name.partition(";")[0].rstrip(".").lower()] = name
    return names


def _name(child: Any, view: str) -> str:
    raw: bytes = child.file_identifier()
    return raw.decode("utf-16-be" if view == "joliet_path" else "utf-8", "replace")


def _where(record: Any) -> tuple[int, int]:
    parts = getattr(record, "alloc_descs", ())
    # one part holds a GiB at most; pycdlib reads them as one, which they are on every medium of Windows
    at = None
    for part in parts:
        if at is not None and part.log_block_num != at:
            raise ConfigurationError(
                "install.wim lies in pieces on the medium", mend="take another copy of it"
            )
        at = part.log_block_num + -(-part.extent_length // SECTOR)
    length, more = record.get_data_length(), getattr(record, "data_continuation", None)
    while more is not None:  # ISO 9660: the next 4 GiB of the same file, right behind
        length, more = length + more.get_data_length(), more.data_continuation
    return record.inode.extent_location() * SECTOR, length


def _no_prompt(data: Any, iso: Any) -> BootPatch | None:
    """The patch that has the UEFI entry lead to the loader that asks nobody."""
    found = _find(iso, _NO_PROMPT)
    return None if found is None else boot_patch(data, found[0] // SECTOR)


def _read(data: Any, offset: int, length: int) -> bytes:
    data.seek(offset)
    content: bytes = data.read(length)
    return content
