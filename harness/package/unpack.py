"""Unpacking a build's archive, which came from elsewhere: nothing in it is trusted.

Refused are absolute names, names that lead out of the folder or that Windows takes for something
else, two that differ by case alone, links, devices, encryption, and more than a driver build can be
(a bomb). Contents are counted as they are read, whatever the archive's own headers claim.
"""

from __future__ import annotations

import errno
import gzip
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from harness.errors import ConfigurationError

__all__ = ["Budget", "is_archive", "unpack"]

_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".zip")
_FAULTS_OF_THE_ARCHIVE = {errno.ENAMETOOLONG, errno.EINVAL}  # a name, or a place within it
_BLOCK = 1 << 20
_LARGEST_HEADER = 1 << 20  # of tar's extended headers, which tarfile reads whole
# Devices in every folder of Windows, with whatever ending; dots and blanks at a name's end fall off there.
_NOT_ON_WINDOWS = re.compile(
    r"(?:con|prn|aux|nul|clock\$|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])(?:\..*)?|.*[. ]"
    r'|.*[<>"|?*\x00-\x1f].*',
    re.IGNORECASE | re.DOTALL,
)
_MEND = "build the archive again from the folder it was made of"

Opener = Callable[[], "IO[bytes] | None"]


class Budget:
    """How much may come out of a build's archives, those inside archives included.

    The limits are far above the largest build known (a checked one with symbols of all five
    drivers, some 100 MiB) and far below what fills a disk.
    """

    def __init__(self, *, max_bytes: int = 1 << 30, max_files: int = 5000) -> None:
        self._bytes = self._max_bytes = max_bytes
        self._files = self._max_files = max_files
        self._names: set[tuple[Path, str]] = set()
        self._folders: set[tuple[Path, str]] = set()

    def take_file(self, archive: Path) -> None:
        """Count a file."""
        self._files -= 1
        if self._files < 0:
            raise ConfigurationError(
                f"{archive} holds more than {self._max_files} files: this is no driver build"
            )

    def take_name(self, folder: Path, name: PurePosixPath) -> str:
        """Note a file's name in a folder. Why it cannot be there, as Windows sees names; empty if it can."""
        own, *above = ((folder, str(part).casefold()) for part in (name, *name.parents[:-1]))
        if own in self._names:
            return "is there twice, as Windows sees names"
        if own in self._folders or self._names.intersection(above):
            return "is both a file and a folder"
        self._names.add(own)
        self._folders.update(above)
        return ""

    @property
    def max_bytes(self) -> int:
        """All that may come out."""
        return self._max_bytes

    def take_bytes(self, archive: Path, count: int) -> None:
        """Count what was read."""
        self._bytes -= count
        if self._bytes < 0:
            raise ConfigurationError(
                f"{archive} unpacks to more than {self._max_bytes >> 20} MiB: this is no driver build"
            )


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive we unpack."""
    return path.name.lower().endswith(_SUFFIXES)


def unpack(archive: Path, folder: Path, budget: Budget) -> None:
    """Unpack a tar (plain, gzip, xz) or zip file into a folder, which is made.

    Raises:
        ConfigurationError: it is damaged, or holds what a driver build has no use for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with archive.open("rb") as data:
            members = _zip_members if data.read(2) == b"PK" else _tar_members
        for name, opener in members(archive, budget):
            _extract(archive, name, opener, folder, budget)
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,  # a zip compression this Python lacks
        ValueError,  # names that are no text, places before the file's beginning
        OverflowError,
    ) as error:
        raise ConfigurationError(f"{archive} cannot be unpacked: {error}", mend=_MEND) from error
    except OSError as error:
        if error.errno not in _FAULTS_OF_THE_ARCHIVE:
            raise
        raise ConfigurationError(f"{archive} cannot be unpacked: {error.strerror}", mend=_MEND) from error


def _tar_members(archive: Path, budget: Budget) -> Iterator[tuple[str, Opener]]:
    with (
        archive.open("rb") as packed,
        _plain(packed) as stream,
        tarfile.open(fileobj=_Bounded(stream, archive, budget), mode="r:") as tar,  # type: ignore[call-overload]
    ):
        for member in tar:
            budget.take_file(archive)
            if member.isdir():
                continue
            if not member.isreg():
                raise _refused(archive, member.name, "is a link or a device")
            yield member.name, partial(tar.extractfile, member)


def _plain(packed: IO[bytes]) -> IO[bytes]:
    """A stream without its compression."""
    magic = packed.read(6)
    packed.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=packed, mode="rb")  # type: ignore[return-value]  # it does what is asked
    if magic == b"\xfd7zXZ\0":
        return lzma.LZMAFile(packed)
    return packed


class _Bounded:
    """What tarfile reads a tar by: no header fills the memory, and nothing is skipped without end."""

    def __init__(self, stream: IO[bytes], archive: Path, budget: Budget) -> None:
        self._stream = stream
        self._archive = archive
        self._end = 2 * budget.max_bytes  # headers and padding besides

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_HEADER:
            raise tarfile.HeaderError(f"a header of {size} bytes")
        return self._stream.read(size)

    def seek(self, place: int, whence: int = 0) -> int:
        if whence == 0 and place > self._end:
            raise tarfile.HeaderError(f"a place at {place} bytes")
        return self._stream.seek(place, whence)

    def tell(self) -> int:
        return self._stream.tell()


def _zip_members(archive: Path, budget: Budget) -> Iterator[tuple[str, Opener]]:
    with zipfile.ZipFile(archive) as zipped:
        for member in zipped.infolist():
            budget.take_file(archive)
            if member.is_dir():
                continue
            if stat.S_ISLNK(member.external_attr >> 16):
                raise _refused(archive, member.filename, "is a link")
            if member.flag_bits & 0x1:
                raise _refused(archive, member.filename, "is encrypted")
            yield member.filename, partial(zipped.open, member)


def _extract(archive: Path, name: str, opener: Opener, folder: Path, budget: Budget) -> None:
    inside = _safe(archive, name)
    target = folder / inside
    if why := budget.take_name(folder, inside):
        raise _refused(archive, name, why)
    source = opener()
    if source is None:
        raise _refused(archive, name, "has no content")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as out:
        while block := source.read(_BLOCK):
            budget.take_bytes(archive, len(block))
            out.write(block)


def _safe(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if "\0" in name or path.is_absolute() or ".." in path.parts or ":" in name or not path.parts:
        raise _refused(archive, name, "would leave its folder")
    if any(_NOT_ON_WINDOWS.fullmatch(part) for part in path.parts):
        raise _refused(archive, name, "is no name on Windows")
    return path


def _refused(archive: Path, name: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"{archive}: {name!r} {why}: this is no driver build", mend=_MEND)
