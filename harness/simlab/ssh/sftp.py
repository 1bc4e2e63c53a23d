"""SFTP on a host's file system."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import paramiko
from paramiko.sftp import SFTP_OK

from harness.simlab.host.files import HostFiles
from harness.simlab.host.simhost import SimHost

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["HostSftp"]

T = TypeVar("T")


class HostSftp(paramiko.SFTPServerInterface):
    """Paths as the client names them; relative ones start in /root, as for commands."""

    def __init__(self, server: paramiko.ServerInterface, host: SimHost) -> None:
        super().__init__(server)
        self._files = host.files

    def canonicalize(self, path: str) -> str:
        """The host's absolute path."""
        return self._files.absolute(path)

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        """Entries of a folder."""

        def work() -> list[paramiko.SFTPAttributes]:
            return [
                paramiko.SFTPAttributes.from_stat(entry.stat(), entry.name)
                for entry in sorted(self._files.real(path).iterdir())
            ]

        return _guarded(work)

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        """Attributes of a file."""
        return _guarded(lambda: paramiko.SFTPAttributes.from_stat(self._files.real(path).stat()))

    def lstat(self, path: str) -> paramiko.SFTPAttributes | int:
        """The same: there are no links."""
        return self.stat(path)

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle | int:
        """Open a file."""
        del attr
        return _guarded(lambda: _OpenFile(self._files, path, flags))

    def remove(self, path: str) -> int:
        """Take a file away."""
        return _done(lambda: self._files.remove(path))

    def rename(self, oldpath: str, newpath: str) -> int:
        """Move a file."""
        return _done(lambda: self._files.rename(oldpath, newpath))

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        """Move a file over another."""
        return self.rename(oldpath, newpath)

    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        """Make a folder."""
        del attr
        return _done(lambda: self._files.real(path).mkdir())

    def rmdir(self, path: str) -> int:
        """Take an empty folder away."""
        return _done(lambda: self._files.real(path).rmdir())

    def chattr(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        """Set a file's size; its rights and times are not played."""
        size = getattr(attr, "st_size", None)
        if size is None:
            return SFTP_OK
        return _done(lambda: os.truncate(self._files.real(path), size))


class _OpenFile(paramiko.SFTPHandle):
    def __init__(self, files: HostFiles, path: str, flags: int) -> None:
        super().__init__(flags)
        self._files = files
        self._path = path
        self._append = bool(flags & os.O_APPEND)
        real = files.real(path)
        self._handle = os.open(real, flags & ~os.O_APPEND, 0o644)
        if flags & os.O_TRUNC:
            files.images.removed(real)

    def close(self) -> None:
        os.close(self._handle)

    def read(self, offset: int, length: int) -> bytes | int:
        return _guarded(lambda: os.pread(self._handle, length, offset))

    def write(self, offset: int, data: ReadableBuffer) -> int:
        def work() -> None:
            self._files.check_room(self._path)
            at = os.fstat(self._handle).st_size if self._append else offset
            os.pwrite(self._handle, data, at)

        return _done(work)

    def stat(self) -> paramiko.SFTPAttributes | int:
        return _guarded(lambda: paramiko.SFTPAttributes.from_stat(os.fstat(self._handle)))

    def chattr(self, attr: paramiko.SFTPAttributes) -> int:
        size = getattr(attr, "st_size", None)
        return SFTP_OK if size is None else _done(lambda: os.ftruncate(self._handle, size))


def _guarded(work: Callable[[], T]) -> T | int:
    """A result, or the error code the protocol has for what went wrong."""
    try:
        return work()
    except OSError as error:
        return paramiko.SFTPServer.convert_errno(error.errno or 0)


def _done(work: Callable[[], object]) -> int:
    def finish() -> int:
        work()
        return SFTP_OK

    return _guarded(finish)
