"""xenstore through XENIFACE: with the guest's rights, paths relative to its own folder."""

from __future__ import annotations

from collections.abc import Callable

from harness.deadline import Deadline
from harness.operations import OperationRefused, XenstoreEvent, XenstoreValue
from harness.simlab.guest.life import Life
from harness.simlab.host.store import StoreError

__all__ = ["Xeniface"]

_REFUSALS = {"ENOENT": "not-found", "EACCES": "access-denied"}


class Xeniface:
    """The interface; ``works`` says whether the driver runs now."""

    def __init__(self, works: Callable[[], bool]) -> None:
        self._works = works

    def read(self, life: Life, path: str) -> XenstoreValue:
        """See ``GuestOperations.xenstore_read``."""
        self._check()
        whole, domid, store = _absolute(life, path), life.machine.domid, life.machine.store
        try:
            value = store.read(whole, domid)
            children = tuple(sorted(store.children(whole, domid)))
        except StoreError as error:
            raise _refusal(error, path) from error
        return XenstoreValue(path, value, children)

    def write(self, life: Life, path: str, value: str) -> XenstoreValue:
        """See ``GuestOperations.xenstore_write``."""
        self._check()
        try:
            life.machine.store.write(_absolute(life, path), value, life.machine.domid)
        except StoreError as error:
            raise _refusal(error, path) from error
        return self.read(life, path)

    def watch(self, life: Life, path: str, seconds: int) -> XenstoreEvent:
        """See ``GuestOperations.xenstore_watch``. Waits: never under the guest's lock."""
        self._check()
        watch = life.watch(_absolute(life, path))
        try:
            watch.next(0)  # a watch fires once when it is set
            return XenstoreEvent(path, fired=watch.next(Deadline.after(seconds).remaining) is not None)
        finally:
            life.unwatch(watch)

    def _check(self) -> None:
        if not self._works():
            raise OperationRefused(
                "command-failed", "XENIFACE offers no xenstore here: its driver is not running"
            )


def _absolute(life: Life, path: str) -> str:
    if path.startswith("/"):
        return path.rstrip("/") or "/"
    home = f"/local/domain/{life.machine.domid}"
    return f"{home}/{path.rstrip('/')}" if path else home


def _refusal(error: StoreError, path: str) -> OperationRefused:
    match _REFUSALS.get(error.name):
        case "not-found":
            return OperationRefused("not-found", f"there is no node {path}")
        case "access-denied":
            return OperationRefused("access-denied", f"{path}: {error.name}")
    return OperationRefused("command-failed", f"{path}: {error.name}")
