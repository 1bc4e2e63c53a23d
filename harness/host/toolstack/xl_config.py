"""A ``DomainSpec`` in the syntax of xl.cfg(5), literals only."""

from __future__ import annotations

from collections.abc import Iterable

from harness.errors import ConfigurationError
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.toolstack import quirks
from harness.host.toolstack.legacy_disk import legacy_words
from harness.lab import Firmware
from harness.model import XenVersion

__all__ = ["disk_spec", "nic_words", "render"]


def render(spec: DomainSpec, version: XenVersion) -> str:
    """The whole configuration file for xl of that version. Keys of ``spec.extra`` come last and so win.

    Raises:
        ConfigurationError: a value holds a character that the syntax cannot carry.
    """
    keys = {
        "name": _quoted(spec.name),
        "type" if quirks.TYPE_KEY.holds(version) else "builder": _quoted("hvm"),
        "memory": str(spec.memory_mib),
        "maxmem": str(spec.max_memory_mib or spec.memory_mib),
        "vcpus": str(spec.vcpus),
        "bios": _quoted("ovmf" if spec.firmware is Firmware.UEFI else "seabios"),
        "boot": _quoted(spec.boot),
        "acpi": "1",
        "viridian": "1",
        "usbdevice": _quoted("tablet") if spec.screen else None,
        "usb": "1" if spec.screen else "0",
        **_graphics(spec, version),
        "vnc": "0",
        "serial": _quoted(f"file:{spec.console_log}") if spec.console_log else None,
        "on_poweroff": _quoted("destroy"),
        "on_reboot": _quoted(spec.on_reboot),
        # a crash must stay to be looked at: destroy and restart lose the evidence
        "on_crash": _quoted("preserve"),
        "disk": _list(_disk(disk, version) for disk in spec.disks),
        "vif": _list(",".join(nic_words(nic)) for nic in spec.nics),
    }
    # extra values stand as written in hosts.ini: xl.cfg's own syntax
    keys |= dict(spec.extra)
    return "".join(f"{key} = {value}\n" for key, value in keys.items() if value is not None)


def _graphics(spec: DomainSpec, version: XenVersion) -> dict[str, str]:
    if quirks.VGA_KEY.holds(version):
        return {"vga": _quoted("stdvga" if spec.screen else "none")}
    return {"stdvga": "1"}  # there is no way to have none


def _disk(disk: DiskSpec, version: XenVersion) -> str:
    return disk_spec(disk) if quirks.DISK_WORDS.holds(version) else ",".join(legacy_words(disk))


def disk_spec(disk: DiskSpec) -> str:
    """A disk as xl-disk-configuration(5) has it; the target is last, so that it may hold commas."""
    words = [f"format={disk.image_format}", f"vdev={disk.vdev}"]
    words.append("devtype=cdrom" if disk.cdrom else f"access={'ro' if disk.read_only else 'rw'}")
    if disk.path:
        words.append(f"target={disk.path}")
    return ",".join(words)


def nic_words(nic: NicSpec) -> tuple[str, ...]:
    """An interface as separate words: xl network-attach reads a comma as part of the value."""
    if not nic.bridge or any(sign == "," or sign.isspace() for sign in nic.bridge):
        raise ConfigurationError(f"the bridge {nic.bridge!r} cannot be given to xl", mend="rename it")
    words = (f"mac={nic.mac}", f"bridge={nic.bridge}")
    return (*words, f"model={nic.model}") if nic.model else (*words, "type=vif")


def _list(items: Iterable[str]) -> str:
    return "[" + ", ".join(_quoted(item) for item in items) + "]"


def _quoted(text: str) -> str:
    # In a string xl.cfg knows no escape for the quote that delimits it; a backslash starts
    # an escape, and one at the end stops xl (tools/libs/util/libxlu_cfg.c, xlu__cfgl_dequote)
    if '"' in text or "\\" in text or not text.isprintable():
        raise ConfigurationError(f"{text!r} cannot be written into an xl configuration", mend="rename it")
    return f'"{text}"'
