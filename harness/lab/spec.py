"""What a lab is made of, as ``hosts.ini`` describes it: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Literal

from harness.model import Arch, GuestKind, ToolstackName, XenVersion

__all__ = [
    "AddressSource",
    "CertificatePolicy",
    "CloneMethod",
    "Firmware",
    "GuestTemplate",
    "HostKind",
    "HostSpec",
    "Lab",
    "NicModel",
    "SecretRef",
    "Tool",
    "ToolName",
    "WinRmTransport",
]


class HostKind(StrEnum):
    """A real host reached by SSH, or one the simulated lab makes on loopback."""

    SSH = "ssh"
    SIMULATED = "simulated"


class CloneMethod(StrEnum):
    """How a template becomes a guest's disk."""

    AUTO = "auto"
    OVERLAY = "overlay"  # qcow2 with the template as backing file
    REFLINK = "reflink"  # a file that shares blocks with the template
    LVM = "lvm"  # a snapshot of the template's logical volume
    COPY = "copy"


class Firmware(StrEnum):
    """What boots the guest."""

    BIOS = "bios"
    UEFI = "uefi"


class WinRmTransport(StrEnum):
    """How WinRM is spoken; all but the first must be asked for and are warned about."""

    HTTPS_NTLM = "https-ntlm"
    HTTPS_BASIC = "https-basic"
    HTTP_NTLM = "http-ntlm"  # with message encryption
    HTTP_BASIC = "http-basic"  # nothing is secret


class AddressSource(StrEnum):
    """Where a guest's address is learnt."""

    LEASES = "leases"  # dom0's DHCP leases, by MAC
    NEIGHBOUR = "neighbour"  # dom0's neighbour table, by MAC
    XENSTORE = "xenstore"  # attr/vif/0/ipv4/0, written by XENVIF
    CONSOLE = "console"  # a line "pvhck address 192.0.2.7" on the serial console
    FIXED = "fixed"


class NicModel(StrEnum):
    """The emulated twin of a guest's network interface."""

    E1000 = "e1000"
    RTL8139 = "rtl8139"
    NONE = "none"  # a PV interface alone: no network before XENVIF works


class ToolName(StrEnum):
    """Workload programs."""

    IPERF3 = "iperf3"
    NTTTCP = "ntttcp"
    DISKSPD = "diskspd"
    FIO = "fio"


@dataclass(frozen=True)
class SecretRef:
    """Where a secret lies: ``env:NAME``, ``file:PATH`` or ``keyring:SERVICE/USER``; never the secret."""

    scheme: Literal["env", "file", "keyring"]
    name: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}"


@dataclass(frozen=True)
class CertificatePolicy:
    """Which certificate of the guest is taken: one SHA-256 fingerprint, or whatever comes first.

    ``fingerprint`` is 64 lower case hexadecimal digits, empty for trust on first use: then
    the clone's certificate is pinned when it is first seen and has to stay.
    """

    fingerprint: str = ""


@dataclass(frozen=True)
class HostSpec:
    """One ``[host NAME]`` section. Memory and vCPUs are what runs may use, not what is there."""

    name: str
    kind: HostKind
    address: str
    port: int = 22
    user: str = "root"
    key_file: Path | None = None
    password: SecretRef | None = None
    known_hosts: Path | None = None
    sudo: bool = False
    jump: str = ""  # user@address:port
    toolstack: ToolstackName | None = None  # None: found out
    storage: str = "/var/lib/pvhck"
    clone: CloneMethod = CloneMethod.AUTO
    snapshot_percent: int = 100  # of the template's size: what a snapshot of a volume that is not thin takes
    bridge: str = "xenbr0"
    memory_mib: int = 4096
    vcpus: int = 4
    time_factor: float = 1.0
    legacy_ssh: bool = False
    controller: str = ""  # our address as guests see it; empty: guests cannot reach us
    iperf_peer: str = ""  # empty: dom0 itself
    disk_mib: int = 0  # 0: not counted
    layers_mib: int = 20 * 1024  # 0: none are kept
    max_guests: int = 2
    xen: XenVersion | None = None  # None: found out; a simulated host plays it
    faults: tuple[str, ...] = ()  # simulated hosts only


@dataclass(frozen=True)
class GuestTemplate:
    """One ``[template NAME]`` section. ``image`` is a path on the host, see ``image_on``."""

    name: str
    guest: GuestKind
    image: str
    os: str
    arch: Arch
    firmware: Firmware = Firmware.BIOS
    memory_mib: int = 2048
    vcpus: int = 2
    disk_mib: int = 40 * 1024  # what a clone may come to
    nic: NicModel = NicModel.E1000
    user: str = "Administrator"
    secret: SecretRef | None = None
    transport: WinRmTransport = WinRmTransport.HTTPS_NTLM
    certificate: CertificatePolicy = CertificatePolicy()
    legacy_tls: bool = False  # TLS 1.0 and old ciphers: stock Windows 7 and 2008 R2
    address: AddressSource = AddressSource.LEASES
    fixed_address: str = ""
    hosts: tuple[str, ...] = ()  # empty: every host that can
    extra: Mapping[str, str] = field(default_factory=dict)  # xl keys as they stand in hosts.ini
    faults: tuple[str, ...] = ()  # simulated guests only

    def image_on(self, host: HostSpec) -> PurePosixPath:
        """Where the image lies on a host: relative paths start at its storage, VG/LV in /dev with LVM."""
        return PurePosixPath("/dev" if host.clone is CloneMethod.LVM else host.storage) / self.image


@dataclass(frozen=True)
class Tool:
    """One workload program of ``[tools]`` for an architecture, by path and hash."""

    name: ToolName
    arch: Arch
    path: Path
    sha256: str


@dataclass(frozen=True)
class Lab:
    """Everything ``hosts.ini`` says."""

    source: Path
    hosts: Mapping[str, HostSpec]
    templates: Mapping[str, GuestTemplate]
    tools: tuple[Tool, ...] = ()
