"""Disk images of a host, and what belongs to them beside their bytes.

A qcow2 file here is the magic and then whatever its guest keeps in it; what a
real one carries in its header (size, backing file) is recorded beside it. So is
which template it comes from, and a folder for the guest's files on it.
"""

from __future__ import annotations

import itertools
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from harness.simlab.machine import QCOW2_MAGIC

__all__ = ["DEFAULT_SIZE", "Image", "Images"]

V = TypeVar("V")

DEFAULT_SIZE = 40 << 30  # of a qcow2 file that nobody made here


@dataclass(frozen=True)
class Image:
    """What ``qemu-img info`` tells of a file; ``template`` is what boots from it, "" for nothing."""

    image_format: Literal["raw", "qcow2"]
    virtual_size: int
    backing: str = ""
    template: str = ""


class Images:
    """Records by file of this machine. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records: dict[Path, Image] = {}
        self._private: dict[Path, Path] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def record(self, real: Path, image: Image) -> None:
        """Keep what belongs to a file that has just been made."""
        with self._lock:
            self._records[real] = image

    def of(self, real: Path) -> Image:
        """What a file is, from its record or else from its first bytes.

        Raises:
            OSError: there is no such file.
        """
        with real.open("rb") as file:
            is_qcow2 = file.read(len(QCOW2_MAGIC)) == QCOW2_MAGIC
        if not is_qcow2:
            return Image("raw", real.stat().st_size)
        with self._lock:
            # a volume with a guest on it begins as the guest's disks do here, and is raw all the same
            return self._records.get(real, Image("qcow2", DEFAULT_SIZE))

    @staticmethod
    def holds_system(real: Path) -> bool:
        """Whether a guest keeps something in a qcow2 file: more than its magic."""
        try:
            with real.open("rb") as file:
                head = file.read(len(QCOW2_MAGIC) + 1)
        except OSError:
            return False
        return head.startswith(QCOW2_MAGIC) and len(head) > len(QCOW2_MAGIC)

    def private_folder(self, real: Path) -> Path:
        """The folder that belongs to a file, made when it is first asked for."""
        with self._lock:
            if real not in self._private:
                self._private[real] = self._new_folder()
            return self._private[real]

    def copied(self, source: Path, target: Path) -> None:
        """A file was copied: so is what belongs to it. The target's own is gone."""
        self.removed(target)
        with self._lock:
            if source in self._records:
                self._records[target] = self._records[source]
            folder = self._private.get(source)
            if folder is not None:
                self._private[target] = self._new_folder()
                shutil.copytree(folder, self._private[target], dirs_exist_ok=True)

    def moved(self, source: Path, target: Path) -> None:
        """A file or folder has another name now."""
        self.removed(target)
        with self._lock:
            _rename_keys(self._records, source, target)
            _rename_keys(self._private, source, target)

    def removed(self, real: Path) -> None:
        """A file or folder is gone."""
        with self._lock:
            for path in [path for path in self._records if path.is_relative_to(real)]:
                del self._records[path]
            for path in [path for path in self._private if path.is_relative_to(real)]:
                shutil.rmtree(self._private.pop(path), ignore_errors=True)

    def _new_folder(self) -> Path:
        folder = self._folder / str(next(self._numbers))
        folder.mkdir(parents=True)
        return folder


def _rename_keys(known: dict[Path, V], source: Path, target: Path) -> None:
    for path in [path for path in known if path.is_relative_to(source)]:
        known[target / path.relative_to(source)] = known.pop(path)
