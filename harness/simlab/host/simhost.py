"""One simulated host put together."""

from __future__ import annotations

import random
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.lab import CloneMethod, Firmware, HostSpec
from harness.model import ToolstackName, XenVersion
from harness.simlab.clock import Clock, Pace
from harness.simlab.faults import FaultKind, Faults, FaultScope, parse_faults
from harness.simlab.host.domain import Domain
from harness.simlab.host.files import HostFiles
from harness.simlab.host.hypervisor import Hypervisor
from harness.simlab.host.leases import AddressRange, Leases
from harness.simlab.host.lifecycle import Lifecycle
from harness.simlab.host.loops import Loops
from harness.simlab.host.plug import Plug
from harness.simlab.host.ports import Ports
from harness.simlab.host.store import Store
from harness.simlab.host.strays import Strays
from harness.simlab.host.volumes import Volumes
from harness.simlab.host.xend_layout import XEND_LOG
from harness.simlab.machine import SimulatedGuest
from harness.simlab.stages import Stage
from harness.simlab.xl.config import DomainConfig

__all__ = ["Bare", "BareMaker", "GuestMaker", "LabParts", "SimHost"]

# xend refuses to restart what is younger than a minute: here a minute of its clock has to pass quickly.
_XEND_HASTE = 1000

# Makes the guest of a template, as it finds its disk; it tells how far it has come.
GuestMaker = Callable[[str, Callable[[Stage], None]], SimulatedGuest]


@dataclass(frozen=True)
class Bare:
    """A domain whose disk comes from no template.

    ``cd_first`` is the order a BIOS keeps to, ``faults`` are the host's.
    """

    firmware: Firmware
    cd_first: bool
    seed: int
    faults: Faults


# Makes what runs there: Windows Setup, or a Windows that was set up.
BareMaker = Callable[[Bare], SimulatedGuest]


@dataclass(frozen=True)
class LabParts:
    """What the hosts of a lab share."""

    clock: Clock
    pace: Pace
    seed: int
    network: AddressRange
    make_guest: GuestMaker
    make_bare: BareMaker | None = None  # None: such domains find nothing to boot


