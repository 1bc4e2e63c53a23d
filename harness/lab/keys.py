"""Every key of ``hosts.ini``: its name, what it takes, its default, what it means.

The loader reads by this table and ``docs/hosts-ini.md`` is written from it
(``harness.lab.reference``), so the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from harness.lab import readers as read
from harness.lab.readers import Reader
from harness.lab.spec import (
    AddressSource,
    CertificatePolicy,
    CloneMethod,
    Firmware,
    HostKind,
    NicModel,
    SecretRef,
    WinRmTransport,
)
from harness.model import Arch, GuestKind, ToolstackName, XenVersion

__all__ = [
    "DOMAIN_KEYS_OF_OURS",
    "HOST_KEYS",
    "NAME",
    "TEMPLATE_KEYS",
    "XL_PREFIX",
    "HostKeys",
    "Key",
    "TemplateKeys",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Key(Generic[T]):
    """One key. ``only`` and ``required`` name kinds of host or guest; an empty ``only`` means all.

    ``default`` is what a section without the key gets; for a required key it only
    holds the place until the error is raised. ``shown`` is the default in words.
    """

    name: str
    reader: Reader[T]
    default: T
    meaning: str
    shown: str = ""
    only: tuple[StrEnum, ...] = ()
    required: tuple[StrEnum, ...] = ()


_SSH = (HostKind.SSH,)
_SIMULATED_HOST = (HostKind.SIMULATED,)
_REAL_GUESTS = (GuestKind.WINDOWS, GuestKind.STAND_IN)
_ALL_GUESTS = tuple(GuestKind)
_SIMULATED_GUEST = (GuestKind.SIMULATED,)


class HostKeys:
    """Keys of ``[host NAME]``."""

    KIND: Final = Key(
        "kind",
        read.choice(HostKind),
        HostKind.SSH,
        "A real host, or one the simulated lab makes on loopback.",
    )
    ADDRESS: Final = Key(
        "address", read.ADDRESS, "127.0.0.1", "Where its SSH server is.", only=_SSH, required=_SSH
    )
    PORT: Final = Key("port", read.number(1, 65535), 22, "Port of its SSH server.", only=_SSH)
    USER: Final = Key("user", read.TEXT, "root", "Who logs in.", only=_SSH)
    KEY: Final = Key[Path | None](
        "key", read.LOCAL_PATH, None, "Private key file.", shown="SSH agent, `~/.ssh`", only=_SSH
    )
    PASSWORD: Final = Key[SecretRef | None](
        "password",
        read.SECRET,
        None,
        "Where the SSH password lies, if there is no key.",
        shown="none",
        only=_SSH,
    )
    KNOWN_HOSTS: Final = Key[Path | None](
        "known_hosts",
        read.LOCAL_PATH,
        None,
        "File with the host's key; `pvhck lab trust NAME` shows and records it.",
        shown="the one of pvhck",
        only=_SSH,
    )
    SUDO: Final = Key(
        "sudo",
        read.SWITCH,
        default=False,
        meaning="Run what needs root by `sudo -n`; rules: `pvhck lab rights NAME`.",
        shown="no",
        only=_SSH,
    )
    JUMP: Final = Key(
        "jump", read.JUMP, "", "A host to go through; its key is checked too.", shown="straight", only=_SSH
    )
    TOOLSTACK: Final = Key[ToolstackName | None](
        "toolstack",
        read.TOOLSTACK,
        None,
        "What drives the host. Xen 3.4 and 4.0 have xm only, 4.5 and later no xm.",
        shown="auto",
    )
    STORAGE: Final = Key(
        "storage",
        read.HOST_PATH,
        "/var/lib/pvhck",
        "Folder on the host for clones; relative images start here.",
    )
    CLONE: Final = Key(
        "clone",
        read.choice(CloneMethod),
        CloneMethod.AUTO,
        "How a guest's disk is made: LVM snapshot, reflink (XFS, Btrfs), qcow2 overlay on the template, full "
        "copy; or the first of these that the template and its place allow.",
    )
    SNAPSHOT: Final = Key(
        "snapshot",
        read.number(1, 100),
        100,
        "What an LVM snapshot of a volume that is not thin takes, in per cent of the template. A guest that "
        "writes more loses its disk.",
    )
    BRIDGE: Final = Key(
        "bridge",
        read.matching(
            r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}", "a network device: at most 15 of A-Z a-z 0-9 _ . -"
        ),
        "xenbr0",
        "Bridge of the guests' network.",
    )
    MEMORY: Final = Key(
        "memory", read.MEMORY, 4096, "What all guests of runs may use together.", shown="4096 (MiB)"
    )
    VCPUS: Final = Key("vcpus", read.number(1, 4096), 4, "What all guests of runs may use together.")
    DISK: Final = Key(
        "disk",
        read.MEMORY,
        0,
        "What all guests of runs may use together in `storage`, such as 200g.",
        shown="not counted",
    )
    LAYERS: Final = Key(
        "layers",
        read.AMOUNT_OR_NONE,
        20 * 1024,
        "What disks with an installed driver build may take in `storage`: later guests are cloned from them.",
        shown="20g",
    )
    MAX_GUESTS: Final = Key("max_guests", read.number(1, 1000), 2, "Guests of runs at the same time.")
    TIME_FACTOR: Final = Key(
        "time_factor", read.FACTOR, 1.0, "All time limits are multiplied by it: above 1 for slow hosts."
    )
    LEGACY_SSH: Final = Key(
        "legacy_ssh",
        read.SWITCH,
        default=False,
        meaning="Allow SHA-1 and ssh-rsa, for the OpenSSH of dom0s of the Xen 3.4 era. Weak: warned about.",
        shown="no",
        only=_SSH,
    )
    CONTROLLER: Final = Key(
        "controller",
        read.ADDRESS,
        "",
        "This machine's address as guests see it; files go to guests from there.",
        shown="guests cannot reach us",
    )
    IPERF_PEER: Final = Key(
        "iperf_peer", read.ADDRESS, "", "Where the other end of iperf3 runs.", shown="dom0 itself"
    )
    XEN: Final = Key[XenVersion | None](
        "xen",
        read.XEN_VERSION,
        None,
        "Its Xen version: a simulated host plays it; of a real host it lets `plan` tell versions apart "
        "without asking it, and `doctor` compares.",
        shown="found out",
    )
    FAULTS: Final = Key[tuple[str, ...]](
        "faults",
        read.WORDS,
        (),
        "Fault switches to play: `NAME`, `NAME:WORD`, `NAME@STAGE` ([which](outcomes-and-faults.md)).",
        shown="none",
        only=_SIMULATED_HOST,
    )


class TemplateKeys:
    """Keys of ``[template NAME]``, next to ``xl.KEY``."""

    GUEST: Final = Key(
        "guest",
        read.choice(GuestKind),
        GuestKind.WINDOWS,
        "What the guest really is; shown with every result. Simulated guests run on simulated hosts only.",
    )
    IMAGE: Final = Key(
        "image",
        read.IMAGE,
        "",
        "Disk image of the template: a file or a logical volume, `/dev/VG/LV` (with `clone = lvm`: `VG/LV`).",
        required=_REAL_GUESTS,
    )
    OS: Final = Key(
        "os", read.TEXT, "", "Name of the system for people, such as Windows 10 22H2.", required=_ALL_GUESTS
    )
    ARCH: Final = Key(
        "arch", read.choice(Arch), Arch.X64, "Architecture, of its drivers too.", required=_ALL_GUESTS
    )
    FIRMWARE: Final = Key("firmware", read.choice(Firmware), Firmware.BIOS, "What boots it.")
    MEMORY: Final = Key("memory", read.MEMORY, 2048, "Memory of each guest.", shown="2048 (MiB)")
    VCPUS: Final = Key("vcpus", read.number(1, 128), 2, "vCPUs of each guest.")
    DISK: Final = Key("disk", read.MEMORY, 40 * 1024, "What the disk of each guest may come to.", shown="40g")
    NIC: Final = Key("nic", read.choice(NicModel), NicModel.E1000, "Emulated twin of its network interface.")
    USER: Final = Key(
        "user", read.TEXT, "Administrator", "WinRM user, an administrator with a full remote token."
    )
    SECRET: Final = Key[SecretRef | None](
        "secret",
        read.SECRET,
        None,
        "Where its password lies.",
        shown="none",
        only=_REAL_GUESTS,
        required=_REAL_GUESTS,
    )
    TRANSPORT: Final = Key(
        "transport",
        read.choice(WinRmTransport),
        WinRmTransport.HTTPS_NTLM,
        "How WinRM is spoken. All but the default are weaker and warned about.",
    )
    CERTIFICATE: Final = Key(
        "certificate",
        read.CERTIFICATE,
        CertificatePolicy(),
        "The guest's certificate: this one, or the first seen on each clone, which then has to stay.",
        shown="first-use",
    )
    LEGACY_TLS: Final = Key(
        "legacy_tls",
        read.SWITCH,
        default=False,
        meaning="Allow TLS 1.0 and old ciphers, for a stock Windows 7 or 2008 R2. Weak: warned about.",
        shown="no",
    )
    ADDRESS: Final = Key[tuple[AddressSource, str]](
        "address",
        read.ADDRESS_SOURCE,
        (AddressSource.LEASES, ""),
        "Where its address is learnt: dom0's DHCP leases or neighbour table, xenstore (needs XENVIF), "
        "a line on the serial console; or a fixed one.",
        shown="leases",
    )
    HOSTS: Final = Key[tuple[str, ...]](
        "hosts",
        read.WORDS,
        (),
        "Names of the hosts that have the image.",
        shown="every host that can carry it",
    )
    FAULTS: Final = Key[tuple[str, ...]](
        "faults",
        read.WORDS,
        (),
        "Fault switches to play: `NAME`, `NAME:WORD`, `NAME@STAGE` ([which](outcomes-and-faults.md)).",
        shown="none",
        only=_SIMULATED_GUEST,
    )


def _keys_of(namespace: type) -> tuple[Key[Any], ...]:
    return tuple(value for value in vars(namespace).values() if isinstance(value, Key))


HOST_KEYS: Final = _keys_of(HostKeys)
TEMPLATE_KEYS: Final = _keys_of(TemplateKeys)

NAME: Final = read.matching(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}",
    "a name of at most 40 of A-Z a-z 0-9 . _ -, beginning with a letter or digit",
)

XL_PREFIX: Final = "xl."

# What the harness writes into every domain's configuration itself: an extra key would fight with it.
DOMAIN_KEYS_OF_OURS: Final[Iterable[str]] = frozenset(
    {"builder", "disk", "firmware", "maxmem", "memory", "name", "type", "vcpus", "vif"}
)
