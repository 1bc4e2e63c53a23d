"""What a guest shows of its drivers, held against the build's INFs. Pure but for ``look_at_guest``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.guest.guest import Guest
from harness.install.outcome import DriverFault
from harness.install.problems import NEED_RESTART, describe_problem
from harness.model import DriverName
from harness.operations import Disk, NetworkAdapter, PnpDevice, Service
from harness.package import BuildPackage, DriverBuild, version_numbers

__all__ = [
    "GuestView",
    "Hardware",
    "answerable_for_nic",
    "devices_of",
    "driver_faults",
    "emulated_faults",
    "has_pv_disk",
    "has_pv_nic",
    "look_at_guest",
    "reachable",
    "waiting_devices",
]

_NIC = frozenset({DriverName.XENBUS, DriverName.XENVIF, DriverName.XENNET})
_DISK = frozenset({DriverName.XENBUS, DriverName.XENVBD})
# QEMU names its disks so (hw/ide/core.c, hw/scsi/scsi-disk.c); CD drives are no disks here
_EMULATED_DISK = "QEMU HARDDISK"
_PCI, _XENVIF = "PCI\\", "XENVIF\\"


@dataclass(frozen=True)
class GuestView:
    """One look at a guest."""

    devices: tuple[PnpDevice, ...]
    services: tuple[Service, ...]
    adapters: tuple[NetworkAdapter, ...]
    disks: tuple[Disk, ...]


@dataclass(frozen=True)
class Hardware:
    """What the domain was given: its interfaces by MAC, its disks by Xen target id.

    ``pv_macs`` are those without an emulated twin.
    """

    twin_macs: tuple[str, ...]
    pv_macs: tuple[str, ...]
    targets: tuple[int, ...]


def look_at_guest(guest: Guest, build: DriverBuild) -> GuestView:
    """Ask the guest for devices, services, adapters and disks."""
    names = tuple(service.name for package in build.packages for service in package.services)
    return GuestView(
        devices=guest.operations.pnp_devices(prefix=""),
        services=guest.operations.services(names=names),
        adapters=guest.operations.network_adapters(),
        disks=guest.operations.disks(),
    )


def has_pv_nic(build: DriverBuild) -> bool:
    """Whether interfaces work by PV with these packages: the vif needs all three."""
    return set(build.names) >= _NIC


def has_pv_disk(build: DriverBuild) -> bool:
    """Whether disks work by PV with these packages."""
    return set(build.names) >= _DISK


def reachable(build: DriverBuild) -> DriverBuild:
    """The part whose devices there can be: without the driver that makes its device, one has none."""
    if DriverName.XENBUS not in build.names:
        return build.only()
    return build if DriverName.XENVIF in build.names else build.without(DriverName.XENNET)


def devices_of(package: BuildPackage, devices: tuple[PnpDevice, ...]) -> tuple[PnpDevice, ...]:
    """The devices a package is for: those one of whose ids is one of its INF's."""
    wanted = {identifier.lower() for identifier in package.inf.hardware_ids}
    return tuple(
        device
        for device in devices
        if not wanted.isdisjoint(text.lower() for text in (*device.hardware_ids, *device.compatible_ids))
    )


def waiting_devices(build: DriverBuild, view: GuestView) -> tuple[str, ...]:
    """Devices of the build's drivers that need a reboot."""
    return tuple(
        f"{package.name} ({device.instance_id})"
        for package in build.packages
        for device in devices_of(package, view.devices)
        if device.problem == NEED_RESTART
    )


def driver_faults(build: DriverBuild, view: GuestView) -> Iterator[DriverFault]:
    """Devices that are missing, have a problem or another driver; services that do not run."""
    states = {service.name.lower(): service.state for service in view.services}
    for package in build.packages:
        devices = devices_of(package, view.devices)
        if not devices:
            ids = ", ".join(package.inf.hardware_ids)
            yield DriverFault(
                package.name, f"there is no device for it ({ids}): is the driver below it working?"
            )
        for device in devices:
            yield from _device_faults(package, device)
        for service in package.services:
            state = states.get(service.name.lower(), "missing")
            if state != "running" and service.start != "disabled":
                yield DriverFault(package.name, f"service {service.name} is {state}, not running")


