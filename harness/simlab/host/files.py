"""A host's file system: a folder of this machine under which every path of the host lies."""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
from collections.abc import Callable
from pathlib import Path

from harness.simlab.host.images import Images

__all__ = ["HostFiles"]

_FOLDERS = (
    "/root",
    "/tmp",  # noqa: S108  # a path of the simulated host
    "/etc/xen",
    "/dev/loop",
    "/dev/mapper",
    "/var/lib/misc",
    "/var/lib/xen/dump",
    "/var/log/xen/console",
)


class HostFiles:
    """Translates the host's paths. ``full`` paths below it cannot be written (fault disk-full).

    What copies, moves and removes files goes through here: a disk image takes what belongs
    to it along.
    """

    def __init__(self, root: Path, *, full: Callable[[], str] = str) -> None:
        self._root = root / "files"
        self._full = full
        self._mounts: dict[str, bool] = {}  # folders that are file systems of their own: can they reflink?
        self.images = Images(root / "private")
        for folder in _FOLDERS:
            self.real(folder).mkdir(parents=True, exist_ok=True)

    @staticmethod
    def absolute(path: str) -> str:
        """A path of the host without dots; relative ones start in /root."""
        joined = posixpath.normpath(posixpath.join("/root", path))
        return "/" + joined.lstrip("/")

    def real(self, path: str) -> Path:
        """Where a path of the host lies on this machine."""
        return self._root / self.absolute(path).lstrip("/")

    def shown(self, real: Path) -> str:
        """The host's path of a file on this machine."""
        return "/" + str(real.relative_to(self._root)) if real != self._root else "/"

    def is_full(self, path: str) -> bool:
        """Whether the disk below this path has no room left."""
        absolute = self.absolute(path)
        full = self._full()
        return bool(full) and (absolute == full or absolute.startswith(f"{full}/"))

    def check_room(self, path: str) -> None:
        """Raise ``OSError`` (ENOSPC) for a path on a disk that is full."""
        if self.is_full(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def mount(self, folder: str, *, reflink: bool) -> None:
        """Make a folder a file system of its own."""
        self._mounts[self.absolute(folder)] = reflink

    def unmount(self, folder: str) -> bool:
        """Take a file system from a folder, with what is in it; False if there was none."""
        if self._mounts.pop(self.absolute(folder), None) is None:
            return False
        for entry in self.real(folder).iterdir():
            self.remove_tree(self.shown(entry)) if entry.is_dir() else self.remove(self.shown(entry))
        return True

    def mounted_at(self, path: str) -> str:
        """The folder whose file system a path lies in."""
        absolute = self.absolute(path)
        within = (place for place in self._mounts if absolute == place or absolute.startswith(f"{place}/"))
        return max(within, key=len, default="/")

    def can_reflink(self, source: str, target: str) -> str:
        """Why two files cannot share blocks, as errno has it; "" if they can."""
        place = self.mounted_at(source)
        if place != self.mounted_at(target):
            return os.strerror(errno.EXDEV)
        return "" if self._mounts.get(place) else os.strerror(errno.EOPNOTSUPP)

    def exists(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        return self.real(path).exists()

    def read(self, path: str) -> str:
        """A text file, "" if it is not there."""
        real = self.real(path)
        return real.read_text(encoding="utf-8", errors="replace") if real.is_file() else ""

    def write(self, path: str, text: str) -> None:
        """Replace a text file, making its folder."""
        real = self.real(path)
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_text(text, encoding="utf-8")

    def append(self, path: str, text: str) -> None:
        """Add to a text file, making its folder; lost on a full disk, as a logger's line is."""
        if self.is_full(path):
            return
        real = self.real(path)
        real.parent.mkdir(parents=True, exist_ok=True)
        with real.open("a", encoding="utf-8") as log:
            log.write(text)

    def copy(self, source: str, target: str) -> None:
        """Copy a file, holes kept."""
        self.check_room(target)
        origin, copy = self.real(source), self.real(target)
        with origin.open("rb") as reader, copy.open("wb") as writer:
            _copy_sparse(reader.fileno(), writer.fileno())
        self.images.copied(origin, copy)

    def rename(self, source: str, target: str) -> None:
        """Move a file or folder."""
        origin, moved = self.real(source), self.real(target)
        origin.replace(moved)
        self.images.moved(origin, moved)

    def remove(self, path: str) -> None:
        """Take a file away."""
        real = self.real(path)
        real.unlink()
        self.images.removed(real)

    def remove_tree(self, path: str) -> None:
        """Take a folder away with all that is in it."""
        real = self.real(path)
        shutil.rmtree(real)
        self.images.removed(real)


def _copy_sparse(reader: int, writer: int) -> None:
    """Only the parts that hold data; the size is the same."""
    size = os.fstat(reader).st_size
    os.ftruncate(writer, size)
    at = 0
    while at < size:
        try:
            start = os.lseek(reader, at, os.SEEK_DATA)
        except OSError:
            return  # nothing but a hole from here on
        end = os.lseek(reader, start, os.SEEK_HOLE)
        os.lseek(reader, start, os.SEEK_SET)
        os.lseek(writer, start, os.SEEK_SET)
        while start < end:
            block = os.read(reader, min(1 << 20, end - start))
            os.write(writer, block)
            start += len(block)
        at = end
