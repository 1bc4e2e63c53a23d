"""The cache outside the repository: layers by key, and the locks.

A layer is a folder ``<name>-<key>``. It is made in a scratch folder and renamed when it is whole, so
that a build that was killed leaves nothing that looks finished.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.deadline import Deadline, Done, NotYet, WaitTimedOut, wait_until
from harness.errors import InfrastructureError

__all__ = ["Cache", "Layer", "Lock", "file_digest", "key_of"]

_KEY_LENGTH = 16
_UNUSED_DAYS = 14


def key_of(*parts: object) -> str:
    """A key for what a layer is made of: plain values, in order."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_LENGTH]


def file_digest(*paths: Path) -> str:
    """One digest of the files' names and contents."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@dataclass(frozen=True)
class Layer:
    """One cached step of the build."""

    name: str
    key: str

    def __str__(self) -> str:
        return f"{self.name}-{self.key}"


class Lock:
    """A file lock that a child process may inherit: it ends with the last process that holds it."""

    def __init__(self, path: Path, *, busy: InfrastructureError) -> None:
        """``busy`` is raised when somebody else has it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise busy from None

    def fileno(self) -> int:
        """For a child that is to hold the lock."""
        return self._fd

    def close(self) -> None:
        """Let go of it, on this process's side."""
        os.close(self._fd)


@dataclass(frozen=True)
class Cache:
    """The folder ``xenlab`` of pvhck's cache."""

    root: Path

    @classmethod
    def default(cls) -> Cache:
        """Below ``$PVHCK_CACHE``, or below ``~/.cache/pvhck``."""
        return cls(Path(os.environ.get("PVHCK_CACHE") or Path.home() / ".cache" / "pvhck") / "xenlab")

    @property
    def run_folder(self) -> Path:
        """What the running lab writes; at most one runs."""
        return self.root / "run"

    def folder(self, layer: Layer) -> Path:
        """Where a layer is, or will be."""
        return self.root / str(layer)

    def has(self, layer: Layer) -> bool:
        """Whether a layer is there, whole."""
        return self.folder(layer).is_dir()

    def make(self, layer: Layer, maker: Callable[[Path], None]) -> Path:
        """The layer's folder; ``maker`` fills an empty one if it is not there yet."""
        folder = self.folder(layer)
        if not folder.is_dir():
            with self.scratch(str(layer)) as scratch:
                maker(scratch)
                scratch.rename(folder)
        os.utime(folder)
        return folder

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """A folder that is gone afterwards, whatever happens."""
        folder = self.root / f"scratch-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def build_lock(self) -> Lock:
        """One build at a time."""
        return Lock(
            self.root / "build.lock",
            busy=InfrastructureError("another process is building the Xen lab", mend="wait until it is done"),
        )

    def qemu_lock(self, *, patience_s: float = 0) -> Lock:
        """One nested Xen at a time: two on the same cores are fifty times slower (facts/nested-xen.md).

        ``patience_s`` is for one that is ending: its threads may hold the lock a little longer than
        its process can be seen.
        """
        busy = InfrastructureError("a nested Xen is already running here", mend="pvhck lab xen down")

        def probe() -> Done[Lock] | NotYet:
            try:
                return Done(Lock(self.root / "qemu.lock", busy=busy))
            except InfrastructureError as error:
                return NotYet(error.found)

        try:
            return wait_until(
                probe,
                subject="the lock of the nested Xen",
                deadline=Deadline.after(patience_s),
                interval_s=0.2,
            )
        except WaitTimedOut:
            raise busy from None

    def drop_unused(self, keep: frozenset[Layer]) -> None:
        """Remove layers no build has touched for two weeks, and what killed builds left: for a builder."""
        kept = {str(layer) for layer in keep}
        names = {layer.name for layer in keep}
        for folder in self.root.glob("scratch-*"):
            shutil.rmtree(folder)
        limit = time.time() - _UNUSED_DAYS * 86400
        for folder in self.root.glob("*-*"):
            ours = folder.name.rpartition("-")[0] in names
            if ours and folder.name not in kept and folder.stat().st_mtime < limit:
                shutil.rmtree(folder)
