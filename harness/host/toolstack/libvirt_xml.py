"""A ``DomainSpec`` and its devices as libvirt's XML (formatdomain.html; the libxl driver, libvirt 9.0)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from harness.errors import ConfigurationError, OutputNotUnderstood
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.toolstack.protocol import Description
from harness.lab import Firmware

__all__ = [
    "HostPrograms",
    "disk_of",
    "disk_xml",
    "domain_xml",
    "nic_of",
    "nic_xml",
    "parse_xml_description",
]

# Keys of xl.cfg(5) that mean the same here whatever their value, or what libvirt does anyway.
_SAID_OTHERWISE = {"hdtype", "usb", "usbdevice", "vga", "vnc"}
_BOOT_DEVICES = {"c": "hd", "d": "cdrom"}
# XML 1.0, section 2.2; line ends and tabs of texts do not come back as they were.
_NOT_XML = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_TSC_MODES = {"native": "native", "always_emulate": "emulate", "native_paravirt": "paravirt"}


@dataclass(frozen=True)
class HostPrograms:
    """Where a host has hvmloader and the device model; "" leaves the choice to libvirt."""

    loader: str = ""
    emulator: str = ""


def domain_xml(spec: DomainSpec, programs: HostPrograms) -> str:
    """The whole description.

    Raises:
        ConfigurationError: it has an xl key that this cannot say, or a sign that XML cannot carry.
    """
    extra = {key: value.strip("\"'") for key, value in spec.extra.items()}
    domain = ET.Element("domain", type="xen")
    _text(domain, "name", spec.name)
    _text(domain, "memory", str(spec.max_memory_mib or spec.memory_mib), unit="MiB")
    _text(domain, "currentMemory", str(spec.memory_mib), unit="MiB")
    _text(domain, "vcpu", str(spec.vcpus))
    _add_os(domain, spec, programs)
    _add_features(domain, extra)
    _add_clock(domain, extra)
    _text(domain, "on_poweroff", "destroy")
    _text(domain, "on_reboot", spec.on_reboot)
    # a crash must stay to be looked at: destroy and restart lose the evidence
    _text(domain, "on_crash", extra.pop("on_crash", "preserve"))
    _add_devices(domain, spec, programs)
    unsaid = sorted(set(extra) - _SAID_OTHERWISE)
    if unsaid:
        raise ConfigurationError(
            f"{spec.name}: libvirt cannot be told xl.{unsaid[0]}", mend="take the key out of the template"
        )
    return _written(domain)


def disk_xml(disk: DiskSpec) -> str:
    """A disk to plug in: a PV one, as all that come later are.

    Raises:
        ConfigurationError: its path has a sign that XML cannot carry.
    """
    return _written(_disk(disk))


def nic_xml(nic: NicSpec) -> str:
    """An interface to plug in.

    Raises:
        ConfigurationError: its bridge has a sign that XML cannot carry.
    """
    return _written(_nic(nic))


def disk_of(xml: str, vdev: str) -> str | None:
    """A disk of a domain as its description has it, by its name."""
    return _device(xml, "devices/disk", "target", ("dev", vdev))


def nic_of(xml: str, mac: str) -> str | None:
    """An interface of a domain as its description has it, by its MAC address."""
    return _device(xml, "devices/interface", "mac", ("address", mac.lower()))


def _device(xml: str, path: str, part: str, attribute: tuple[str, str]) -> str | None:
    name, wanted = attribute
    for device in _parsed(xml).iterfind(path):
        found = device.find(part)
        if found is not None and found.get(name, "").lower() == wanted:
            return ET.tostring(device, encoding="unicode")
    return None


def parse_xml_description(xml: str, name: str) -> Description:
    """What a domain's description says.

    Raises:
        OutputNotUnderstood: it is no XML, or a number is none.
    """
    domain = _parsed(xml)
    try:
        memory, vcpus = int(domain.findtext("memory", "0")), int(domain.findtext("vcpu", "1"))
    except ValueError as error:
        raise OutputNotUnderstood(f"the XML of {name}: {error}", text=xml) from error
    return Description(
        name,
        max_memory_mib=memory // 1024,  # KiB in what libvirt gives
        max_vcpus=vcpus,
        disks=tuple(target.get("dev", "") for target in domain.iterfind("devices/disk/target")),
        text=xml,
    )


def _parsed(xml: str) -> ET.Element:
    try:
        return ET.fromstring(xml)  # noqa: S314  # from the host's own libvirt, which may do what it likes there
    except ET.ParseError as error:
        raise OutputNotUnderstood(f"a domain's XML: {error}", text=xml) from error


def _written(element: ET.Element) -> str:
    text = ET.tostring(element, encoding="unicode")
    odd = _NOT_XML.search(text)
    if odd is not None:
        raise ConfigurationError(
            f"{odd[0]!r} in a name or path cannot be written into libvirt's XML", mend="rename it"
        )
    return text


def _add_os(domain: ET.Element, spec: DomainSpec, programs: HostPrograms) -> None:
    system = ET.SubElement(domain, "os")
    if spec.firmware is Firmware.UEFI:
        system.set("firmware", "efi")
    _text(system, "type", "hvm", arch="x86_64", machine="xenfv")
    if programs.loader and spec.firmware is Firmware.BIOS:
        _text(system, "loader", programs.loader, type="rom")
    for letter in spec.boot:
        ET.SubElement(system, "boot", dev=_BOOT_DEVICES[letter])


def _add_features(domain: ET.Element, extra: dict[str, str]) -> None:
    features = ET.SubElement(domain, "features")
    names = ["acpi", "apic", "pae"]
    if extra.pop("viridian", "1") != "0":
        names.append("viridian")
    for name in names:
        ET.SubElement(features, name)


def _add_clock(domain: ET.Element, extra: dict[str, str]) -> None:
    clock = ET.SubElement(domain, "clock", offset="utc")
    mode = extra.pop("tsc_mode", "")
    if mode in _TSC_MODES:
        ET.SubElement(clock, "timer", name="tsc", mode=_TSC_MODES[mode])


def _add_devices(domain: ET.Element, spec: DomainSpec, programs: HostPrograms) -> None:
    devices = ET.SubElement(domain, "devices")
    if programs.emulator:
        _text(devices, "emulator", programs.emulator)
    devices.extend(_disk(disk) for disk in spec.disks)
    devices.extend(_nic(nic) for nic in spec.nics)
    if spec.console_log:
        serial = ET.SubElement(devices, "serial", type="file")
        ET.SubElement(serial, "source", path=spec.console_log)
        ET.SubElement(serial, "target", port="0")
    if spec.screen:
        ET.SubElement(devices, "input", type="tablet", bus="usb")
        ET.SubElement(devices, "graphics", type="vnc", autoport="yes", listen="127.0.0.1")
        ET.SubElement(ET.SubElement(devices, "video"), "model", type="vga")


def _disk(disk: DiskSpec) -> ET.Element:
    kind = "cdrom" if disk.cdrom else "disk"
    element = ET.Element("disk", type="block" if disk.is_device else "file", device=kind)
    ET.SubElement(element, "driver", name="phy" if disk.is_device else "qemu", type=disk.image_format)
    if disk.path:
        ET.SubElement(element, "source", {"dev" if disk.is_device else "file": disk.path})
    ET.SubElement(element, "target", dev=disk.vdev, bus="ide" if disk.vdev.startswith("hd") else "xen")
    if disk.read_only or disk.cdrom:
        ET.SubElement(element, "readonly")
    return element


def _nic(nic: NicSpec) -> ET.Element:
    element = ET.Element("interface", type="bridge")
    ET.SubElement(element, "mac", address=nic.mac)
    ET.SubElement(element, "source", bridge=nic.bridge)
    ET.SubElement(element, "model", type=nic.model or "netfront")
    return element


def _text(parent: ET.Element, name: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, name, attributes).text = text
