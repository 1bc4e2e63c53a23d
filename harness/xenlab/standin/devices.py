r"""Plug and play devices as Windows would list them, judged by what sysfs shows.

A device's problem code is the Configuration Manager's:

- 28: no package in the driver store fits it;
- 14: the package is not the one this boot began with, or the last one was taken away: it needs a restart.
  XENIFACE alone changes at once, as on Windows: opening xenstore needs no boot;
- 0: the kernel shows that it works: for XENBUS the platform device is bound and the hypervisor known, for
  XENNET and XENVBD a front end is bound and connected, for XENIFACE the xenstore device is there;
- 10: the boot began with the package, and yet sysfs does not show it working.

XENVIF has no part of the kernel to itself (xen-netfront is XENVIF and XENNET in one). With XENNET it is
judged by the front end; without, all it would do on Windows is to show the XENVIF\..&DEV_NET devices, and
so it does here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from harness.model import DriverName
from harness.operations import PendingReboot, PnpDevice, Service
from harness.xenlab.standin.bootrecord import BootRecord
from harness.xenlab.standin.driverstore import DriverStore
from harness.xenlab.standin.hardware import (
    XEN_VENDOR,
    FrontEnd,
    Hardware,
    HardwareView,
    PciDevice,
    child_ids,
)
from harness.xenlab.standin.inf import Package

__all__ = ["NEEDS_RESTART", "NO_DRIVER", "WORKS", "DeviceTree", "Devices"]

WORKS, NOT_STARTED, NEEDS_RESTART, NO_DRIVER = 0, 10, 14, 28

# PCI class codes (upper byte) and Windows' device classes for them.
_PCI_CLASSES = {0x01: "HDC", 0x02: "Net", 0x03: "Display", 0x06: "System"}


class Devices:
    """The device tree of this boot. Each question looks at the kernel anew, once."""

    def __init__(self, hardware: Hardware, store: DriverStore, boot: BootRecord) -> None:
        self._hardware = hardware
        self._store = store
        self._boot = boot

    def now(self) -> DeviceTree:
        """The tree as it is at this moment."""
        return DeviceTree(self._hardware.look(), self._store, self._boot)

    def all(self) -> tuple[PnpDevice, ...]:
        """Every device, sorted by instance id."""
        return self.now().devices()

    def pending_reboots(self) -> tuple[PendingReboot, ...]:
        """Drivers whose package waits for the next boot. Taking one away asks by pnputil's exit code only."""
        tree = self.now()
        waiting = [name for name in DriverName if tree.problem(name) == NEEDS_RESTART and tree.package(name)]
        return tuple(PendingReboot(name) for name in sorted(waiting))

    def services(self, names: tuple[str, ...]) -> tuple[Service, ...]:
        """The named services that packages brought; they run while their device works."""
        tree = self.now()
        known: dict[str, Service] = {}
        for name in DriverName:
            package = tree.package(name)
            if package is None:
                continue
            state: Literal["running", "stopped"] = "running" if tree.problem(name) == WORKS else "stopped"
            for service in package.services:
                known[service.name.lower()] = Service(service.name, state, service.start)
        return tuple(known[name.lower()] for name in names if name.lower() in known)


class DeviceTree:
    """The devices at one moment."""

    def __init__(self, view: HardwareView, store: DriverStore, boot: BootRecord) -> None:
        self._view = view
        self._store = store
        self._boot = boot
        self._packages = {name: store.best(name) for name in DriverName}
        self._problems = {name: self._judge(name) for name in DriverName}

    def devices(self) -> tuple[PnpDevice, ...]:
        """All, sorted by instance id."""
        found = [*self._pci(), *self._children(), *self._drives()]
        return tuple(sorted(found, key=lambda device: device.instance_id))

    def package(self, name: DriverName) -> Package | None:
        """The package that fits a driver's device best."""
        return self._packages[name]

    def problem(self, name: DriverName) -> int:
        """The code of a driver's device; 28 too for a device that is not there."""
        return self._problems[name]

    def running(self, name: DriverName) -> Package | None:
        """The package whose driver works now."""
        return self.package(name) if self.problem(name) == WORKS else None

    def network_id(self, number: int) -> str:
        """The instance id of a vif's device."""
        return f"{self._best_id(DriverName.XENNET)}\\{number}"

    # -- judgement

    def _judge(self, name: DriverName) -> int:
        if name is not DriverName.XENBUS and not self._view.bus_up:
            return NO_DRIVER
        package = self._packages[name]
        before = self._boot.packages.get(name)
        works = self._works(name)
        if name is DriverName.XENIFACE:
            return (WORKS if works else NOT_STARTED) if package else NO_DRIVER
        if package is None:
            return NEEDS_RESTART if before and works else NO_DRIVER
        if package.sha256 != before:
            return NEEDS_RESTART
        return WORKS if works else NOT_STARTED

    def _works(self, name: DriverName) -> bool:
        view = self._view
        match name:
            case DriverName.XENBUS:
                return view.bus_up
            case DriverName.XENIFACE:
                return view.xenstore
            case DriverName.XENVIF if DriverName.XENNET not in self._boot.packages:
                return bool(view.vifs)
            case DriverName.XENVIF | DriverName.XENNET:
                return any(front.works for front in view.vifs)
            case DriverName.XENVBD:
                return any(front.works for front in view.vbds)

    # -- devices

    def _pci(self) -> Iterator[PnpDevice]:
        for device in self._view.pci:
            if device.vendor == XEN_VENDOR:
                yield self._xen(
                    DriverName.XENBUS, device.instance_id, device.hardware_ids, device.compatible_ids
                )
            else:
                yield _plain_pci(device)

    def _children(self) -> Iterator[PnpDevice]:
        """What XENBUS shows while it runs, and XENVIF below it."""
        if not self._view.bus_up:
            return
        yield self._child(DriverName.XENIFACE)
        if self._view.vifs:
            yield self._child(DriverName.XENVIF)
        if self._view.vbds:
            yield self._child(DriverName.XENVBD)
        if self._packages[DriverName.XENVIF] is not None:
            yield from map(self._network, self._view.vifs)

    def _child(self, name: DriverName) -> PnpDevice:
        return self._xen(name, f"{self._best_id(name)}\\_", child_ids(name), ())

    def _network(self, front: FrontEnd) -> PnpDevice:
        name = DriverName.XENNET
        device = self._xen(name, self.network_id(front.number), child_ids(name), ())
        if device.problem not in {WORKS, NOT_STARTED}:
            return device
        # each interface is judged by itself
        return replace(device, problem=WORKS if front.works else NOT_STARTED)

    def _drives(self) -> Iterator[PnpDevice]:
        for drive in self._view.drives:
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
        package = self._packages[name]
        model = package.model_for(ids) if package else None
        return PnpDevice(
            instance_id=instance_id,
            name=model.name if model else "",
            device_class=package.device_class if package else "",
            hardware_ids=ids,
            compatible_ids=compatible,
            problem=self._problems[name],
            service=package.services[0].name if package and package.services else "",
            driver_version=package.version if package else "",
            driver_provider=package.provider if package else "",
            driver_inf=package.published if package else "",
            signer=self._signer(package),
        )

    def _best_id(self, name: DriverName) -> str:
        """The id a device is named by: the one its package fits, else the newest."""
        package = self._packages[name]
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
