"""The lab as a hosts.ini; keys as ``harness.lab.keys`` has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.xenlab.recipe import BRIDGE, CONTROLLER, GUEST_USER, STORAGE, TEMPLATES, StandInTemplate

__all__ = ["HOST", "HostFacts", "hosts_ini_text"]

HOST = "nested"

# Of 6 GiB dom0 has 2, Xen itself needs a part: what guests may use together.
_MEMORY_MIB = 3072
_VCPUS = 2
_MAX_GUESTS = 2  # more at once, and triple faults come (facts/nested-xen.md)
_TIME_FACTOR = 4
_GUEST_MEMORY_MIB = 384


@dataclass(frozen=True)
class HostFacts:
    """What differs from one start of the lab to the next. The fingerprint is SHA-256 in hexadecimal."""

    xen: str
    port: int
    key_file: Path
    known_hosts: Path
    password_file: Path
    fingerprint: str


def hosts_ini_text(facts: HostFacts) -> str:
    """The file's text: one host, one section for each template."""
    sections = [_host(facts), *(_template(template, facts) for template in TEMPLATES)]
    head = "# Written by the nested Xen lab at its start; the port is another one each time.\n"
    return head + "".join(f"\n{section}" for section in sections)


def _host(facts: HostFacts) -> str:
    return _section(
        f"host {HOST}",
        {
            "kind": "ssh",
            "address": "127.0.0.1",
            "port": facts.port,
            "user": "root",
            "key": facts.key_file,
            "known_hosts": facts.known_hosts,
            "toolstack": "xl",
            "storage": STORAGE,
            "clone": "overlay",
            "bridge": BRIDGE,
            "memory": _MEMORY_MIB,
            "vcpus": _VCPUS,
            "max_guests": _MAX_GUESTS,
            "layers": "none",  # a boot takes longer here than an installation
            "time_factor": _TIME_FACTOR,
            "controller": CONTROLLER,
            "xen": facts.xen,
        },
    )


def _template(template: StandInTemplate, facts: HostFacts) -> str:
    return _section(
        f"template {template.name}",
        {
            "guest": "stand-in",
            "image": template.image,
            "os": "Debian 12 (stands in for Windows)",
            "arch": "x64",
            "firmware": "bios",
            "memory": _GUEST_MEMORY_MIB,
            "vcpus": 1,
            # an e1000 is probed by thousands of accesses, each by way of dom0's QEMU: 40 s
            "nic": "rtl8139",
            "user": GUEST_USER,
            "secret": f"file:{facts.password_file}",
            "transport": "https-ntlm",
            "certificate": facts.fingerprint,
            "address": "leases",
            "hosts": HOST,
            # without PV drivers the kernel would take itself for a guest of Hyper-V
            "xl.viridian": 0,
            "xl.tsc_mode": '"native"',  # else Xen, which finds the counter unreliable here, emulates it
            "xl.hdtype": '"ide"',  # the only emulated disk that QEMU unplugs and SeaBIOS reads fast
            # a USB tablet nobody drives costs dom0's QEMU a timer a thousand times a second
            "xl.usb": 0,
            "xl.usbdevice": "[]",
        },
    )


def _section(name: str, keys: dict[str, object]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
