r"""Plug and play devices as Windows would list them, judged by what sysfs shows.

A device's problem code is the Configuration Manager's:

- 28: no package in the driver store fits it;
- 14: the package is not the one this boot began with, or the last one was taken away: it needs a restart.
  XENIFACE alone changes at once, as on Windows: opening xenstore needs no boot;
- 0: the kernel shows that it works: for XENBUS the platform device is bound and the hypervisor known, for
  XENNET and XENVBD a front end is bound and connected, for XENIFACE the xenstore device is there;
- 10: the boot began with the package, and yet sysfs does not show it working.

XENVIF has no part of the kernel to itself (xen-netfront is XENVIF and XENNET in one). With XENNET it is judged
by the front end; without, all it would do on Windows is to show the XENVIF\..&DEV_NET devices, and so it does
here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from harness.model import DriverName
from harness.operations import PendingReboot, PnpDevice, Service
from harness.xenlab.standin.bootrecord import BootRecord
from harness.xenlab.standin.driverstore import DriverStore
from harness.xenlab.standin.hardware import XEN_VENDOR, FrontEnd, Hardware, PciDevice, child_ids
from harness.xenlab.standin.inf import Package
from harness.xenlab.standin.xenstore import xenstore_device

__all__ = ["WORKS", "Devices"]

WORKS, NOT_STARTED, NEEDS_RESTART, NO_DRIVER = 0, 10, 14, 28

# PCI class codes (upper byte) and Windows' device classes for them.
_PCI_CLASSES = {0x01: "HDC", 0x02: "Net", 0x03: "Display", 0x06: "System"}


@dataclass(frozen=True)
class _Verdict:
    """How a driver's device stands, and the package that decides it."""

    problem: int
    package: Package | None


