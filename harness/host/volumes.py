"""LVM on a host: what a template's volume is, how much room its snapshots have, which volumes are ours.

Outputs of LVM 2.03 are recorded in tests/fixtures/lvm-2.03. ``segtype`` is there since before thin
volumes were; their own fields are asked for where there is a thin volume only.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import CommandFailed, InfrastructureError, OutputNotUnderstood
from harness.host.ssh import SshShell

__all__ = [
    "Room",
    "Volume",
    "find_volume",
    "is_device",
    "parse_pool",
    "parse_volume",
    "remove_volume",
    "room_for",
    "volume_at",
    "volume_names",
]

_MIB = 1 << 20
_FULL_PERCENT = 95.0
_REMOVE_S = 60
# whole bytes: the decimals of other units are written as the host's language has them
_LVS = ("lvs", "--noheadings", "--units", "b", "--nosuffix", "--separator", "|", "-o")


@dataclass(frozen=True)
class Volume:
    """A logical volume. Sizes in MiB; ``group_free_mib`` is what its group has left for others."""

    group: str
    name: str
    thin: bool
    size_mib: int
    group_size_mib: int
    group_free_mib: int

    def __str__(self) -> str:
        return f"{self.group}/{self.name}"


@dataclass(frozen=True)
class Room:
    """What is left where the snapshots of a volume take theirs from."""

    place: str  # "volume group vg0", "thin pool vg0/pool"
    size_mib: int
    free_mib: int
    full: bool

    def __str__(self) -> str:
        return f"{self.free_mib} of {self.size_mib} MiB free in {self.place}"


def is_device(path: str) -> bool:
    """Whether a disk's path names a block device of the host and no file."""
    return path.startswith("/dev/")


def volume_at(shell: SshShell, path: str) -> Volume:
    """The logical volume that a path, or VG/LV, names.

    Raises:
        CommandFailed: there is none; or no LVM.
    """
    fields = "vg_name,lv_name,segtype,lv_size,vg_size,vg_free"
    result = shell.run([*_LVS, fields, path], repeatable=True)
    if not result.ok:
        raise CommandFailed(
            f"host {shell.spec.name}: {result.describe()}", mend="lvs shows the volumes that are there"
        )
    return parse_volume(result.stdout)


def find_volume(shell: SshShell, path: str) -> Volume | None:
    """The same, None for what is no logical volume."""
    try:
        return volume_at(shell, path)
    except CommandFailed:
        return None


def parse_volume(text: str) -> Volume:
    """A line for each segment of one volume: group, name, segment type, size, size and room of the group."""
    rows = [line.strip().split("|") for line in text.splitlines() if line.strip()]
    try:
        group, name, _, size, group_size, free = rows[0]
        thin = any(row[2] == "thin" for row in rows)
        return Volume(group, name, thin, int(size) // _MIB, int(group_size) // _MIB, int(free) // _MIB)
    except (ValueError, IndexError) as error:
        raise OutputNotUnderstood("lvs: a volume cannot be read", text=text) from error


def room_for(shell: SshShell, volume: Volume) -> Room:
    """What its snapshots have to share.

    Raises:
        CommandFailed: its thin pool cannot be asked.
    """
    if not volume.thin:
        needed = volume.size_mib * shell.spec.snapshot_percent // 100  # and some notes: LVM has the last word
        free = volume.group_free_mib
        return Room(f"volume group {volume.group}", volume.group_size_mib, free, full=free < needed)
    name = shell.check([*_LVS, "pool_lv", str(volume)], repeatable=True).strip()
    text = shell.check(
        [*_LVS, "lv_size,data_percent,metadata_percent", f"{volume.group}/{name}"], repeatable=True
    )
    return parse_pool(text, f"{volume.group}/{name}")


def parse_pool(text: str, name: str) -> Room:
    """A thin pool's size and how much of it, and of its notes on that, is used: the fuller one counts."""
    try:
        size, data, notes = text.strip().split("|")
        used = max(float(share.replace(",", ".")) for share in (data, notes))
        size_mib = int(size) // _MIB
    except ValueError as error:
        raise OutputNotUnderstood(f"lvs: thin pool {name} cannot be read", text=text) from error
    free_mib = int(size_mib * (100 - used) / 100)
    return Room(f"thin pool {name}", size_mib, free_mib, full=used >= _FULL_PERCENT)


def volume_names(shell: SshShell) -> tuple[str, ...]:
    """Every logical volume of the host as VG/LV; none where there is no LVM.

    Raises:
        InfrastructureError: LVM is there and does not answer.
    """
    result = shell.run([*_LVS, "vg_name,lv_name"], repeatable=True)
    if result.not_found:
        return ()
    if not result.ok:
        raise InfrastructureError(f"host {shell.spec.name}: {result.describe()}", mend="lvs; vgs; pvs")
    return tuple(line.strip().replace("|", "/") for line in result.stdout.splitlines() if line.strip())


def remove_volume(shell: SshShell, name: str) -> None:
    """Take a logical volume (VG/LV) away; what is already gone is no error.

    Raises:
        CommandFailed: it is still there, as while something uses it.
    """
    result = shell.run(["lvremove", "-f", name], timeout_s=_REMOVE_S)
    if not result.ok and name in volume_names(shell):
        raise CommandFailed(f"host {shell.spec.name}: {result.describe()}", mend=f"lvremove -f {name}")
