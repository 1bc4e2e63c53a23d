"""Loop devices of a host."""

from __future__ import annotations

import threading

__all__ = ["Loops"]


class Loops:
    """Which file is behind which /dev/loopN. Thread-safe."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._lock = threading.Lock()

    def attach(self, path: str) -> str:
        """Put a file behind the first free device; gives its name."""
        with self._lock:
            number = next(n for n in range(len(self._files) + 1) if f"/dev/loop{n}" not in self._files)
            self._files[f"/dev/loop{number}"] = path
            return f"/dev/loop{number}"

    def detach(self, device: str) -> bool:
        """Free a device; False if it is not in use."""
        with self._lock:
            return self._files.pop(device, None) is not None

    def items(self) -> tuple[tuple[str, str], ...]:
        """Devices in use with their files."""
        with self._lock:
            return tuple(sorted(self._files.items()))