class Devices:
    """The device tree of this boot."""

    def __init__(self, hardware: Hardware, store: DriverStore, boot: BootRecord) -> None:
        self._hardware = hardware
        self._store = store
        self._boot = boot

    def all(self) -> tuple[PnpDevice, ...]:
        """Every device, sorted by instance id."""
        found = [*self._pci(), *self._children(), *self._drives()]
        return tuple(sorted(found, key=lambda device: device.instance_id))

    def problem(self, name: DriverName) -> int:
        """The code of a driver's device; 28 too for a device that is not there."""
        if name is not DriverName.XENBUS and not self._hardware.bus_up:
            return NO_DRIVER
        return self._judge(name).problem

    def running(self, name: DriverName) -> Package | None:
        """The package whose driver works now."""
        verdict = self._judge(name)
        return verdict.package if self.problem(name) == WORKS else None

    def restart_needed(self, names: Iterable[DriverName]) -> bool:
        """Whether one of these devices waits for the next boot, be it for a new driver or without one."""
        return any(self.problem(name) == NEEDS_RESTART for name in names)

    def pending_reboots(self) -> tuple[PendingReboot, ...]:
        """Drivers whose package waits for the next boot. Taking one away asks by pnputil's exit code only."""
        waiting = [
            name for name in DriverName if self.problem(name) == NEEDS_RESTART and self._store.best(name)
        ]
        return tuple(PendingReboot(name) for name in sorted(waiting))

    def services(self, names: tuple[str, ...]) -> tuple[Service, ...]:
        """The named services that packages brought; they run while their device works."""
        known: dict[str, Service] = {}
        for name in DriverName:
            package = self._store.best(name)
            if package is None:
                continue
            state = "running" if self.problem(name) == WORKS else "stopped"
            for service in package.services:
                known[service.name.lower()] = Service(service.name, state, service.start)  # type: ignore[arg-type]
        return tuple(known[name.lower()] for name in names if name.lower() in known)

    def network_id(self, front: FrontEnd) -> str:
        """The instance id of a vif's device."""
        return f"{self._best_id(DriverName.XENNET)}\\{front.number}"

    # -- judgement

    def _judge(self, name: DriverName) -> _Verdict:
        package = self._store.best(name)
        before = self._boot.packages.get(name)
        works = self._works(name)
        if package is None:
            if name is not DriverName.XENIFACE and before and works:
                return _Verdict(NEEDS_RESTART, None)
            return _Verdict(NO_DRIVER, None)
        if name is DriverName.XENIFACE:
            return _Verdict(WORKS if works else NOT_STARTED, package)
        if package.sha256 != before:
            return _Verdict(NEEDS_RESTART, package)
        return _Verdict(WORKS if works else NOT_STARTED, package)

    def _works(self, name: DriverName) -> bool:
        hardware = self._hardware
        match name:
            case DriverName.XENBUS:
                return hardware.bus_up
            case DriverName.XENIFACE:
                return hardware.bus_up and xenstore_device(hardware.root).exists()
            case DriverName.XENVIF if DriverName.XENNET not in self._boot.packages:
                return hardware.bus_up and bool(hardware.front_ends("vif"))
            case DriverName.XENVIF | DriverName.XENNET:
                return any(front.works for front in hardware.front_ends("vif"))
            case DriverName.XENVBD:
                return any(front.works for front in hardware.front_ends("vbd"))

    # -- devices

    def _pci(self) -> Iterator[PnpDevice]:
        for device in self._hardware.pci_devices():
            if device.vendor == XEN_VENDOR:
                yield self._xen(
                    DriverName.XENBUS, device.instance_id, device.hardware_ids, device.compatible_ids
                )
            else:
                yield _plain_pci(device)

    def _children(self) -> Iterator[PnpDevice]:
        """What XENBUS shows while it runs, and XENVIF below it."""
        if not self._hardware.bus_up:
            return
        yield self._child(DriverName.XENIFACE)
        vifs = self._hardware.front_ends("vif")
        if vifs:
            yield self._child(DriverName.XENVIF)
        if self._hardware.front_ends("vbd"):
            yield self._child(DriverName.XENVBD)
        if self._store.best(DriverName.XENVIF) is None:
            return
        for front in vifs:
            yield self._network(front)

    def _child(self, name: DriverName) -> PnpDevice:
        return self._xen(name, f"{self._best_id(name)}\\_", child_ids(name), ())

    def _network(self, front: FrontEnd) -> PnpDevice:
        device = self._xen(DriverName.XENNET, self.network_id(front), child_ids(DriverName.XENNET), ())
        if device.problem not in {WORKS, NOT_STARTED}:
            return device
        # each interface is judged by itself
        return replace(device, problem=WORKS if front.works else NOT_STARTED)

    def _drives(self) -> Iterator[PnpDevice]:
        for drive in self._hardware.scsi_devices():
            kind = "CDROM" if drive.cdrom else "DISK"
            device_id = f"IDE\\{kind}{drive.model.replace(' ', '_').upper()}"
            yield PnpDevice(
                instance_id=f"{device_id}\\{drive.block.upper()}",
                name=drive.model,
                device_class="CDROM" if drive.cdrom else "DiskDrive",
                hardware_ids=(device_id,),
                compatible_ids=("GenCdRom" if drive.cdrom else "GenDisk",),
                problem=WORKS,
                service="cdrom" if drive.cdrom else "disk",
                driver_version="",
                driver_provider="",
                driver_inf="",
                signer="",
            )

    def _xen(
        self, name: DriverName, instance_id: str, ids: tuple[str, ...], compatible: tuple[str, ...]
    ) -> PnpDevice:
        verdict = self._judge(name)
        package = verdict.package
        model = package.model_for(ids) if package else None
        return PnpDevice(
            instance_id=instance_id,
            name=model.name if model else "",
            device_class=package.device_class if package else "",
            hardware_ids=ids,
            compatible_ids=compatible,
            problem=verdict.problem,
            service=package.services[0].name if package and package.services else "",
            driver_version=package.version if package else "",
            driver_provider=package.provider if package else "",
            driver_inf=package.published if package else "",
            signer=self._signer(package),
        )

    def _best_id(self, name: DriverName) -> str:
        """The id a device is named by: the one its package fits, else the newest."""
        package = self._store.best(name)
        model = package.model_for(child_ids(name)) if package else None
        return model.ids[0] if model else child_ids(name)[0]

    def _signer(self, package: Package | None) -> str:
        catalog = self._store.catalog_of(package) if package else None
        if catalog is None:
            return ""
        from harness.xenlab.standin.certificates import signer_of  # noqa: PLC0415 - slow in the guest

        return signer_of(catalog)


def _plain_pci(device: PciDevice) -> PnpDevice:
    return PnpDevice(
        instance_id=device.instance_id,
        name=f"PCI device {device.vendor:04x}:{device.device:04x}",
        device_class=_PCI_CLASSES.get(device.class_code >> 16, ""),
        hardware_ids=device.hardware_ids,
        compatible_ids=device.compatible_ids,
        problem=WORKS,  # the kernel's own drivers, or none needed: none of our business
        service=device.driver,
        driver_version="",
        driver_provider="",
        driver_inf="",
        signer="",
    )
