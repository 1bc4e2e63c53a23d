"""What a toolstack can do with domains, whichever it is: the seam between xl, xm and libvirt.

Domains are named, never numbered: a reboot, a restore and a migration give a
new domid (facts/pv-drivers.md 2.5). Exit codes are not believed: every
implementation reads back what it changed where the toolstack is known to lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from harness.errors import CommandFailed
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.model import ToolstackName, XenVersion

__all__ = [
    "BlockDevice",
    "Description",
    "DomainInfo",
    "Fallback",
    "HostInfo",
    "NetworkDevice",
    "NoSuchDomain",
    "RequestAnswer",
    "Toolstack",
    "Trigger",
    "Unsupported",
    "VcpuInfo",
]


class NoSuchDomain(CommandFailed):
    """The domain named is not there."""


class Unsupported(CommandFailed):
    """This toolstack, in this version, has no way to do that; nothing was tried."""


class Fallback(StrEnum):
    """What to do when a guest cannot be asked through its PV drivers."""

    NONE = "none"
    ACPI = "acpi"


class Trigger(StrEnum):
    """Events that can be sent to a domain."""

    NMI = "nmi"
    POWER = "power"
    RESET = "reset"


@dataclass(frozen=True)
class RequestAnswer:
    """A toolstack's answer to a shutdown or reboot request, given before the guest has acted.

    ``refused`` means that the guest shows no PV control interface; ``text`` are the toolstack's words.
    """

    refused: bool
    text: str
    duration_s: float


@dataclass(frozen=True)
class HostInfo:
    """Figures of a host; memory in MiB. ``free_mib`` leaves out what is promised to domains."""

    version: XenVersion
    version_text: str
    total_mib: int
    free_mib: int
    cpus: int
    hvm: bool
    command_line: str
    details: Mapping[str, str]


@dataclass(frozen=True)
class DomainInfo:
    """One line of the list of domains. Memory in MiB, ``cpu_s`` seconds of processor time.

    ``reason`` is the letter xl shows for a domain that has shut down: "" none or power off,
    "r" reboot, "s" suspend, "c" crash, "w" watchdog.
    """

    name: str
    domid: int
    memory_mib: int
    vcpus: int
    running: bool
    blocked: bool
    paused: bool
    shutdown: bool
    dying: bool
    reason: str
    cpu_s: float

    @property
    def crashed(self) -> bool:
        """Whether Xen was told that the domain crashed."""
        return self.reason == "c"

    @property
    def ending(self) -> bool:
        """Whether it has shut down, or is being taken away."""
        return self.shutdown or self.dying


@dataclass(frozen=True)
class BlockDevice:
    """A virtual disk as the toolstack sees it; ``state`` is the front end's XenbusState."""

    vdev: int
    backend_id: int
    state: int
    backend_path: str


@dataclass(frozen=True)
class NetworkDevice:
    """A virtual interface; ``state`` is the front end's XenbusState."""

    index: int
    backend_id: int
    mac: str
    state: int
    backend_path: str


@dataclass(frozen=True)
class Description:
    """The toolstack's full description of a domain: ``text`` as it printed it, the rest read from it.

    ``disks`` are their names: hda, xvdb.
    """

    name: str
    max_memory_mib: int
    max_vcpus: int
    disks: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class VcpuInfo:
    """A virtual CPU; ``cpu`` is None while it is off line."""

    domain: str
    vcpu: int
    cpu: int | None
    state: str


class Toolstack(Protocol):
    """One host's toolstack. Every method has a deadline of its own, scaled by the host's time factor.

    Methods raise ``NoSuchDomain`` for a domain that is not there, ``CommandFailed`` when the
    toolstack says no, ``Unsupported`` when it never could, ``CommandTimedOut`` and
    ``HostUnreachable`` as the shell does.
    """

    name: ToolstackName
    restart_gap_s: float  # how old a domain has to be to restart itself: else xend takes it away

    def info(self) -> HostInfo:
        """The host's figures now."""

    def dmesg(self) -> str:
        """The hypervisor's log."""

    def domains(self) -> tuple[DomainInfo, ...]:
        """All domains, dom0 first."""

    def find(self, name: str) -> DomainInfo | None:
        """One domain, None when it is not there."""

    def config(self, name: str) -> Description:
        """The toolstack's full description of a domain."""

    def create(self, spec: DomainSpec, *, paused: bool = False) -> DomainInfo:
        """Make a domain and start it. A failed create leaves nothing behind."""

    def destroy(self, name: str) -> None:
        """Take a domain away at once; it is gone from the list afterwards."""

    def shutdown(self, name: str, fallback: Fallback = Fallback.NONE) -> RequestAnswer:
        """Ask the guest to shut down."""

    def reboot(self, name: str, fallback: Fallback = Fallback.NONE) -> RequestAnswer:
        """Ask the guest to reboot."""

    def pause(self, name: str) -> None:
        """Stop a domain's processors."""

    def unpause(self, name: str) -> None:
        """Let them run again."""

    def set_memory(self, name: str, mib: int) -> int:
        """Set the memory target; gives the target read back, in KiB."""

    def save(self, name: str, path: str) -> None:
        """Save a domain to a file of the host; it is gone from the list afterwards."""

    def restore(self, path: str, *, paused: bool = False) -> None:
        """Bring a saved domain back, under a new domid."""

    def attach_disk(self, name: str, disk: DiskSpec) -> None:
        """Plug a disk in; it is in the list afterwards."""

    def detach_disk(self, name: str, vdev: str) -> None:
        """Unplug a disk; it is gone from the list afterwards."""

    def disks(self, name: str) -> tuple[BlockDevice, ...]:
        """A domain's virtual disks."""

    def attach_nic(self, name: str, nic: NicSpec) -> None:
        """Plug an interface in; a failed attempt leaves none behind."""

    def detach_nic(self, name: str, mac: str) -> None:
        """Unplug the interface with that MAC; it is gone from the list afterwards."""

    def nics(self, name: str) -> tuple[NetworkDevice, ...]:
        """A domain's virtual interfaces."""

    def insert_cd(self, name: str, vdev: str, path: str) -> None:
        """Put an ISO file of the host into a CD drive."""

    def eject_cd(self, name: str, vdev: str) -> None:
        """Empty a CD drive."""

    def trigger(self, name: str, trigger: Trigger) -> None:
        """Send an event; whether the guest heard it cannot be seen here."""

    def dump_core(self, name: str, path: str, *, timeout_s: float) -> int:
        """Write a domain's memory to a file of the host; gives its size in bytes.

        On Xen 4.14 to 4.20 the command writes everything and never returns
        (facts/nested-xen.md): a whole file counts, the command is ended.
        """

    def set_vcpus(self, name: str, count: int) -> None:
        """Set the number of processors on line."""

    def vcpus(self, name: str) -> tuple[VcpuInfo, ...]:
        """A domain's processors."""

    def uptime_s(self, name: str) -> int:
        """Seconds since the domain was made."""

    def taken_away(self, name: str, domid: int) -> bool:
        """Whether it tells that somebody took this life of a domain, or a later one, away.

        False as well if it tells nothing.
        """

    def screen_dump(self, name: str) -> bytes:
        """The screen of a domain with a graphics adapter, as a PPM picture."""

    def close(self) -> None:
        """End what it holds open beside the host's SSH connection; a later call opens it anew."""
