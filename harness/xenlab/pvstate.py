"""Which PV drivers the stand-in guest has at its next boot, as its kernel command line says it.

Both sides use this module: the lab presets its templates by it, the agent in the guest rewrites
``/boot/pv.cfg`` by it whenever a package is installed or removed. Only the standard library.

What each line looks like to Xen is recorded in samples/stand-in-4.17; why it works: facts/nested-xen.md,
"The guest that stands in for Windows".
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.model import DriverName

__all__ = [
    "CERTIFICATE_FILE",
    "INSTALLED_FILE",
    "KEY_FILE",
    "PASSWORD_FILE",
    "PV_CONFIG_FILE",
    "STOPPING_FILE",
    "front_ends",
    "installed_text",
    "opens_xenstore",
    "parse_installed",
    "pv_cmdline",
    "pv_config",
]

# Paths inside the guest.
INSTALLED_FILE = "/etc/pvhck/installed"  # installed packages, one per line; the agent writes it
PV_CONFIG_FILE = "/boot/pv.cfg"  # read by GRUB; the agent writes it, and syncs
PASSWORD_FILE = "/etc/pvhck/password"  # noqa: S105 - of the WinRM user Administrator, made by the lab
CERTIFICATE_FILE = "/etc/pvhck/tls.crt"  # of the HTTPS listener, PEM, made by the lab
KEY_FILE = "/etc/pvhck/tls.key"
STOPPING_FILE = "/run/pvhck-stopping"  # "poweroff" or "reboot", written before the agent gets SIGTERM

_NICS = frozenset({DriverName.XENBUS, DriverName.XENVIF, DriverName.XENNET})
_DISKS = frozenset({DriverName.XENBUS, DriverName.XENVBD})
_UNPLUG = "xen_emul_unplug="


def pv_cmdline(installed: Iterable[str]) -> str:
    """The kernel parameter for a set of installed packages (``xenbus``, ``xenvif``, ...).

    Without XENBUS nothing of Xen is there. A device class is unplugged only when all packages on
    its way to the device are in; XENIFACE changes nothing here, see ``opens_xenstore``.
    """
    names = frozenset(installed)
    if DriverName.XENBUS not in names:
        return "xen_nopv"
    match (names >= _NICS, names >= _DISKS):
        case (True, True):
            unplug = "all"
        case (True, False):
            unplug = "nics"
        case (False, True):
            unplug = "ide-disks"
        case _:
            unplug = "never"
    return _UNPLUG + unplug


def pv_config(installed: Iterable[str]) -> str:
    """The text of ``PV_CONFIG_FILE`` for a set of installed packages."""
    return f'set pv="{pv_cmdline(installed)}"\n'


def front_ends(cmdline: str) -> tuple[str, ...]:
    """The front-end modules that a kernel with this command line may load, and no others."""
    for word in cmdline.split():
        match word.removeprefix(_UNPLUG) if word.startswith(_UNPLUG) else "":
            case "all":
                return ("xen-netfront", "xen-blkfront")
            case "nics":
                return ("xen-netfront",)
            case "ide-disks":
                return ("xen-blkfront",)
    return ()


def opens_xenstore(installed: Iterable[str]) -> bool:
    """Whether programs in the guest may open ``/dev/xen/xenbus``: XENIFACE's part."""
    return {DriverName.XENBUS, DriverName.XENIFACE} <= frozenset(installed)


def parse_installed(text: str) -> frozenset[str]:
    """The packages that ``INSTALLED_FILE`` names."""
    return frozenset(text.split())


def installed_text(installed: Iterable[str]) -> str:
    """The text of ``INSTALLED_FILE``, sorted so that equal sets give equal files."""
    return "".join(f"{name}\n" for name in sorted(installed))
