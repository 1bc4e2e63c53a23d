"""Which Windows can be built, and what its setup needs. Pure.

Sources: editions, builds and requirements from Microsoft's release and hardware lists (learn.microsoft.com,
"Windows 10 release information", "Windows 11 requirements", "Hardware requirements for Windows Server");
keys from "Key Management Services (KMS) client activation and product keys"
(MicrosoftDocs/windowsserverdocs, get-started/kms-client-activation-keys.md, 2024-10-01): they choose an
edition and activate nothing by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.errors import ConfigurationError
from harness.lab import Firmware
from harness.lab.findings import nearest
from harness.model import Arch

__all__ = ["OSES", "WindowsOs", "os_named"]

_CLIENT_EDITIONS = ("Enterprise", "EnterpriseEval", "Professional", "Education", "EnterpriseS", "Core")
_SERVER_EDITIONS = ("ServerStandard", "ServerStandardEval", "ServerDatacenter", "ServerDatacenterEval")
_CLIENT_KEYS = {
    "Professional": "W269N-WFGWX-YVC9B-4J6C9-T83GX",
    "Education": "NW6C2-QMPVW-D7KKK-3GKT6-VCFB2",
    "Enterprise": "NPPR9-FWDCX-D2C8J-H872K-2YT43",
}
_BOTH = (Firmware.BIOS, Firmware.UEFI)


@dataclass(frozen=True)
class WindowsOs:
    """One system. ``builds`` are the first and last build that count as it; memory and disk in MiB.

    ``editions`` are EDITIONIDs of a WIM, the one that is taken first where nobody says which.
    ``keys`` are by EDITIONID: a medium with several editions asks for a key where none is given.
    ``bypasses`` are values of LabConfig that setup looks at on hardware it does not like.
    """

    name: str
    title: str
    version: str
    builds: tuple[int, int]
    server: bool
    arches: tuple[Arch, ...]
    firmwares: tuple[Firmware, ...]
    editions: tuple[str, ...]
    memory_mib: int = 2048
    disk_mib: int = 40 * 1024
    keys: Mapping[str, str] = field(default_factory=dict)
    bypasses: tuple[str, ...] = ()
    legacy: bool = False  # Windows 7: needs updates of its user's before WinRM can be set up

    def check(self, arch: Arch, firmware: Firmware) -> None:
        """Refuse what there is no such Windows for.

        Raises:
            ConfigurationError: says what there is.
        """
        if arch not in self.arches:
            raise ConfigurationError(
                f"there is no {self.title} for {arch}", mend=f"--arch {' or '.join(self.arches)}"
            )
        if firmware not in self.firmwares:
            raise ConfigurationError(
                f"{self.title} is not built for firmware {firmware}",
                mend=f"--firmware {' or '.join(self.firmwares)}",
            )
        if arch is Arch.X86 and firmware is Firmware.UEFI:
            raise ConfigurationError(
                f"a 32-bit {self.title} does not boot from the UEFI of Xen, which is a 64-bit one",
                mend="--firmware bios",
            )


def _server(year: int, build: int, standard: str, datacenter: str) -> WindowsOs:
    return WindowsOs(
        name=f"server{year}",
        title=f"Windows Server {year}",
        version="10.0",
        builds=(build, build),
        server=True,
        arches=(Arch.X64,),
        firmwares=_BOTH,
        editions=_SERVER_EDITIONS,
        keys={"ServerStandard": standard, "ServerDatacenter": datacenter},
    )


_TABLE = (
    WindowsOs(
        name="win11",
        title="Windows 11",
        version="10.0",
        builds=(22000, 29999),
        server=False,
        arches=(Arch.X64,),
        firmwares=(Firmware.UEFI,),
        editions=_CLIENT_EDITIONS,
        memory_mib=4096,
        disk_mib=64 * 1024,
        keys=_CLIENT_KEYS,
        # Xen's guests have neither a TPM nor Secure Boot unless somebody gives them one
        bypasses=("BypassTPMCheck", "BypassSecureBootCheck", "BypassRAMCheck", "BypassCPUCheck"),
    ),
    WindowsOs(
        name="win10",
        title="Windows 10",
        version="10.0",
        builds=(10240, 19999),
        server=False,
        arches=(Arch.X64, Arch.X86),
        firmwares=_BOTH,
        editions=_CLIENT_EDITIONS,
        keys=_CLIENT_KEYS,
    ),
    _server(2025, 26100, "TVRH6-WHNXV-R9WG3-9XRFY-MY832", "D764K-2NDRG-47T6Q-P8T8W-YP6DF"),
    _server(2022, 20348, "VDYBN-27WPP-V4HQT-9VMD4-VMK7H", "WX4NM-KYWYW-QJJR4-XV3QB-6VM33"),
    _server(2019, 17763, "N69G4-B89J2-4G8F4-WWYCC-J464C", "WMDGN-G9PQG-XVVXX-R3X43-63DFG"),
    _server(2016, 14393, "WC2BQ-8NRM3-FDDYY-2BFGV-KHKQY", "CB7KF-BWN84-R7R2Y-793K2-8XDDG"),
    WindowsOs(
        name="win7",
        title="Windows 7",
        version="6.1",
        builds=(7601, 7601),  # with Service Pack 1: WMF 5.1 installs on nothing older
        server=False,
        arches=(Arch.X64, Arch.X86),
        firmwares=(Firmware.BIOS,),
        editions=("Enterprise", "Professional", "Ultimate"),
        keys={
            "Professional": "FJ82H-XT6CR-J8D7P-XQJJ2-GPDD4",
            "Enterprise": "33PXH-7Y6KF-2VJC9-XBBR8-HVTHH",
        },
        legacy=True,
    ),
)

OSES: Mapping[str, WindowsOs] = {one.name: one for one in _TABLE}


def os_named(name: str) -> WindowsOs:
    """A system by the name that ``--os`` takes.

    Raises:
        ConfigurationError: there is none of that name.
    """
    if name not in OSES:
        known = ", ".join(OSES)
        raise ConfigurationError(
            f"no Windows {name!r} can be built", mend=f"{nearest(name, OSES)}known: {known}"
        )
    return OSES[name]
