"""libvirt's XML as far as the simulator reads and shows it."""

from __future__ import annotations

import uuid
from xml.etree import ElementTree as ET

from harness.simlab.host.domain import Domain
from harness.simlab.xl.config import DiskConfig, DomainConfig, NicConfig

__all__ = ["XmlError", "parse_device", "parse_domain", "show_domain"]

_BOOT_LETTERS = {"hd": "c", "cdrom": "d"}
_SOURCES = {"file": "file", "block": "dev"}
_KIB = {"KiB": 1, "MiB": 1024, "GiB": 1 << 20}


class XmlError(Exception):
    """What libvirt says about a description that it cannot take."""


def parse_domain(text: str, random_bytes: bytes) -> DomainConfig:
    """A domain's description. ``random_bytes`` (16) make the UUID it leaves out.

    Raises:
        XmlError: it is no XML, or no domain that libxl could make.
    """
    domain = _parsed(text)
    if domain.tag != "domain" or domain.get("type") != "xen" or domain.findtext("os/type") != "hvm":
        raise XmlError("unsupported configuration: no HVM domain of type xen")
    memory = _mib(domain, "currentMemory") or _mib(domain, "memory")
    screen = domain.find("devices/video") is not None
    serial = domain.find("devices/serial[@type='file']/source")
    keys: dict[str, int | str | list[str]] = {
        "vga": "stdvga" if screen else "none",
        "on_poweroff": domain.findtext("on_poweroff", "destroy"),
        "on_reboot": domain.findtext("on_reboot", "restart"),
        "on_crash": domain.findtext("on_crash", "destroy"),
        "boot": "".join(_BOOT_LETTERS.get(boot.get("dev", ""), "") for boot in domain.iterfind("os/boot")),
    }
    if domain.find("os[@firmware='efi']") is not None:
        keys["bios"] = "ovmf"
    if serial is not None:
        keys["serial"] = f"file:{serial.get('path', '')}"
    return DomainConfig(
        name=domain.findtext("name", ""),
        uuid=domain.findtext("uuid") or str(uuid.UUID(bytes=random_bytes[:16], version=4)),
        memory=memory,
        maxmem=_mib(domain, "memory"),
        vcpus=_number(domain.findtext("vcpu", "1")),
        disks=tuple(_disk(disk) for disk in domain.iterfind("devices/disk")),
        nics=tuple(_nic(nic) for nic in domain.iterfind("devices/interface")),
        videoram=16 if screen else 0,
        keys=keys,
    )


def parse_device(text: str) -> DiskConfig | NicConfig:
    """A disk or an interface.

    Raises:
        XmlError: it is neither.
    """
    device = _parsed(text)
    if device.tag == "disk":
        return _disk(device)
    if device.tag == "interface":
        return _nic(device)
    raise XmlError(f"unsupported configuration: a device {device.tag}")


def show_domain(domain: Domain) -> str:
    """The description of a domain that runs (recorded: libvirt-9.0-xen-4.17/virsh-dumpxml.txt)."""
    root = ET.Element("domain", type="xen", id=str(domain.domid))
    for name, text in (("name", domain.name), ("uuid", domain.config.uuid)):
        ET.SubElement(root, name).text = text
    ET.SubElement(root, "memory", unit="KiB").text = str(domain.maxmem)
    ET.SubElement(root, "currentMemory", unit="KiB").text = str(domain.memory)
    ET.SubElement(root, "vcpu", placement="static").text = str(domain.config.vcpus)
    system = ET.SubElement(root, "os")
    ET.SubElement(system, "type", arch="x86_64", machine="xenfv").text = "hvm"
    devices = ET.SubElement(root, "devices")
    for _, disk in sorted(domain.disks.items()):
        kind = "cdrom" if disk.config.cdrom else "disk"
        block = disk.config.path.startswith("/dev/")
        element = ET.SubElement(devices, "disk", type="block" if block else "file", device=kind)
        ET.SubElement(element, "driver", name="phy" if block else "qemu", type=disk.config.image_format)
        if disk.config.path:
            ET.SubElement(element, "source", {"dev" if block else "file": disk.config.path})
        bus = "ide" if disk.vdev.name.startswith("hd") else "xen"
        ET.SubElement(element, "target", dev=disk.vdev.name, bus=bus)
    for index, nic in sorted(domain.nics.items()):
        element = ET.SubElement(devices, "interface", type="bridge")
        ET.SubElement(element, "mac", address=nic.config.mac)
        ET.SubElement(element, "source", bridge=nic.config.bridge)
        ET.SubElement(element, "target", dev=f"vif{domain.domid}.{index}-emu")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _parsed(text: str) -> ET.Element:
    try:
        return ET.fromstring(text)  # noqa: S314  # from the harness itself
    except ET.ParseError as error:
        raise XmlError(f"(domain_definition): {error}") from error


def _mib(domain: ET.Element, name: str) -> int:
    element = domain.find(name)
    if element is None or not element.text:
        return 0
    unit = element.get("unit", "KiB")
    if unit not in _KIB:
        raise XmlError(f"invalid argument: unknown suffix '{unit}'")
    return _number(element.text) * _KIB[unit] // 1024


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise XmlError(f"XML error: invalid number '{text[:40]}'") from error


def _disk(disk: ET.Element) -> DiskConfig:
    source, target, driver = disk.find("source"), disk.find("target"), disk.find("driver")
    cdrom = disk.get("device") == "cdrom"
    return DiskConfig(
        path=source.get(_SOURCES[disk.get("type", "file")], "") if source is not None else "",
        vdev=target.get("dev", "") if target is not None else "",
        image_format=driver.get("type", "raw") if driver is not None else "raw",
        read_only=cdrom or disk.find("readonly") is not None,
        cdrom=cdrom,
    )


def _nic(nic: ET.Element) -> NicConfig:
    mac, source, model = nic.find("mac"), nic.find("source"), nic.find("model")
    kind = model.get("type", "rtl8139") if model is not None else "rtl8139"
    return NicConfig(
        mac=mac.get("address", "").lower() if mac is not None else "",
        bridge=source.get("bridge", "") if source is not None else "",
        model=None if kind == "netfront" else kind,
        model_given=model is not None,
    )
