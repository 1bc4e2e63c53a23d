"""Writing INFs for synthetic builds, in the shape of the five Xen drivers' own.

Ids, classes, services and files are those of the 9.x drivers (win-xenbus src/xenbus.inf and its
sisters; facts/pv-drivers.md 1.1); nothing else of theirs is here.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from harness.model import Arch, DriverName

__all__ = ["MARK", "DriverShape", "ServiceShape", "ids_of", "make_inf", "shape_of"]

MARK = "synthetic"  # stands in provider, description and comment of what is made here
_DECORATIONS = {Arch.X86: "NTx86", Arch.X64: "NTamd64"}
_STARTS = {"boot": 0, "auto": 2, "demand": 3}
_GUIDS = {
    "System": "{4d36e97d-e325-11ce-bfc1-08002be10318}",
    "Net": "{4d36e972-e325-11ce-bfc1-08002be10318}",
    "SCSIAdapter": "{4d36e97b-e325-11ce-bfc1-08002be10318}",
}


@dataclass(frozen=True)
class ServiceShape:
    """A service of a package; ``function`` for the device's own driver."""

    name: str
    start: str
    binary: str
    function: bool = False

    @property
    def kernel(self) -> bool:
        """Whether it is a driver, not a program."""
        return self.binary.endswith(".sys")


@dataclass(frozen=True)
class DriverShape:
    """What tells one package from the others. ``more`` are files that no service names."""

    device_class: str
    description: str
    bus: str  # what enumerates its device
    services: tuple[ServiceShape, ...]
    more: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Every file but INF and catalog."""
        return (*dict.fromkeys(service.binary for service in self.services), *self.more)


_SHAPES = {
    DriverName.XENBUS: DriverShape(
        "System",
        "PV Bus",
        "",
        (
            ServiceShape("xenbus", "boot", "xenbus.sys", function=True),
            ServiceShape("xenfilt", "boot", "xenfilt.sys"),
            ServiceShape("xenbus_monitor", "auto", "xenbus_monitor.exe"),
        ),
        ("xen.sys",),
    ),
    DriverName.XENIFACE: DriverShape(
        "System",
        "PV Interface",
        "XENBUS\\VEN_{vendor}&DEV_IFACE&REV_0900000B",
        (
            ServiceShape("xeniface", "demand", "xeniface.sys", function=True),
            ServiceShape("xenagent", "auto", "xenagent.exe"),
        ),
    ),
    DriverName.XENVIF: DriverShape(
        "System",
        "PV Network Class",
        "XENBUS\\VEN_{vendor}&DEV_VIF&REV_0900000B",
        (ServiceShape("xenvif", "demand", "xenvif.sys", function=True),),
    ),
    DriverName.XENNET: DriverShape(
        "Net",
        "PV Network Device",
        "XENVIF\\VEN_{vendor}&DEV_NET&REV_09000005",
        (ServiceShape("xennet", "demand", "xennet.sys", function=True),),
    ),
    DriverName.XENVBD: DriverShape(
        "SCSIAdapter",
        "PV Storage Host Adapter",
        "XENBUS\\VEN_{vendor}&DEV_VBD&REV_0900000B",
        (
            ServiceShape("xenvbd", "boot", "xenvbd.sys", function=True),
            ServiceShape("xendisk", "boot", "xendisk.sys"),
        ),
        ("xencrsh.sys",),
    ),
}


def shape_of(name: DriverName) -> DriverShape:
    """What a package consists of."""
    return _SHAPES[name]


def ids_of(name: DriverName, prefix: str) -> tuple[str, ...]:
    """The hardware ids a package binds, for a vendor prefix (XP, XS, XN)."""
    if name is DriverName.XENBUS:
        return ("PCI\\VEN_5853&DEV_0002", "PCI\\VEN_5853&DEV_0001")
    bus = _SHAPES[name].bus
    return tuple(bus.format(vendor=f"{prefix}{device}") for device in ("0001", "0002"))


def make_inf(name: DriverName, arch: Arch, version: str, *, date: dt.date, prefix: str, listed: str) -> str:
    """The text of a package's INF; ``listed`` is the catalog's file name, empty for none."""
    shape = _SHAPES[name]
    device = f"{name}_Device"
    decoration = _DECORATIONS[arch]
    lines = [
        f"; {MARK}: made by pvhck for its own tests. There is no driver in this package.",
        "[Version]",
        'Signature="$WINDOWS NT$"',
        f"Class={shape.device_class}",
        f"ClassGuid={_GUIDS[shape.device_class]}",
        "Provider=%Vendor%",
        *([f"CatalogFile={listed}"] if listed else []),
        f"DriverVer={date:%m/%d/%Y},{version}",
        "PnpLockdown=1",
        "",
        "[DestinationDirs]",
        "DefaultDestDir=13",
        "",
        "[SourceDisksNames]",
        "1=%Disk%",
        "",
        "[SourceDisksFiles]",
        *[f"{file}=1,," for file in shape.files],
        "",
        "[Manufacturer]",
        f"%Vendor%=Models,{decoration}",
        "",
        f"[Models.{decoration}]",
        *[f"%Device%={device},{identifier}" for identifier in ids_of(name, prefix)],
        "",
        f"[{device}]",
        f"CopyFiles={device}_Files",
        "",
        f"[{device}_Files]",
        *shape.files,
        "",
        f"[{device}.Services]",
        *[_add_service(service) for service in shape.services],
        "",
    ]
    for service in shape.services:
        lines += _service_section(service)
    lines += [
        "[Strings]",
        f'Vendor="pvhck ({MARK})"',
        f'Disk="{shape.description} package ({MARK})"',
        f'Device="Xen {shape.description} ({MARK})"',
        "",
    ]
    return "\r\n".join(lines)


def _add_service(service: ServiceShape) -> str:
    return f"AddService={service.name},{'0x2' if service.function else ''},{service.name}_Service"


def _service_section(service: ServiceShape) -> list[str]:
    return [
        f"[{service.name}_Service]",
        f"ServiceType={'0x1' if service.kernel else '0x10'}",
        f"StartType={_STARTS[service.start]}",
        "ErrorControl=1",
        f"ServiceBinary=%13%\\{service.binary}",
        "",
    ]
