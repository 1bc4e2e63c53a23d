"""xenstore through XENIFACE: with the guest's rights, paths relative to its own folder."""

from __future__ import annotations

from collections.abc import Callable

from harness.operations import OperationRefused, XenstoreEvent, XenstoreValue
from harness.simlab.faults import FaultKind, Faults
from harness.simlab.guest.life import Life
from harness.simlab.host.store import DOM0, Store, StoreError

__all__ = ["Xeniface"]

_REFUSALS = {"ENOENT": "not-found", "EACCES": "access-denied"}


class Xeniface:
    """The interface; ``works`` says whether the driver runs now."""

    def __init__(self, works: Callable[[], bool], faults: Faults) -> None:
        self._works = works
        self._faults = faults
        self._copy: Store | None = None

    def services_are_up(self, life: Life) -> None:
        """From here on the fault xenstore-deaf holds: xenagent has said what it has to say.

        Its connection is lost and nothing tells: it works on what it knew then, where nobody refuses
        it anything (guess: how such a mistake would look from outside).
        """
        if FaultKind.XENSTORE_DEAF in self._faults:
            self._copy = Store(life.machine.clock)
            for path, value, permissions in life.machine.store.walk(f"/local/domain/{life.machine.domid}"):
                self._copy.put(path, value, permissions)

    def read(self, life: Life, path: str) -> XenstoreValue:
        """See ``GuestOperations.xenstore_read``."""
        self._check()
        whole, (store, domid) = _absolute(life, path), self._reached(life)
        try:
            value = store.read(whole, domid)
            children = tuple(sorted(store.children(whole, domid)))
        except StoreError as error:
            if FaultKind.XENSTORE_LENIENT in self._faults:
                return XenstoreValue(path, "", ())
            raise _refusal(error, path) from error
        return XenstoreValue(path, value, children)

    def write(self, life: Life, path: str, value: str) -> XenstoreValue:
        """See ``GuestOperations.xenstore_write``."""
        self._check()
        store, domid = self._reached(life)
        try:
            store.write(_absolute(life, path), value, domid)
        except StoreError as error:
            if FaultKind.XENSTORE_LENIENT in self._faults:
                return XenstoreValue(path, value, ())
            raise _refusal(error, path) from error
        return self.read(life, path)

    def watch(self, life: Life, path: str, seconds: int) -> XenstoreEvent:
        """See ``GuestOperations.xenstore_watch``. Waits: never under the guest's lock."""
        self._check()
        watch = life.watch(_absolute(life, path))
        try:
            watch.next(0)  # a watch fires once when it is set
            fired = watch.next(seconds) is not None and self._copy is None
            return XenstoreEvent(path, fired=fired or FaultKind.WATCH_NOISY in self._faults)
        finally:
            life.unwatch(watch)

    def _reached(self, life: Life) -> tuple[Store, int]:
        """What it works on, and whose rights count there."""
        if self._copy is not None:
            return self._copy, DOM0
        return life.machine.store, life.machine.domid

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