class SimHost:
    """A host's parts, and what of them needs several."""

    def __init__(self, spec: HostSpec, folder: Path, parts: LabParts) -> None:
        self.spec = spec
        self.name = spec.name
        self.version = spec.xen or XenVersion(4, 17)
        # before 4.1 there is nothing else; from 4.5 on it is no more
        self.xend = spec.toolstack is ToolstackName.XM or self.version < XenVersion(4, 1)
        self.clock = parts.clock
        self.pace = parts.pace
        self.faults = parse_faults(spec.faults, FaultScope.HOST, f"host {spec.name}")
        self.files = HostFiles(
            folder, full=lambda: spec.storage if FaultKind.DISK_FULL in self.faults else ""
        )
        self.files.real(spec.storage).mkdir(parents=True, exist_ok=True)
        if spec.clone is CloneMethod.REFLINK:
            self.files.mount(spec.storage, reflink=True)
        self.volumes = Volumes(self.files, full=lambda: FaultKind.DISK_FULL in self.faults)
        self.store = Store(parts.clock)
        self.store.put("/tool/xenstored", "", "n0")
        self.store.put("/local/domain/0/name", "Domain-0", "n0")
        self.store.put("/local/domain/0/backend", "", "n0")
        # what is in brackets on a real host, compiler and date, is left out
        banner = f"Xen version {self.version} (pvhck simulated lab)"
        self.hypervisor = Hypervisor(
            spec.memory_mib, banner, starved=lambda: FaultKind.NO_MEMORY in self.faults
        )
        self.loops = Loops()
        self.strays = Strays(self.files, self.faults)
        self.ports = Ports()
        self.leases = Leases(parts.network, self.files, self._has_mac)
        self.plug = Plug(self)
        self.lifecycle = Lifecycle(self)
        self.bridges = frozenset({spec.bridge})
        self.files.real(f"/sys/class/net/{spec.bridge}/bridge").mkdir(parents=True, exist_ok=True)
        if self.xend:
            self.files.write("/var/lock/subsys/xend", "")
            self.files.write(XEND_LOG, "")
        self._parts = parts
        self._dice = random.Random(self._number("dice"))  # noqa: S311  # the same for the same seed
        self._dice_lock = threading.Lock()
        self._done: set[FaultKind] = set()
        self.faults.follow(lambda _: self.accidents())

    def in_use(self, path: str) -> bool:
        """Whether a domain has a file or device as a disk."""
        domains = self.hypervisor.domains()
        return any(disk.config.path == path for one in domains for disk in tuple(one.disks.values()))

    @property
    def image_backend(self) -> str:
        """Who serves a disk that is no raw file: QEMU, or blktap where xend is in charge."""
        return "tap" if self.xend else "qdisk"

    def age_s(self, domain: Domain) -> int:
        """How long a domain has been there, as this host's toolstack counts it."""
        return int((time.time() - domain.made_at) * (_XEND_HASTE if self.xend else 1))

    def random_bytes(self, count: int) -> bytes:
        """Bytes that are the same in each run with this seed."""
        with self._dice_lock:
            return self._dice.randbytes(count)

    def seed_for(self, config: DomainConfig) -> int:
        """A guest's seed: by lab, host and template, never by names that carry the run's id."""
        return self._number(self._template(config))

    def guest_for(self, config: DomainConfig) -> SimulatedGuest | None:
        """What boots from a domain's first disk or a CD, None for nothing."""
        template = self._template(config)
        if template:
            return self._parts.make_guest(template, self.faults.enter)
        make_bare = self._parts.make_bare
        if make_bare is None or not self._has_medium(config):
            return None
        firmware = Firmware.UEFI if config.text("bios") == "ovmf" else Firmware.BIOS
        cd_first = config.text("boot", "cda").startswith("d")
        return make_bare(Bare(firmware, cd_first, self.seed_for(config), self.faults))

    def guest_addresses(self) -> frozenset[str]:
        """Addresses of the guests that are there now."""
        return frozenset(address for mac, address in self.leases.items() if self._has_mac(mac))

    def disk_is_made(self, path: str) -> None:
        """A file is written that may be a guest's disk: in a run's folder it is."""
        if "/runs/" in self.files.absolute(path):
            self.faults.enter(Stage.CLONE)

    def accidents(self) -> None:
        """What happens, once, to domains that are there: to be called whenever one begins to run."""
        if not self.hypervisor.domains():
            return
        for kind, happen in (
            (FaultKind.DOMAIN_DESTROYED, self.lifecycle.destroy),
            (FaultKind.DOMAIN_PAUSED, self.lifecycle.pause),
            (FaultKind.MODEL_KILLED, self.lifecycle.lose_model),
            (FaultKind.POWER_CUT, self.lifecycle.destroy),
        ):
            if kind in self.faults and kind not in self._done:
                self._done.add(kind)
                for domain in self.hypervisor.domains():
                    # whoever calls may hold the lock of a guest
                    threading.Thread(target=happen, args=(domain,), daemon=True).start()

    def _template(self, config: DomainConfig) -> str:
        disk = next((disk for disk in config.disks if not disk.cdrom), None)
        return self.files.images.of(self.files.real(disk.path)).template if disk else ""

    def _has_medium(self, config: DomainConfig) -> bool:
        """Whether there is a CD, or something on the disk that no template put there."""
        if any(disk.cdrom and disk.path for disk in config.disks):
            return True
        disk = next((disk for disk in config.disks if not disk.cdrom), None)
        return disk is not None and self.files.images.holds_system(self.files.real(disk.path))

    def _has_mac(self, mac: str) -> bool:
        return any(
            nic.config.mac == mac
            for domain in self.hypervisor.domains()
            for nic in tuple(domain.nics.values())
        )

    def _number(self, word: str) -> int:
        return zlib.crc32(f"{self._parts.seed}/{self.name}/{word}".encode())
