"""A ``DomainSpec`` as the Python that ``xm create`` executes: names and literals only.

Keys: tools/python/xen/xm/create.py of 3.4.0-rc3 and stable-4.0.
"""

from __future__ import annotations

import string
from collections.abc import Iterable

from harness.errors import ConfigurationError
from harness.host.domain import DomainSpec, NicSpec
from harness.host.toolstack.legacy_disk import legacy_words
from harness.lab import Firmware
from harness.model import XenVersion

__all__ = ["nic_words", "render"]

_NAMED_LOADER = XenVersion(4, 0)  # before, xm itself looks whether the file is there
_PLAIN = frozenset(string.ascii_letters + string.digits + string.punctuation + " ") - {"'", "\\"}
_LOADER = "/usr/lib/xen/boot/hvmloader"


def render(spec: DomainSpec, version: XenVersion) -> str:
    """The whole configuration file. Keys of ``spec.extra`` come last and so win.

    Raises:
        ConfigurationError: xend cannot make such a domain.
    """
    if spec.firmware is Firmware.UEFI:
        raise ConfigurationError(
            f"{spec.name}: xend boots no UEFI guests", mend="take a template with firmware = bios"
        )
    keys = {
        "name": _quoted(spec.name),
        "builder": _quoted("hvm"),
        "kernel": _quoted("hvmloader" if version >= _NAMED_LOADER else _LOADER),
        "memory": str(spec.memory_mib),
        "maxmem": str(spec.max_memory_mib or spec.memory_mib),
        "vcpus": str(spec.vcpus),
        "boot": _quoted(spec.boot),
        "acpi": "1",
        "apic": "1",
        "pae": "1",
        "viridian": "1",
        "usb": "1" if spec.screen else "0",
        "usbdevice": _quoted("tablet") if spec.screen else None,
        "stdvga": "1",
        "sdl": "0",
        "vnc": "1" if spec.screen else "0",
        "vnclisten": _quoted("127.0.0.1"),
        "vncunused": "1",
        "serial": _quoted(f"file:{spec.console_log}") if spec.console_log else None,
        "on_poweroff": _quoted("destroy"),
        "on_reboot": _quoted(spec.on_reboot),
        # a crash must stay to be looked at: destroy and restart lose the evidence
        "on_crash": _quoted("preserve"),
        "disk": _list(",".join(legacy_words(disk)) for disk in spec.disks),
        "vif": _list(",".join(nic_words(nic)) for nic in spec.nics),
    }
    # extra values stand as written in hosts.ini: numbers, texts and lists look the same to xl and Python
    keys |= dict(spec.extra)
    return "".join(f"{key} = {value}\n" for key, value in keys.items() if value is not None)


def nic_words(nic: NicSpec) -> tuple[str, ...]:
    """An interface, word by word.

    Never ``type=ioemu``: such an interface has neither ``mac`` nor ``handle`` in its front end's
    folder, and no PV driver could use it (xend/server/netif.py). Without a type there are both.
    """
    if not nic.bridge or any(sign in ",=" or sign.isspace() for sign in nic.bridge):
        raise ConfigurationError(f"the bridge {nic.bridge!r} cannot be given to xm", mend="rename it")
    words = (f"mac={nic.mac}", f"bridge={nic.bridge}")
    return (*words, f"model={nic.model}") if nic.model else (*words, "type=netfront")


def _list(items: Iterable[str]) -> str:
    return "[" + ", ".join(_quoted(item) for item in items) + "]"


def _quoted(text: str) -> str:
    """A Python 2 byte string; all that is not plain ASCII is escaped, as the file names no encoding."""
    try:
        return "'" + "".join(_shown(byte) for byte in text.encode()) + "'"
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"{text!r} cannot be written into a configuration", mend="rename it"
        ) from error


def _shown(byte: int) -> str:
    return chr(byte) if chr(byte) in _PLAIN else f"\\x{byte:02x}"
