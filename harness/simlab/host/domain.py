"""A domain of a simulated host, and its virtual hardware as the guest in it finds it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.simlab.host.layout import DiskPaths, NicPaths
from harness.simlab.host.vdev import Vdev
from harness.simlab.machine import MachineDisk, MachineNic, SimulatedGuest, StopReason
from harness.simlab.xl.config import DiskConfig, DomainConfig, NicConfig

if TYPE_CHECKING:
    from harness.simlab.host.simhost import SimHost

__all__ = ["Domain", "DomainDisk", "DomainNic", "HostMachine"]

_SLACK_KIB = 1024  # what Xen lets a domain have above its target (LIBXL_MAXMEM_CONSTANT)


@dataclass
class DomainDisk:
    """A disk of a domain. ``loop`` is the loop device under it, "" for none."""

    config: DiskConfig
    vdev: Vdev
    paths: DiskPaths
    emulated: bool
    loop: str = ""


@dataclass
class DomainNic:
    """An interface of a domain; only those it was made with have an emulated twin."""

    config: NicConfig
    index: int
    paths: NicPaths
    emulated: bool


@dataclass
class Domain:
    """One life of a domain; a reboot makes another one. Guarded by the hypervisor's lock.

    Memory in KiB: ``memory`` is what it has now, video memory included, ``limit`` the most it may
    take. ``shutdown`` says why its guest stopped.
    """

    config: DomainConfig
    domid: int
    guest: SimulatedGuest | None
    memory: int
    limit: int
    online: int
    disks: dict[int, DomainDisk] = field(default_factory=dict)
    nics: dict[int, DomainNic] = field(default_factory=dict)
    pauses: int = 1  # as Xen counts them: a domain is made with one
    started: bool = False
    suspended: bool = False  # stopped to be saved
    shutdown: StopReason | None = None
    callback: bool = False
    gone: bool = False
    unplugged_disks: bool = False
    unplugged_nics: bool = False
    model_gone: bool = False
    cpu_s: float = 0.0
    made_at: float = field(default_factory=time.time)
    machine: HostMachine | None = None

    @property
    def name(self) -> str:
        """The name it was made under."""
        return self.config.name

    @property
    def root(self) -> str:
        """Its folder in xenstore."""
        return f"/local/domain/{self.domid}"

    @property
    def maxmem(self) -> int:
        """What it was promised at most, in KiB, video memory included."""
        return self.config.maxmem * 1024

    @property
    def videoram(self) -> int:
        """Video memory in KiB."""
        return self.config.videoram * 1024

    @property
    def paused(self) -> bool:
        """Whether the toolstack has stopped its processors."""
        return self.pauses > 0

    @property
    def emulates_nics(self) -> bool:
        """Whether the emulated twins of its interfaces work."""
        return not (self.unplugged_nics or self.model_gone)

    @property
    def runs(self) -> bool:
        """Whether its processors do anything."""
        return not (self.paused or self.suspended or self.gone or self.shutdown is not None)


class HostMachine:
    """``Machine`` for one life of a domain; one whose life is over answers, and changes nothing."""

    def __init__(self, host: SimHost, domain: Domain, seed: int) -> None:
        self._host = host
        self._domain = domain
        self.name = domain.name
        self.domid = domain.domid
        self.maxmem_kib = domain.maxmem
        self.videoram_kib = domain.videoram
        self.vcpus = domain.config.vcpus
        self.store = host.store
        self.clock = host.clock
        self.pace = host.pace
        self.seed = seed

    @property
    def paused(self) -> bool:
        """See ``Machine.paused``."""
        return self._domain.paused or self._domain.suspended

    @property
    def disks(self) -> tuple[MachineDisk, ...]:
        """See ``Machine.disks``."""
        with self._host.hypervisor.lock:
            return tuple(self._disk(disk) for _, disk in sorted(self._domain.disks.items()))

    @property
    def nics(self) -> tuple[MachineNic, ...]:
        """See ``Machine.nics``."""
        domain = self._domain
        with self._host.hypervisor.lock:
            return tuple(
                MachineNic(
                    index,
                    nic.config.mac,
                    nic.config.model if nic.emulated and domain.emulates_nics else None,
                )
                for index, nic in sorted(domain.nics.items())
            )

    @property
    def host_ports(self) -> frozenset[int]:
        """See ``Machine.host_ports``."""
        return self._host.ports.in_use()

    def private_folder(self) -> Path:
        """See ``Machine.private_folder``."""
        for disk in self._domain.config.disks:
            if not disk.cdrom:
                return self._host.files.images.private_folder(self._host.files.real(disk.path))
        raise LookupError(f"{self.name} has no system disk")

    def lease(self, mac: str) -> str:
        """See ``Machine.lease``."""
        return self._host.leases.ask(mac)

    def console(self, text: str) -> None:
        """See ``Machine.console``."""
        if self._domain.config.serial_file:
            self._host.files.append(self._domain.config.serial_file, text)

    def hypervisor_line(self, text: str) -> None:
        """See ``Machine.hypervisor_line``."""
        self._host.hypervisor.log(f"(d{self.domid}) {text}")

    def set_memory(self, kib: int) -> bool:
        """See ``Machine.set_memory``."""
        hypervisor, domain = self._host.hypervisor, self._domain
        with hypervisor.lock:
            more = kib - domain.memory
            # the limit binds what is taken; giving back is always allowed, also in steps down to it
            beyond = more > 0 and (kib > domain.limit + _SLACK_KIB or more > hypervisor.free_kib)
            if domain.gone or beyond:
                return False
            domain.memory = kib
            hypervisor.changed.notify_all()
            return True

    def set_callback(self, *, active: bool) -> None:
        """See ``Machine.set_callback``."""
        self._domain.callback = active

    def unplug(self, *, disks: bool, nics: bool) -> None:
        """See ``Machine.unplug``."""
        with self._host.hypervisor.lock:
            self._domain.unplugged_disks |= disks
            self._domain.unplugged_nics |= nics

    def stop(self, reason: StopReason) -> None:
        """See ``Machine.stop``."""
        self._host.lifecycle.stopped(self._domain, reason)

    def _disk(self, disk: DomainDisk) -> MachineDisk:
        path = disk.config.path
        real = self._host.files.real(path) if path else None
        return MachineDisk(
            vdev=disk.vdev.name,
            number=disk.vdev.number,
            target=disk.vdev.target,
            file=real,
            size=self._host.files.images.of(real).virtual_size if real and real.exists() else 0,
            emulated=disk.emulated and not (self._domain.unplugged_disks and not disk.config.cdrom),
            pv=not disk.config.cdrom,
            cdrom=disk.config.cdrom,
            read_only=disk.config.read_only,
        )
