"""xenstore: a tree of values with owners, permissions and watches.

Permissions are written as the tools show them, ``n0,r2``: the first entry is
the owner and what everybody else may do (n nothing, r read, w write, b both),
the others are exceptions. Dom0 may do everything. Two names that are no paths
have events too: ``@introduceDomain`` and ``@releaseDomain``.
"""

from __future__ import annotations

import bisect
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from harness.simlab.clock import Clock

__all__ = ["DOM0", "Store", "StoreError", "Watch"]

DOM0 = 0


class StoreError(Exception):
    """A node is missing or may not be touched; ``name`` is the errno's name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass
class _Node:
    """``names`` are those of its children, sorted."""

    value: str
    permissions: str
    names: list[str] = field(default_factory=list)


class _Listener(Protocol):
    path: str

    def put(self, path: str) -> None:
        """Deliver an event; the store is locked meanwhile."""


class Watch:
    """Events below a path, until it is closed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._events: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.put(path)  # a watch fires once when it is set

    def put(self, path: str | None) -> None:
        """Deliver an event; None ends the watch."""
        self._events.put(path)

    def next(self, timeout: float | None = None) -> str | None:
        """The next path that changed; None at the end or when the time runs out."""
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None

    def until(self, condition: Callable[[], bool], seconds: float | None = None) -> bool:
        """Look at each event whether a condition holds; False when the time runs out or the watch ends."""
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if end is None else max(0.0, end - time.monotonic())
            if self.next(left) is None:
                return condition()
            if condition():
                return True


class _Subscription:
    """Events that become calls on the clock thread."""

    def __init__(self, path: str, callback: Callable[[str], None], clock: Clock) -> None:
        self.path = path
        self._callback = callback
        self._clock = clock
        self.ended = False
        self.put(path)

    def put(self, path: str) -> None:
        self._clock.after(0, lambda: None if self.ended else self._callback(path))


class Store:
    """The tree. Paths are absolute; ``domid`` says who asks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._nodes: dict[str, _Node] = {"": _Node("", "n0")}
        self._watches: list[_Listener] = []
        self._lock = threading.RLock()

    def read(self, path: str, domid: int = DOM0) -> str:
        """A node's value."""
        with self._lock:
            node = self._node(path)
            _require(node, domid, "r")
            return node.value

    def get(self, path: str) -> str:
        """A node's value for the simulator itself, "" if there is none."""
        with self._lock:
            node = self._nodes.get(_clean(path))
            return node.value if node else ""

    def exists(self, path: str) -> bool:
        """Whether there is such a node."""
        with self._lock:
            return _clean(path) in self._nodes

    def write(self, path: str, value: str, domid: int = DOM0) -> None:
        """Set a node's value; missing nodes are made with their parent's permissions."""
        with self._lock:
            path = _clean(path)
            if path in self._nodes:
                _require(self._nodes[path], domid, "w")
                self._nodes[path].value = value
            else:
                self._make(path, value, domid)
            self._fire(path)

    def replace(self, path: str, old: str, new: str) -> bool:
        """Set a node's value if it still is ``old``; gives whether it was."""
        with self._lock:
            node = self._nodes.get(_clean(path))
            if node is None or node.value != old:
                return False
            self.write(path, new)
            return True

    def put(self, path: str, value: str, permissions: str) -> None:
        """Set a node with permissions of its own, as libxl makes them."""
        with self._lock:
            self.write(path, value)
            self._nodes[_clean(path)].permissions = permissions

    def remove(self, path: str, domid: int = DOM0) -> None:
        """Take a node and all below it away; one that is not there is no error if its parent is.

        Recorded: stand-in-4.17/all-guest-xs-write.txt, last lines.
        """
        with self._lock:
            path = _clean(path)
            if path not in self._nodes:
                self._node(_parent(path))
                return
            _require(self._nodes[path], domid, "w")
            self._drop(path)
            above, _, name = path.rpartition("/")
            self._nodes[above].names.remove(name)
            self._fire(path, removed=True)

    def children(self, path: str, domid: int = DOM0) -> list[str]:
        """Names of a node's children, sorted."""
        with self._lock:
            node = self._node(path)
            _require(node, domid, "r")
            return list(node.names)

    def permissions(self, path: str) -> str:
        """A node's permissions."""
        with self._lock:
            return self._node(path).permissions

    def set_permissions(self, path: str, permissions: str) -> None:
        """Replace a node's permissions."""
        with self._lock:
            self._node(path).permissions = permissions
            self._fire(_clean(path))

    def walk(self, path: str) -> Iterator[tuple[str, str, str]]:
        """Path, value and permissions of all nodes below ``path``, parents first, sorted by name."""
        with self._lock:
            for name in self.children(path):
                child = f"{_clean(path)}/{name}"
                node = self._nodes[child]
                yield child, node.value, node.permissions
                yield from self.walk(child)

    def watch(self, path: str) -> Watch:
        """Watch a path and all below it."""
        with self._lock:
            watch = Watch(_clean(path))
            self._watches.append(watch)
            return watch

    def unwatch(self, watch: Watch) -> None:
        """End a watch."""
        with self._lock:
            if watch in self._watches:
                self._watches.remove(watch)
            watch.put(None)

    def subscribe(self, path: str, callback: Callable[[str], None]) -> Callable[[], None]:
        """Watch a path and all below it: ``callback`` gets each path that changes, gives what ends it.

        Calls come on the clock thread, one after the other, with the store not locked; the first,
        with ``path`` itself, comes at once, as with every watch. After the end there is none.
        """
        with self._lock:
            subscription = _Subscription(_clean(path), callback, self._clock)
            self._watches.append(subscription)

        def end() -> None:
            with self._lock:
                subscription.ended = True
                if subscription in self._watches:
                    self._watches.remove(subscription)

        return end

    def announce(self, name: str) -> None:
        """An event of ``@introduceDomain`` or ``@releaseDomain``."""
        with self._lock:
            self._fire(name)

    def _drop(self, path: str) -> None:
        for name in self._nodes.pop(path).names:
            self._drop(f"{path}/{name}")

    def _node(self, path: str) -> _Node:
        node = self._nodes.get(_clean(path))
        if node is None:
            raise StoreError("ENOENT")
        return node

    def _make(self, path: str, value: str, domid: int) -> None:
        parent = _parent(path)
        if parent not in self._nodes:
            self._make(parent, "", domid)
        above = self._nodes[parent]
        _require(above, domid, "w")
        self._nodes[path] = _Node(value, above.permissions)
        bisect.insort(above.names, path.rpartition("/")[2])

    def _fire(self, path: str, *, removed: bool = False) -> None:
        for watch in tuple(self._watches):
            if path == watch.path or path.startswith(watch.path + "/"):
                watch.put(path)
            elif removed and watch.path.startswith(path + "/"):
                watch.put(watch.path)


def _clean(path: str) -> str:
    return "" if path == "/" else path


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _require(node: _Node, domid: int, right: str) -> None:
    """Dom0 and the owner may all; others what their entry says, else what the first one says."""
    if domid == DOM0:
        return
    first, *others = node.permissions.split(",")
    if first[1:] == str(domid):
        return
    granted = next((entry[0] for entry in others if entry[1:] == str(domid)), first[0])
    if granted not in {right, "b"}:
        raise StoreError("EACCES")
