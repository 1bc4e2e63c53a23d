"""Ports that servers of the simulated tools listen on in dom0."""

from __future__ import annotations

import threading

__all__ = ["Ports"]


class Ports:
    """Which ports are taken. Thread-safe."""

    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._lock = threading.Lock()

    def take(self, port: int) -> bool:
        """Listen there; False if another does."""
        with self._lock:
            if port in self._taken:
                return False
            self._taken.add(port)
            return True

    def free(self, port: int) -> None:
        """Listen there no more."""
        with self._lock:
            self._taken.discard(port)

    def in_use(self) -> frozenset[int]:
        """All that are taken now."""
        with self._lock:
            return frozenset(self._taken)
