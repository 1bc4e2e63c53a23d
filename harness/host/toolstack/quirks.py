"""What differs between versions of xl, in one table: the code asks it, people read it in docs/toolstacks.md.

Versions were read from the branches stable-4.1 to stable-4.20 of Xen's repository. Rows that were
seen to be so on a real Xen name it; all others are known from source only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.model import XenVersion

__all__ = [
    "ACKNOWLEDGED",
    "ACPI_FALLBACK",
    "BESIDE_XEND",
    "COUNTED_PAUSES",
    "DISK_WORDS",
    "JSON_LIST",
    "KEPT_DISKS",
    "MONITOR",
    "QUIRKS",
    "TYPE_KEY",
    "VGA_KEY",
    "Quirk",
    "exit_code_lies",
    "table_rows",
]


def _xen(text: str) -> XenVersion:
    major, minor = text.split(".")
    return XenVersion(int(major), int(minor))


@dataclass(frozen=True)
class Quirk:
    """Something xl does from ``since`` on, until ``before``. ``seen`` are real versions it was met on."""

    what: str
    source: str
    since: XenVersion
    before: XenVersion | None = None
    seen: tuple[XenVersion, ...] = ()

    def holds(self, version: XenVersion) -> bool:
        """Whether xl of this version does so."""
        return self.since <= version and (self.before is None or version < self.before)


_REAL = (_xen("4.14"), _xen("4.17"), _xen("4.20"))

JSON_LIST = Quirk(
    "`list -l` is JSON; before, an s-expression", "libxl/xl_cmdimpl.c printf_info", _xen("4.2"), seen=_REAL
)
ACPI_FALLBACK = Quirk(
    "`shutdown -F` presses the ACPI power button of a guest without PV drivers",
    "libxl/xl_cmdtable.c",
    _xen("4.2"),
    seen=_REAL,
)
DISK_WORDS = Quirk(
    "disks are written `format=, vdev=, target=`; before, `file:PATH,hda,w` only",
    "libxl/libxlu_disk_l.l, xl_cmdimpl.c main_blockattach",
    _xen("4.2"),
    seen=_REAL,
)
COUNTED_PAUSES = Quirk(
    "pauses are counted: a domain paused twice needs two unpauses",
    "xen/common/domain.c domain_pause_by_systemcontroller",
    _xen("4.2"),
    seen=_REAL,
)
BESIDE_XEND = Quirk(
    "refuses to work while xend's lock file is there", "libxl/xl.c XEND_LOCK", _xen("4.2"), _xen("4.5")
)
VGA_KEY = Quirk(
    "`vga=` names the graphics adapter; before, `stdvga=1`", "libxl/xl_cmdimpl.c", _xen("4.3"), seen=_REAL
)
MONITOR = Quirk(
    "`qemu-monitor-command` is there: screen dumps go through it",
    "libxl/xl_cmdtable.c, c496f489f0",
    _xen("4.8"),
    seen=_REAL,
)
TYPE_KEY = Quirk(
    '`type="hvm"` in configurations; before, `builder="hvm"`', "xl/xl_parse.c", _xen("4.10"), seen=_REAL
)
ACKNOWLEDGED = Quirk(
    "`shutdown` and `reboot` wait up to 60 s until the guest empties `control/shutdown`",
    "libxl/libxl_domain.c pvcontrol_cb, b183e180bc",
    _xen("4.13"),
    seen=_REAL,
)
KEPT_DISKS = Quirk(
    "`block-detach` leaves a disk that the guest keeps; before, it is taken by force",
    "xl/xl_block.c, 6df07f9fbe",
    _xen("4.15"),
    seen=_REAL,
)


def _lie(command: str, before: str | None, seen: tuple[XenVersion, ...] = ()) -> Quirk:
    return Quirk(
        f"`{command}` exits 0 though it failed",
        f"xl's own function of {command}",
        _xen("4.1"),
        _xen(before) if before else None,
        seen,
    )


_LIES: Mapping[str, Quirk] = {
    "block-detach": _lie("block-detach", "4.2"),
    "cd-eject": _lie("cd-eject", "4.3"),
    "block-attach": _lie("block-attach", "4.5"),
    "mem-set": _lie("mem-set", "4.7"),
    "cd-insert": _lie("cd-insert", "4.7"),
    "vcpu-set": _lie("vcpu-set", "4.7"),
    "pause": _lie("pause", None),
    "unpause": _lie("unpause", None, _REAL),
    "trigger": _lie("trigger", None, _REAL),
}

QUIRKS: tuple[Quirk, ...] = (
    JSON_LIST,
    ACPI_FALLBACK,
    DISK_WORDS,
    COUNTED_PAUSES,
    BESIDE_XEND,
    VGA_KEY,
    MONITOR,
    TYPE_KEY,
    ACKNOWLEDGED,
    KEPT_DISKS,
    *_LIES.values(),
)


def table_rows() -> tuple[str, ...]:
    """The rows of the table in docs/toolstacks.md, which a test holds to this module."""
    return tuple(
        f"| `xl` | {quirk.what} | {quirk.since} | {quirk.before or ''} | "
        f"{', '.join(str(version) for version in quirk.seen) or 'source only'} | {quirk.source} |"
        for quirk in QUIRKS
    )


def exit_code_lies(command: str, version: XenVersion) -> bool:
    """Whether xl's exit code may be 0 though the command failed."""
    return command in _LIES and _LIES[command].holds(version)
