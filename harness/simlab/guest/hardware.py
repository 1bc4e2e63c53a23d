"""Devices Windows finds without any of our drivers: a few of the PC, the Xen platform device, emulated twins.

Identities are those of QEMU's devices; drivers and services of Windows itself are guesses in detail.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from harness.operations import PnpDevice
from harness.simlab.machine import MachineDisk, MachineNic

__all__ = ["PLATFORM_IDS", "PLATFORM_INSTANCE", "emulated_instance", "inbox_devices"]

# xen-pci-device-reservations(7): 5853:0001 is what xl gives (xen_platform_pci=1)
PLATFORM_IDS = (
    "PCI\\VEN_5853&DEV_0001&SUBSYS_00015853&REV_01",
    "PCI\\VEN_5853&DEV_0001&SUBSYS_00015853",
    "PCI\\VEN_5853&DEV_0001&REV_01",
    "PCI\\VEN_5853&DEV_0001",
)
PLATFORM_INSTANCE = f"{PLATFORM_IDS[0]}\\3&267A616A&0&10"

_NICS = {
    "e1000": (
        "PCI\\VEN_8086&DEV_100E&SUBSYS_11001AF4&REV_03",
        "Intel(R) PRO/1000 MT Network Connection",
        "E1G60",
        "nete1g3e.inf",
    ),
    "rtl8139": (
        "PCI\\VEN_10EC&DEV_8139&SUBSYS_11001AF4&REV_20",
        "Realtek RTL8139C+ Fast Ethernet NIC",
        "RTL8023x64",
        "netrtx64.inf",
    ),
}
_FIRST_NIC_SLOT = 4


class _Inbox(NamedTuple):
    instance: str
    name: str
    device_class: str
    service: str
    inf: str


_PC = (
    _Inbox("ACPI\\PNP0303\\0", "Standard PS/2 Keyboard", "Keyboard", "i8042prt", "keyboard.inf"),
    _Inbox(
        "PCI\\VEN_8086&DEV_7010&SUBSYS_11001AF4&REV_00\\3&267A616A&0&09",
        "Intel(R) 82371SB PCI Bus Master IDE Controller",
        "hdc",
        "intelide",
        "mshdc.inf",
    ),
    _Inbox(
        "PCI\\VEN_1234&DEV_1111&SUBSYS_11001AF4&REV_02\\3&267A616A&0&18",
        "Microsoft Basic Display Adapter",
        "Display",
        "BasicDisplay",
        "display.inf",
    ),
)


def emulated_instance(nic: MachineNic) -> tuple[str, str]:
    """Instance id and description of an interface's emulated twin."""
    hardware_id, name, *_ = _NICS.get(nic.model or "", _NICS["e1000"])
    return f"{hardware_id}\\3&267A616A&0&{(_FIRST_NIC_SLOT + nic.index) << 3:X}", name


def inbox_devices(
    nics: Iterable[MachineNic], disks: Iterable[MachineDisk], version: str
) -> Iterator[PnpDevice]:
    """Every device that Windows drives by itself."""
    for device in _PC:
        yield _device(device, version)
    for nic in nics:
        if nic.model is not None:
            hardware_id, name, service, inf = _NICS.get(nic.model, _NICS["e1000"])
            instance, _ = emulated_instance(nic)
            yield _device(_Inbox(instance, name, "Net", service, inf), version, hardware_id)
    for disk in disks:
        number = f"5&{disk.number:08X}&0"
        if disk.cdrom:
            instance = f"IDE\\CDROMQEMU_DVD-ROM_________________________2.5+____\\{number}&1.0.0"
            yield _device(_Inbox(instance, "QEMU DVD-ROM", "CDROM", "cdrom", "cdrom.inf"), version)
        elif disk.emulated:
            instance = f"IDE\\DISKQEMU_HARDDISK___________________________2.5+____\\{number}&0.0.0"
            yield _device(_Inbox(instance, "QEMU HARDDISK", "DiskDrive", "disk", "disk.inf"), version)


def _device(device: _Inbox, version: str, hardware_id: str = "") -> PnpDevice:
    return PnpDevice(
        instance_id=device.instance,
        name=device.name,
        device_class=device.device_class,
        hardware_ids=(hardware_id or device.instance.rpartition("\\")[0],),
        compatible_ids=(),
        problem=0,
        service=device.service,
        driver_version=f"{version}.1",
        driver_provider="Microsoft",
        driver_inf=device.inf,
        signer="Microsoft Windows",
    )
