"""What the kernel shows: PCI devices, Xen front ends, emulated drives; read when it is asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness.model import DriverName

__all__ = [
    "BUS_ID",
    "FrontEnd",
    "Hardware",
    "HardwareView",
    "PciDevice",
    "ScsiDevice",
    "child_ids",
    "driver_of",
]

XEN_VENDOR = 0x5853
XENSTORE_DEVICE = "dev/xen/xenbus"  # relative to the root; there only while XENIFACE is
BUS_ID = r"PCI\VEN_5853&DEV_0001"
# The ids a real XENBUS would give its children, by revision from 8.1 to 9.1 (facts/pv-drivers.md 1.1). A real
# one offers those of its own version; which that is cannot be asked of a Linux kernel, so all are offered.
_REVISIONS = {
    DriverName.XENIFACE: ("0900000B", "0800000B", "08000009"),
    DriverName.XENVIF: ("0900000B", "0900000A", "0800000B", "08000009"),
    DriverName.XENNET: ("09000005", "09000004", "0800000D", "0800000A"),
    DriverName.XENVBD: ("0900000B", "08000009"),
}
_CHILDREN = {
    DriverName.XENIFACE: r"XENBUS\VEN_{vendor}&DEV_IFACE",
    DriverName.XENVIF: r"XENBUS\VEN_{vendor}&DEV_VIF",
    DriverName.XENNET: r"XENVIF\VEN_{vendor}&DEV_NET",
    DriverName.XENVBD: r"XENBUS\VEN_{vendor}&DEV_VBD",
}
_PREFIX = "XP0001"  # a Xen Project build's; other builders' packages do not fit these devices
_CHILD_ID = re.compile(r"XEN(?:BUS|VIF)\\VEN_\w+&DEV_(IFACE|VIF|NET|VBD)&REV_\w+", re.IGNORECASE)
_BY_DEVICE = {
    "IFACE": DriverName.XENIFACE,
    "VIF": DriverName.XENVIF,
    "NET": DriverName.XENNET,
    "VBD": DriverName.XENVBD,
}
_FRONT_END = re.compile(r"(vif|vbd)-(\d+)")
_CONNECTED = "Connected"  # xenbus_strstate() of state 4: Linux drivers/xen/xenbus/xenbus_client.c


def child_ids(name: DriverName) -> tuple[str, ...]:
    """The hardware ids of a device that XENBUS or XENVIF makes, the newest first."""
    base = _CHILDREN[name].format(vendor=_PREFIX)
    return tuple(f"{base}&REV_{revision}" for revision in _REVISIONS[name])


def driver_of(hardware_id: str) -> DriverName | None:
    """Which of the five packages a hardware id calls for."""
    if hardware_id.upper().startswith(r"PCI\VEN_5853"):
        return DriverName.XENBUS
    match = _CHILD_ID.fullmatch(hardware_id)
    return _BY_DEVICE[match[1].upper()] if match else None


@dataclass(frozen=True)
class PciDevice:
    """A PCI device; ``driver`` is what the kernel bound to it, empty for nothing."""

    slot: str
    vendor: int
    device: int
    subsystem_vendor: int
    subsystem: int
    revision: int
    class_code: int
    driver: str

    @property
    def hardware_ids(self) -> tuple[str, ...]:
        r"""As Windows forms them, the most exact first."""
        short = f"PCI\\VEN_{self.vendor:04X}&DEV_{self.device:04X}"
        subsystem = f"&SUBSYS_{self.subsystem:04X}{self.subsystem_vendor:04X}"
        return (f"{short}{subsystem}&REV_{self.revision:02X}", f"{short}{subsystem}", short)

    @property
    def compatible_ids(self) -> tuple[str, ...]:
        """By vendor and class."""
        return (f"PCI\\VEN_{self.vendor:04X}", f"PCI\\CC_{self.class_code >> 8:04X}")

    @property
    def instance_id(self) -> str:
        """Unique: the slot stands at its end, as on Windows."""
        device, function = (int(part, 16) for part in self.slot.rpartition(":")[2].split("."))
        return f"{self.hardware_ids[0]}\\3&267A616A&0&{device << 3 | function:02X}"


@dataclass(frozen=True)
class FrontEnd:
    """A vif or vbd on the kernel's xen bus."""

    kind: str
    number: int
    driver: str
    state: str

    @property
    def works(self) -> bool:
        """Whether a front end is bound and connected."""
        return self.driver == self.kind and self.state == _CONNECTED


@dataclass(frozen=True)
class ScsiDevice:
    """An emulated drive: ``block`` is sda or sr0."""

    block: str
    model: str
    cdrom: bool


@dataclass(frozen=True)
class HardwareView:
    """What the kernel showed at one moment; everything sorted."""

    pci: tuple[PciDevice, ...]
    vifs: tuple[FrontEnd, ...]
    vbds: tuple[FrontEnd, ...]
    drives: tuple[ScsiDevice, ...]
    bus_up: bool
    """Whether the kernel speaks with Xen: the platform device is bound and the hypervisor known."""
    xenstore: bool
    """Whether programs can open xenstore."""


class Hardware:
    """The kernel's view, below ``root``."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self._sys = root / "sys"

    def look(self) -> HardwareView:
        """All of it, now."""
        pci = self.pci_devices()
        platform = any(device.vendor == XEN_VENDOR and device.driver for device in pci)
        return HardwareView(
            pci=pci,
            vifs=self.front_ends("vif"),
            vbds=self.front_ends("vbd"),
            drives=self.scsi_devices(),
            bus_up=platform and _text(self._sys / "hypervisor/type") == "xen",
            xenstore=(self.root / XENSTORE_DEVICE).exists(),
        )

    def pci_devices(self) -> tuple[PciDevice, ...]:
        """All, sorted by slot."""
        return tuple(_pci_device(path) for path in sorted((self._sys / "bus/pci/devices").glob("*")))

    def front_ends(self, kind: str) -> tuple[FrontEnd, ...]:
        """Those of a kind, ``vif`` or ``vbd``, sorted by number."""
        found = []
        for path in (self._sys / "bus/xen/devices").glob(f"{kind}-*"):
            match = _FRONT_END.fullmatch(path.name)
            if match:
                found.append(FrontEnd(kind, int(match[2]), _driver(path), _text(path / "state")))
        return tuple(sorted(found, key=lambda one: one.number))

    def scsi_devices(self) -> tuple[ScsiDevice, ...]:
        """Emulated disks and CD drives, sorted by name."""
        found = []
        for path in sorted((self._sys / "block").glob("s*")):
            if (path / "device/model").exists():
                model = _text(path / "device/model")
                found.append(ScsiDevice(path.name, model, _text(path / "device/type") == "5"))
        return tuple(found)


def _pci_device(path: Path) -> PciDevice:
    def number(name: str) -> int:
        return int(_text(path / name) or "0", 16)

    return PciDevice(
        slot=path.name,
        vendor=number("vendor"),
        device=number("device"),
        subsystem_vendor=number("subsystem_vendor"),
        subsystem=number("subsystem_device"),
        revision=number("revision"),
        class_code=number("class"),
        driver=_driver(path),
    )


def _driver(path: Path) -> str:
    link = path / "driver"
    return link.resolve().name if link.exists() else ""


def _text(path: Path) -> str:
    """A file of sysfs; what vanishes in between, or cannot be read, is empty."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
