r"""The guest's files: ``C:\a\b`` lies as ``C/a/b`` in the machine's private folder, whatever its case."""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime as dt
import hashlib
import ntpath
import re
import shutil
import zipfile
from pathlib import Path

from harness.operations import DumpFile, FileContent, FileFacts, OperationRefused

__all__ = ["WINDOWS", "GuestFiles"]

WINDOWS = "C:\\Windows"
_HOME = "C:\\Users\\Administrator"
_FORBIDDEN = re.compile(r'[<>"|?*\x00-\x1f]|:(?!\\)')


class GuestFiles:
    """What lies on drive C:."""

    def __init__(self, folder: Path) -> None:
        self._root = folder

    # -- paths

    def real(self, path: str) -> Path:
        """Where a path of the guest lies on this machine, there or not.

        Raises:
            OperationRefused: Windows would not take it for a path.
        """
        whole = ntpath.normpath(ntpath.join(_HOME, path))
        drive, rest = ntpath.splitdrive(whole)
        if not re.fullmatch("[A-Za-z]:", drive) or _FORBIDDEN.search(rest):
            raise OperationRefused("command-failed", f"{path} is no path")
        if drive.upper() != "C:":
            raise OperationRefused("not-found", f"there is no drive {drive}")
        real = self._root / "C"
        for part in rest.strip("\\").split("\\"):
            if part:
                real = _child(real, part)
        return real

    def existing(self, path: str) -> Path:
        """Where a file lies that is there.

        Raises:
            OperationRefused: it is not.
        """
        real = self.real(path)
        if real.is_dir():
            raise OperationRefused("access-denied", f"{path} is a folder")
        if not real.is_file():
            raise OperationRefused("not-found", f"there is no file {path}")
        return real

    # -- operations

    def facts(self, path: str) -> FileFacts:
        """See ``GuestOperations.file_facts``."""
        real = self.existing(path)
        with real.open("rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
        return FileFacts(path, real.stat().st_size, digest)

    def read(self, path: str, offset: int, length: int) -> FileContent:
        """See ``GuestOperations.read_file``."""
        if offset < 0 or length < 0:
            raise OperationRefused("bad-parameter", "offset and length must not be negative")
        real = self.existing(path)
        with real.open("rb") as data:
            data.seek(offset)
            part = data.read(length)
        return FileContent(path, real.stat().st_size, base64.b64encode(part).decode("ascii"))

    def write(self, path: str, content: str) -> FileFacts:
        """See ``GuestOperations.write_file``."""
        try:
            data = base64.b64decode(content, validate=True)
        except binascii.Error as error:
            raise OperationRefused("bad-parameter", "content is not base64") from error
        self.put(path, data)
        return self.facts(path)

    def put(self, path: str, data: bytes) -> None:
        """Write a file, making its folder."""
        real = self.real(path)
        if real.is_dir():
            raise OperationRefused("access-denied", f"{path} is a folder")
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_bytes(data)

    def remove(self, path: str) -> None:
        """See ``GuestOperations.remove_file``."""
        real = self.real(path)
        if real.is_dir():
            shutil.rmtree(real)
        else:
            real.unlink(missing_ok=True)

    def expand(self, path: str, folder: str) -> None:
        """See ``GuestOperations.expand_zip``. Paths that lead out of the folder are refused, as .NET does."""
        source = self.existing(path)
        self.remove(folder)
        target = self.real(folder)
        target.mkdir(parents=True)
        try:
            with zipfile.ZipFile(source) as archive:
                for entry in archive.infolist():
                    if ".." in Path(entry.filename.replace("\\", "/")).parts or entry.filename[:1] in "/\\":
                        raise OperationRefused("command-failed", f"{entry.filename} leads out of {folder}")
                archive.extractall(target)
        except zipfile.BadZipFile as error:
            raise OperationRefused("command-failed", f"{path} is no zip file: {error}") from error

    def dumps(self) -> tuple[DumpFile, ...]:
        """See ``GuestOperations.dump_files``."""
        found = []
        for folder, pattern in ((WINDOWS, "MEMORY.DMP"), (f"{WINDOWS}\\Minidump", "*.dmp")):
            for real in self.real(folder).glob(pattern):
                with contextlib.suppress(FileNotFoundError):
                    found.append(_dump(f"{folder}\\{real.name}", real))
        return tuple(sorted(found, key=lambda dump: dump.path))


def _dump(path: str, real: Path) -> DumpFile:
    status = real.stat()
    # the file system keeps nanoseconds, Windows ticks of 100 ns
    seconds, rest = divmod(status.st_mtime_ns // 100, 10_000_000)
    day = dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return DumpFile(path, status.st_size, f"{day}.{rest:07}Z")


def _child(folder: Path, name: str) -> Path:
    """The entry of that name, whatever its case."""
    if folder.is_dir() and not (folder / name).exists():
        for entry in folder.iterdir():
            if entry.name.casefold() == name.casefold():
                return entry
    return folder / name
