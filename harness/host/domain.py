"""A domain to be made: one description, rendered to each toolstack's syntax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.host.volumes import is_device
from harness.lab import Firmware

__all__ = ["DiskSpec", "DomainSpec", "NicSpec"]


@dataclass(frozen=True)
class DiskSpec:
    """A disk or CD drive. ``path`` is empty for an empty CD drive."""

    path: str
    vdev: str
    image_format: Literal["raw", "qcow2"] = "raw"
    cdrom: bool = False
    read_only: bool = False

    @property
    def is_device(self) -> bool:
        """Whether it is a block device of the host, as a logical volume is, and no file."""
        return is_device(self.path)


@dataclass(frozen=True)
class NicSpec:
    """A network interface; ``model`` is the emulated twin's, None for a PV interface alone."""

    mac: str
    bridge: str
    model: str | None = "e1000"


@dataclass(frozen=True)
class DomainSpec:
    """An HVM domain. Memory in MiB; ``console_log`` is a file on the host for the serial port.

    ``boot`` is the order that a BIOS tries: "c" the first disk, "d" the first CD drive. A UEFI of Xen takes
    what it finds, removable media first (os-autoinst#640). ``on_reboot`` "preserve" leaves the
    domain listed, shut down, when its guest restarts.
    """

    name: str
    memory_mib: int
    vcpus: int
    disks: tuple[DiskSpec, ...]
    nics: tuple[NicSpec, ...]
    max_memory_mib: int | None = None  # None: the same, so that no populate-on-demand is needed
    firmware: Firmware = Firmware.BIOS
    console_log: str = ""
    screen: bool = True
    boot: Literal["c", "dc"] = "c"
    on_reboot: Literal["restart", "preserve"] = "restart"
    extra: Mapping[str, str] = field(default_factory=dict)  # keys of xl.cfg(5), values as written there
