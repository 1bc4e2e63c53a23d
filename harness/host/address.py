"""Where a guest can be reached, as its host knows it. Parsers are pure; the lookups only read."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from harness.host.ssh import SshShell
from harness.host.toolstack.protocol import Toolstack
from harness.host.xenstore import Xenstore
from harness.lab import AddressSource

__all__ = ["GuestPlace", "find_address", "parse_console", "parse_leases", "parse_neighbours"]

# dnsmasq by itself, dnsmasq of libvirt, ISC dhcpd on Debian and on CentOS
_LEASE_FILES = (
    "/var/lib/misc/dnsmasq.leases",
    "/var/lib/libvirt/dnsmasq/virbr0.status",
    "/var/lib/dhcp/dhcpd.leases",
    "/var/lib/dhcpd/dhcpd.leases",
)
# the closing brace stands on a line of its own: client ids may hold one
_ISC_LEASE = re.compile(r"^lease\s+(?P<ip>\S+)\s*\{(?P<body>.*?)^\}", re.MULTILINE | re.DOTALL)
_LIBVIRT_LEASE = re.compile(r'"ip-address":\s*"(?P<ip>[^"]+)"[^}]*?"mac-address":\s*"(?P<mac>[^"]+)"')
_CONSOLE = re.compile(r"pvhck address (\S+)")


@dataclass(frozen=True)
class GuestPlace:
    """What the lookups need to know of a guest."""

    domain: str
    mac: str
    console_log: str
    fixed_address: str


def find_address(
    shell: SshShell, toolstack: Toolstack, source: AddressSource, place: GuestPlace
) -> str | None:
    """The guest's address by the given source, None while it is not known."""
    match source:
        case AddressSource.FIXED:
            return place.fixed_address or None
        case AddressSource.LEASES:
            text = shell.run(["cat", *_LEASE_FILES], repeatable=True).stdout
            return parse_leases(text, place.mac)
        case AddressSource.NEIGHBOUR:
            return parse_neighbours(shell.run(["ip", "neigh"], repeatable=True).stdout, place.mac)
        case AddressSource.CONSOLE:
            return parse_console(shell.run(["cat", place.console_log], repeatable=True).stdout)
        case AddressSource.XENSTORE:
            domain = toolstack.find(place.domain)
            if domain is None:
                return None
            value = Xenstore(shell).find(f"/local/domain/{domain.domid}/attr/vif/0/ipv4/0")
            return value if value is not None and _is_address(value) else None


def parse_leases(text: str, mac: str) -> str | None:
    """The newest lease for a MAC, in dnsmasq's, ISC dhcpd's or libvirt's format."""
    mac = mac.lower()
    found = None
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 3 and fields[1].lower() == mac and _is_address(fields[2]):  # noqa: PLR2004
            found = fields[2]
    for match in _ISC_LEASE.finditer(text):
        if mac in match["body"].lower() and _is_address(match["ip"]):
            found = match["ip"]
    for match in _LIBVIRT_LEASE.finditer(text):
        if match["mac"].lower() == mac and _is_address(match["ip"]):
            found = match["ip"]
    return found


def parse_neighbours(text: str, mac: str) -> str | None:
    """The IPv4 address of a MAC in ``ip neigh``; entries that failed carry no MAC."""
    for line in text.splitlines():
        fields = line.lower().split()
        if mac.lower() in fields and _is_address(fields[0]):
            return fields[0]
    return None


def parse_console(text: str) -> str | None:
    """The last ``pvhck address A.B.C.D`` a guest wrote on its serial console."""
    found = [word for word in _CONSOLE.findall(text) if _is_address(word)]
    return found[-1] if found else None


def _is_address(word: str) -> bool:
    try:
        return ipaddress.ip_address(word).version == 4  # noqa: PLR2004
    except ValueError:
        return False
