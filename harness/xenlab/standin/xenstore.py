"""Xenstore as a program in the guest reaches it: the kernel's ``/dev/xen/xenbus``.

The wire format is that of ``xen/include/public/io/xs_wire.h``: a header of four 32-bit numbers (type,
request, transaction, length), then the payload. The kernel passes requests on and gives watch events to the
file that asked for them. Relative paths start at the domain's own folder.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import struct
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.deadline import Deadline
from harness.operations import OperationRefused, XenstoreEvent, XenstoreValue
from harness.xenlab.standin.hardware import XENSTORE_DEVICE

__all__ = ["XenstoreConnection", "make_node", "remove_node", "xenstore_device"]

_HEADER = struct.Struct("<IIII")
_DIRECTORY, _READ, _WATCH, _WRITE, _WATCH_EVENT, _ERROR = 1, 2, 4, 11, 15, 16
_PAYLOAD_LIMIT = 4096  # XENSTORE_PAYLOAD_MAX
_REFUSALS = {
    "ENOENT": "not-found",
    "EACCES": "access-denied",
    "EPERM": "access-denied",
    "EINVAL": "bad-parameter",
}
_TOKEN = b"pvhck"


def xenstore_device(root: Path) -> Path:
    """The device file: there only while XENIFACE is."""
    return root / XENSTORE_DEVICE


def make_node(root: Path, path: Path) -> None:
    """Make the device file ``path`` for the kernel's xenbus device; nothing where the kernel has none."""
    with suppress(FileNotFoundError, FileExistsError):
        major, minor = (root / "sys/class/misc/xen!xenbus/dev").read_text().split(":")
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(int(major), int(minor)))


def remove_node(root: Path) -> None:
    """Take the device file away; who has it open keeps it."""
    xenstore_device(root).unlink(missing_ok=True)


class XenstoreConnection:
    """One open device file. Use it as a context; one thread at a time."""

    def __init__(self, device: Path) -> None:
        """Open it.

        Raises:
            OperationRefused: it is not there: XENIFACE is not installed, or its driver does not run.
        """
        try:
            self._fd = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise OperationRefused(
                "command-failed", f"XENIFACE offers no xenstore here: its driver is not running ({error})"
            ) from error
        self._unread = b""
        self._last_request = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def read(self, path: str) -> XenstoreValue:
        """A node's value and its children's names.

        Raises:
            OperationRefused: ``not-found`` or ``access-denied``, as xenstored says.
        """
        value = self._ask(_READ, path, _path(path))
        listed = self._ask(_DIRECTORY, path, _path(path))
        children = sorted(name.decode() for name in listed.split(b"\0") if name)
        return XenstoreValue(path, value.decode(errors="replace"), tuple(children))

    def write(self, path: str, value: str) -> None:
        """Write a node; parents are made.

        Raises:
            OperationRefused: as xenstored says.
        """
        self._ask(_WRITE, path, _path(path) + value.encode())

    def wait_for_change(self, path: str, seconds: float) -> XenstoreEvent:
        """Watch a node until it changes; the event that every new watch fires at once does not count."""
        deadline = Deadline.after(seconds)
        self._ask(_WATCH, path, _path(path) + _TOKEN + b"\0")
        events = 0
        while events < 2:  # noqa: PLR2004 - the immediate one and a true one
            message = self._receive(deadline)
            if message is None:
                return XenstoreEvent(path, fired=False)
            events += message[0] == _WATCH_EVENT
        return XenstoreEvent(path, fired=True)

    def _ask(self, kind: int, path: str, payload: bytes) -> bytes:
        if len(payload) > _PAYLOAD_LIMIT:
            raise OperationRefused("bad-parameter", f"{path}: more than xenstore's {_PAYLOAD_LIMIT} bytes")
        self._last_request += 1
        os.write(self._fd, _HEADER.pack(kind, self._last_request, 0, len(payload)) + payload)
        deadline = Deadline.after(60)
        while (message := self._receive(deadline)) is not None:
            answer, request, content = message
            if answer == _WATCH_EVENT or request != self._last_request:
                self._late(message)
                continue
            if answer != _ERROR:
                return content
            word = content.rstrip(b"\0").decode(errors="replace")
            raise OperationRefused(_REFUSALS.get(word, "command-failed"), f"{path}: {word}")  # type: ignore[arg-type]
        raise OperationRefused("command-failed", f"{path}: xenstore does not answer")

    def _late(self, message: tuple[int, int, bytes]) -> None:
        """Keep a watch event that came before the watch's own answer."""
        kind, request, content = message
        self._unread += _HEADER.pack(kind, request, 0, len(content)) + content

    def _receive(self, deadline: Deadline) -> tuple[int, int, bytes] | None:
        """The next message; None when the time ran out."""
        while True:
            if len(self._unread) >= _HEADER.size:
                kind, request, _, length = _HEADER.unpack_from(self._unread)
                end = _HEADER.size + length
                if len(self._unread) >= end:
                    content, self._unread = self._unread[_HEADER.size : end], self._unread[end:]
                    return kind, request, content
            if deadline.expired:
                return None
            select.select([self._fd], [], [], deadline.remaining)
            try:
                self._unread += os.read(self._fd, _PAYLOAD_LIMIT)
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise


def _path(path: str) -> bytes:
    if "\0" in path or not path:
        raise OperationRefused("bad-parameter", f"not a xenstore path: {path!r}")
    return path.encode() + b"\0"
