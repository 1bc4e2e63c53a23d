"""The five drivers at work: keeps the device tree, and does what a change of it means."""

from __future__ import annotations

from harness.model import DriverName
from harness.operations import DriverPackage, PendingReboot, PnpDevice, Service
from harness.simlab.faults import FaultKind, Faults
from harness.simlab.guest.balloon import Balloon
from harness.simlab.guest.devicetree import (
    AtBoot,
    Node,
    Problem,
    Surroundings,
    Tree,
    best,
    keep_disks,
    loadable,
    scan,
    shown,
)
from harness.simlab.guest.disk import Kept
from harness.simlab.guest.frontends import Frontends
from harness.simlab.guest.hardware import PLATFORM_IDS, inbox_devices
from harness.simlab.guest.inf import InfService
from harness.simlab.machine import Machine, MachineDisk

__all__ = ["Drivers", "system_disk"]

_AGENT = "xenagent"
_DRIVEN = {Problem.NONE, Problem.NEED_RESTART, Problem.WILL_BE_REMOVED}
_WINDOWS_SERVICES = {
    "disk": Service("disk", "running", "boot"),
    "eventlog": Service("EventLog", "running", "auto"),
    "winrm": Service("WinRM", "running", "auto"),
}


class Drivers:
    """What Plug and Play has made of the machine in this boot."""

    def __init__(self, kept: Kept, faults: Faults, version: str) -> None:
        self._kept = kept
        self._faults = faults
        self._version = version
        self.boot = AtBoot(test_signing=kept.test_signing)
        self.tree = Tree()
        self.asked: set[DriverName] = set()
        self._user_services = False

    # -- boot

    def load(self, machine: Machine, frontends: Frontends) -> None:
        """Boot drivers: XENBUS with its filter, if it may; the emulated devices it unplugs.

        The counters are read and deleted (facts/pv-drivers.md 6).
        """
        counters, self._kept.unplug = self._kept.unplug, {}
        around = self._around(machine, frontends)
        bus = best(around, PLATFORM_IDS)
        if bus is None or not self._kept.filters or not loadable(around, bus):
            return
        self.boot.bus = bus
        self.boot.no_disks = counters.get("DISKS", 0) > 0
        self.boot.no_nics = counters.get("NICS", 0) > 0
        machine.unplug(disks=self.boot.no_disks, nics=self.boot.no_nics)

    def start(self, machine: Machine, frontends: Frontends, balloon: Balloon) -> bool:
        """Start devices; False when the system disk is not among them."""
        self.rescan(machine, frontends, balloon)
        disks = [disk for disk in machine.disks if not disk.cdrom]
        system = min(disks, key=lambda disk: disk.target)
        if not system.emulated and self.tree.serving.get(DriverName.XENVBD) is None:
            return False
        if not system.emulated:
            self.boot.vbd = self.tree.serving[DriverName.XENVBD]
        return system.emulated or system.number in self.tree.vbds

    def start_services(self, frontends: Frontends) -> bool:
        """Automatic services come up; whether xenagent is among them."""
        self._user_services = True
        if self.agent_runs:
            frontends.set_agent(running=True)
        return self.agent_runs

    @property
    def agent_runs(self) -> bool:
        """Whether xenagent is there to take requests."""
        return any(service.name == _AGENT and service.state == "running" for service in self._services())

    # -- changes

    def rescan(self, machine: Machine, frontends: Frontends, balloon: Balloon) -> None:
        """Look at the machine and the driver store again, and follow what has changed."""
        old, agent_ran = self.tree, self.agent_runs
        new = scan(self._around(machine, frontends))
        if FaultKind.DISK_STAYS in self._faults:
            new = keep_disks(old, new)
        self.tree = new
        self.asked = (self.asked & {node.driver for node in new.nodes if node.package}) | new.waiting
        self._kept.unplug = dict(new.counters)
        self._kept.filters = any(node.driver is DriverName.XENBUS and node.package for node in new.nodes)
        if self.boot.bus is not None and not self._installed(DriverName.XENBUS):
            self._kept.filters = False
        self._follow_drivers(machine, frontends, balloon, old, new)
        self._follow_devices(machine, frontends, old, new)
        if self._user_services and self.agent_runs != agent_ran:
            frontends.set_agent(running=self.agent_runs)

    def reconnect(self, machine: Machine, frontends: Frontends) -> None:
        """After a restore: everything in xenstore is made again (facts/pv-drivers.md 2.5)."""
        tree, self.tree = self.tree, Tree()
        machine.set_callback(active=bool(tree.serving))
        machine.unplug(disks=self.boot.no_disks, nics=self.boot.no_nics)
        for driver, package in tree.serving.items():
            frontends.name_driver(driver, package.inf)
            _announce(frontends, driver, present=True)
        self._follow_devices(machine, frontends, Tree(), tree)
        self.tree = tree
        if self.agent_runs:
            frontends.set_agent(running=True)

    def disconnect(self, frontends: Frontends) -> None:
        """A clean stop: front ends close."""
        for number in sorted(self.tree.vifs):
            frontends.disconnect("vif", number)
        for number in sorted(self.tree.vbds):
            frontends.disconnect("vbd", number)
        frontends.set_agent(running=False)

    # -- answers

    @property
    def active(self) -> bool:
        """Whether XENBUS is."""
        return DriverName.XENBUS in self.tree.serving

    def loaded(self, driver: DriverName) -> bool:
        """Whether a driver's code is in memory: its device works, or waits for a reboot."""
        return driver in self.tree.serving or any(
            node.driver is driver and node.problem in _DRIVEN for node in self.tree.nodes
        )

    def devices(self, machine: Machine, prefix: str) -> tuple[PnpDevice, ...]:
        """See ``GuestOperations.pnp_devices``."""
        everything = [
            *inbox_devices(machine.nics, machine.disks, self._version),
            *(shown(node, self._faults) for node in self.tree.nodes),
        ]
        wanted = prefix.lower()
        found = [
            device for device in everything if any(name.lower().startswith(wanted) for name in _ids(device))
        ]
        return tuple(sorted(found, key=lambda device: device.instance_id))

    def services(self, names: tuple[str, ...]) -> tuple[Service, ...]:
        """See ``GuestOperations.services``."""
        known = _WINDOWS_SERVICES | {service.name.lower(): service for service in self._services()}
        return tuple(known[name.lower()] for name in names if name.lower() in known)

    def packages(self) -> tuple[DriverPackage, ...]:
        """See ``GuestOperations.driver_packages``."""
        found = [
            DriverPackage(
                package.published,
                package.original,
                package.inf.provider,
                package.inf.device_class,
                package.inf.version,
            )
            for package in self._kept.packages
        ]
        return tuple(sorted(found, key=lambda package: package.published))

    def pending(self) -> tuple[PendingReboot, ...]:
        """See ``GuestOperations.pending_reboots``."""
        return tuple(PendingReboot(driver) for driver in sorted(self.asked))

    # -- inner parts

    def _around(self, machine: Machine, frontends: Frontends) -> Surroundings:
        return Surroundings(
            arch=self._kept.arch,
            packages=self._kept.packages,
            faults=self._faults,
            boot=self.boot,
            vifs={
                nic.index: nic.model is not None
                for nic in machine.nics
                if not frontends.leaving("vif", nic.index)
            },
            vbds={
                disk.number: disk.emulated
                for disk in machine.disks
                if disk.pv and not disk.cdrom and not frontends.leaving("vbd", disk.number)
            },
        )

    def _installed(self, driver: DriverName) -> bool:
        return any(package.inf.driver is driver for package in self._kept.packages)

    def _follow_drivers(
        self, machine: Machine, frontends: Frontends, balloon: Balloon, old: Tree, new: Tree
    ) -> None:
        for driver in DriverName:
            was, now = old.serving.get(driver), new.serving.get(driver)
            if was == now:
                continue
            if now is None:
                frontends.forget_driver(driver)
            else:
                frontends.name_driver(driver, now.inf)
            if (was is None) != (now is None):
                _announce(frontends, driver, present=now is not None)
                if driver is DriverName.XENBUS:
                    machine.set_callback(active=now is not None)
                    if now is not None:
                        balloon.switch_on()

    def _follow_devices(self, machine: Machine, frontends: Frontends, old: Tree, new: Tree) -> None:
        macs = {nic.index: nic.mac for nic in machine.nics}
        targets = {disk.number: disk.target for disk in machine.disks}
        for number in sorted(old.vifs - new.vifs):
            frontends.disconnect("vif", number)
        for number in sorted(old.vbds - new.vbds):
            frontends.disconnect("vbd", number)
        for node in new.nodes:
            if node.number in new.vifs - old.vifs and node.driver is DriverName.XENNET:
                changed = self._kept.adapters.get(macs[node.number].lower(), {})
                frontends.connect_vif(node.number, macs[node.number], node.name, changed)
        for number in sorted(new.vbds - old.vbds):
            frontends.connect_vbd(number, targets[number])

    def _services(self) -> list[Service]:
        found: dict[str, Service] = {}
        for node in self.tree.nodes:
            if node.package is None or node.driver is None:
                continue
            for service in node.package.inf.services:
                if service.user and self._faults.hits(FaultKind.SERVICES_MISSING, node.driver):
                    continue
                running = self._runs(node, service)
                if service.name not in found or running:
                    state = Service(service.name, "running" if running else "stopped", service.start)
                    found[service.name] = state
        return list(found.values())

    def _runs(self, node: Node, service: InfService) -> bool:
        if node.problem not in _DRIVEN:
            return False
        if service.user:
            return self._user_services and service.start == "auto"
        # filters (xenfilt, xendisk) are loaded with what they stand above, at boot
        return service.associated or node.driver in self.tree.serving


def _announce(frontends: Frontends, driver: DriverName, *, present: bool) -> None:
    match driver:
        case DriverName.XENBUS:
            frontends.set_bus(active=present)
        case DriverName.XENVIF:
            frontends.set_hotplug("vif", able=present)
        case DriverName.XENVBD:
            frontends.set_hotplug("vbd", able=present)


def _ids(device: PnpDevice) -> tuple[str, ...]:
    return (device.instance_id, *device.hardware_ids, *device.compatible_ids)


def system_disk(machine: Machine) -> MachineDisk | None:
    """The disk the machine boots from: the first that is no CD."""
    disks = [disk for disk in machine.disks if not disk.cdrom and disk.file is not None]
    return min(disks, key=lambda disk: disk.target, default=None)