def _device_faults(package: BuildPackage, device: PnpDevice) -> Iterator[DriverFault]:
    subject = f"device {device.instance_id}"
    if device.problem:
        yield DriverFault(package.name, f"{subject} has {describe_problem(device.problem)}")
        return
    wanted, found = version_numbers(package.version), version_numbers(device.driver_version)
    if wanted != found:
        yield DriverFault(
            package.name,
            f"{subject} runs version {device.driver_version or 'of no driver'}, "
            f"{package.inf_name} says {package.version}",
        )


def answerable_for_nic(faults: Iterable[DriverFault]) -> DriverName:
    """Who is answerable for an interface that does not become PV: XENNET when only it does not work."""
    failing = {fault.driver for fault in faults}
    return DriverName.XENNET if failing == {DriverName.XENNET} else DriverName.XENVIF


def emulated_faults(
    build: DriverBuild, view: GuestView, hardware: Hardware, *, nic: DriverName = DriverName.XENVIF
) -> Iterator[DriverFault]:
    """Emulated interfaces and disks that are still there, or PV ones that are not.

    The reverse where the build has not all the packages it takes. ``nic`` is answerable for
    interfaces that stay emulated.
    """
    if has_pv_nic(build):
        yield from _pv_nic_faults(view, hardware, nic)
    else:
        yield from _emulated_nic_faults(view, hardware, nic)
    if has_pv_disk(build):
        yield from _pv_disk_faults(view, hardware)
    elif not any(_is_emulated(disk) for disk in view.disks):
        yield DriverFault(DriverName.XENVBD, "the emulated disk is gone though no driver replaces it")


def _pv_nic_faults(view: GuestView, hardware: Hardware, answerable: DriverName) -> Iterator[DriverFault]:
    for mac in (*hardware.twin_macs, *hardware.pv_macs):
        if _adapter(view, mac, _PCI) is not None:
            yield DriverFault(answerable, f"the emulated interface {mac} is still there")
        adapter = _adapter(view, mac, _XENVIF)
        if adapter is None:
            yield DriverFault(DriverName.XENNET, f"there is no PV interface {mac}")
        elif not adapter.up:
            yield DriverFault(DriverName.XENNET, f"the PV interface {mac} ({adapter.name}) is down")


def _emulated_nic_faults(
    view: GuestView, hardware: Hardware, answerable: DriverName
) -> Iterator[DriverFault]:
    for mac in hardware.twin_macs:
        adapter = _adapter(view, mac, _PCI)
        if adapter is None:
            yield DriverFault(
                answerable, f"the emulated interface {mac} is gone though no driver replaces it"
            )
        elif not adapter.up:
            yield DriverFault(answerable, f"the emulated interface {mac} is down")


def _adapter(view: GuestView, mac: str, bus: str) -> NetworkAdapter | None:
    for adapter in view.adapters:
        if adapter.mac == mac and adapter.instance_id.upper().startswith(bus):
            return adapter
    return None


def _pv_disk_faults(view: GuestView, hardware: Hardware) -> Iterator[DriverFault]:
    for disk in view.disks:
        if _is_emulated(disk):
            yield DriverFault(
                DriverName.XENVBD, f"the emulated disk {disk.number} ({disk.name}) is still there"
            )
    present = {disk.target for disk in view.disks}
    for target in hardware.targets:
        if target not in present:
            yield DriverFault(DriverName.XENVBD, f"there is no PV disk with target {target}")


def _is_emulated(disk: Disk) -> bool:
    return disk.target < 0 and _EMULATED_DISK in disk.name.upper()
