"""LVM of a host: volume groups, and logical volumes that are files below ``/dev/GROUP``.

A snapshot here is a copy of its origin, which is small; what it takes of its group or pool is counted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from harness.simlab.host.files import HostFiles
from harness.simlab.host.images import Image

__all__ = ["EXTENT", "Group", "Kind", "LogicalVolume", "NoRoom", "Volumes"]

EXTENT = 4 << 20
_PLACED_BYTES = 100 << 30  # a group that was made for a template
_POOL_NOTES = 2 * EXTENT  # metadata of a thin pool, and a spare for them

Kind = Literal["linear", "thin", "thin-pool"]


@dataclass(frozen=True)
class LogicalVolume:
    """A volume; ``cow`` are the bytes that a snapshot of a volume that is not thin keeps for itself."""

    group: str
    name: str
    kind: Kind
    size: int
    pool: str = ""
    origin: str = ""
    cow: int = 0

    @property
    def device(self) -> str:
        """Its block device."""
        return f"/dev/{self.group}/{self.name}"


@dataclass
class Group:
    """A volume group on one device."""

    name: str
    device: str
    size: int
    volumes: dict[str, LogicalVolume] = field(default_factory=dict)

    @property
    def free(self) -> int:
        """Bytes nobody has."""
        return self.size - sum(_taken(volume) for volume in self.volumes.values())


class NoRoom(Exception):
    """A group has fewer extents left than are asked for."""

    def __init__(self, free: int, wanted: int) -> None:
        super().__init__(f"{free} extents free, {wanted} wanted")
        self.free = free
        self.wanted = wanted


class Volumes:
    """The volume groups of one host. Thread-safe. ``full``: nothing is left in any (fault disk-full)."""

    def __init__(self, files: HostFiles, *, full: Callable[[], bool] = bool) -> None:
        self._files = files
        self._full = full
        self._groups: dict[str, Group] = {}
        self._lock = threading.RLock()

    def place(self, group: str, name: str, content: bytes, template: str) -> None:
        """Make a thin volume that a template's guests boot from, and what it needs."""
        with self._lock:
            if group not in self._groups:
                self.add_group(group, "/dev/sdb", _PLACED_BYTES)
                self._enter(LogicalVolume(group, "pool", "thin-pool", _PLACED_BYTES // 2))
            volume = LogicalVolume(group, name, "thin", 40 << 30, pool="pool")
            self._enter(volume)
            real = self._files.real(volume.device)
            real.write_bytes(content)
            self._files.images.record(real, Image("raw", volume.size, "", template))

    def add_group(self, name: str, device: str, size: int) -> None:
        """Make a group; the first extent of its device holds LVM's own notes."""
        with self._lock:
            self._groups[name] = Group(name, device, size // EXTENT * EXTENT - EXTENT)
            self._files.real(f"/dev/{name}").mkdir(parents=True, exist_ok=True)

    def remove_group(self, name: str) -> None:
        """Take a group away with its volumes."""
        with self._lock:
            self._files.remove_tree(f"/dev/{name}")
            del self._groups[name]

    def add(self, volume: LogicalVolume) -> None:
        """Make a volume, empty or as its origin is.

        Raises:
            NoRoom: the group is too small.
        """
        with self._lock:
            group = self._groups[volume.group]
            if _taken(volume) > self.free_of(group):
                raise NoRoom(self.free_of(group) // EXTENT, _taken(volume) // EXTENT)
            self._enter(volume)

    def _enter(self, volume: LogicalVolume) -> None:
        self._groups[volume.group].volumes[volume.name] = volume
        if volume.kind == "thin-pool":
            return
        real, template = self._files.real(volume.device), ""
        if volume.origin:
            origin = f"/dev/{volume.group}/{volume.origin}"
            self._files.copy(origin, volume.device)
            template = self._files.images.of(self._files.real(origin)).template
        else:
            real.touch()
        self._files.images.record(real, Image("raw", volume.size, "", template))

    def remove(self, volume: LogicalVolume) -> None:
        """Take a volume away."""
        with self._lock:
            del self._groups[volume.group].volumes[volume.name]
            if volume.kind != "thin-pool":
                self._files.remove(volume.device)

    def free_of(self, group: Group) -> int:
        """Bytes of a group that may still be taken."""
        return 0 if self._full() else group.free

    def used_percent(self, pool: LogicalVolume) -> float:
        """How full a thin pool is: as much as its volumes have been written to."""
        if self._full():
            return 100.0
        with self._lock:
            volumes = [one for one in self._groups[pool.group].volumes.values() if one.pool == pool.name]
            used = sum(self._files.real(volume.device).stat().st_blocks * 512 for volume in volumes)
        return min(100.0, 100 * used / pool.size)

    def group(self, name: str) -> Group | None:
        """One group."""
        with self._lock:
            return self._groups.get(name)

    def groups(self) -> tuple[Group, ...]:
        """All groups, by name."""
        with self._lock:
            return tuple(group for _, group in sorted(self._groups.items()))

    def all(self) -> tuple[LogicalVolume, ...]:
        """All volumes, by group and name."""
        with self._lock:
            return tuple(volume for group in self.groups() for _, volume in sorted(group.volumes.items()))

    def number_of(self, device: str) -> str:
        """A volume's device number in hexadecimal, as device-mapper (major 253) has it; "" for none."""
        names = [volume.device for volume in self.all()]
        return f"fd:{names.index(device):x}" if device in names else ""

    def find(self, word: str) -> LogicalVolume | None:
        """A volume by VG/LV or its device."""
        group, _, name = word.removeprefix("/dev/").partition("/")
        with self._lock:
            return self._groups[group].volumes.get(name) if group in self._groups else None


def _taken(volume: LogicalVolume) -> int:
    match volume.kind:
        case "thin":
            return 0
        case "thin-pool":
            return volume.size + _POOL_NOTES
        case "linear":
            return volume.cow or volume.size
