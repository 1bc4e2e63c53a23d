"""LVM 2.03, as far as clones need it. Words and exit codes: tests/fixtures/lvm-2.03."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from harness.simlab.commands.files import read_size
from harness.simlab.commands.options import Options, read_options
from harness.simlab.faults import FaultKind
from harness.simlab.host.volumes import EXTENT, Group, Kind, LogicalVolume, NoRoom
from harness.simlab.shell.process import Command, CommandError, Process
from harness.simlab.stages import Stage

__all__ = ["COMMANDS"]

_FAILED = 5
_BAD_WORDS = 3
_SHOWING = ("noheadings", "units=", "nosuffix", "separator=", "options=")


def _lvs(process: Process) -> int:
    options = read_options(process, "o:a", _SHOWING, rc=_BAD_WORDS)
    volumes = process.host.volumes
    chosen = volumes.all()
    if options.words:
        chosen = tuple(_volume(process, word) for word in options.words)
    for volume in chosen:
        group = volumes.group(volume.group)
        assert group is not None
        _show(process, options, partial(_volume_field, process, volume, group))
    return 0


def _vgs(process: Process) -> int:
    options = read_options(process, "o:a", _SHOWING, rc=_BAD_WORDS)
    volumes = process.host.volumes
    chosen = [_group(process, word) for word in options.words] or list(volumes.groups())
    for group in chosen:
        _show(process, options, partial(_group_field, process, group))
    return 0


def _show(process: Process, options: Options, field: Callable[[str], str]) -> None:
    """One line; other units than plain bytes, and headings, are not played."""
    names = options.values.get("-o", options.values.get("--options", ""))
    plain = options.values.get("--units", "b") == "b"
    if not names or not plain or not options.has("--noheadings"):
        raise CommandError(f"{process.argv[0]}: only --noheadings --units b -o FIELDS is played\n")
    separator = options.values.get("--separator", " ")
    process.out("  " + separator.join(field(name) for name in names.split(",")) + "\n")


def _volume_field(process: Process, volume: LogicalVolume, group: Group, name: str) -> str:
    used = f"{process.host.volumes.used_percent(volume):.2f}" if volume.kind == "thin-pool" else ""
    fields = {
        "lv_name": volume.name,
        "lv_size": str(volume.size),
        "segtype": volume.kind,
        "pool_lv": volume.pool,
        "origin": volume.origin,
        "data_percent": used,
        "metadata_percent": used and "10.00",  # not counted; recorded of a small pool
    }
    return fields[name] if name in fields else _group_field(process, group, name)


def _group_field(process: Process, group: Group, name: str) -> str:
    fields = {
        "vg_name": group.name,
        "vg_size": str(group.size),
        "vg_free": str(process.host.volumes.free_of(group)),
    }
    if name not in fields:
        raise CommandError(f"  Unrecognised field: {name}\n", _FAILED)
    return fields[name]


def _lvcreate(process: Process) -> int:
    options = read_options(
        process,
        "yn:L:l:V:k:sT:",
        ["yes", "name=", "size=", "extents=", "virtualsize=", "type=", "thinpool=", "snapshot"],
        rc=_BAD_WORDS,
    )
    name = options.values.get("-n", options.values.get("--name", ""))
    volume = _snapshot(process, options, name) if options.has("-s", "--snapshot") else _new(options, name)
    _group(process, volume.group)
    if process.host.volumes.find(f"{volume.group}/{name}") is not None:
        raise CommandError(
            f'  Logical Volume "{name}" already exists in volume group "{volume.group}"\n', _FAILED
        )
    if options.has("-s", "--snapshot"):
        process.host.faults.enter(Stage.CLONE)
    if FaultKind.CLONE_FAILS in process.host.faults:
        # a guess at the words: what device-mapper says when the disk below fails
        raise CommandError("  device-mapper: create ioctl failed: Input/output error\n", _FAILED)
    try:
        process.host.volumes.add(volume)
    except NoRoom as error:
        words = (
            f'  Volume group "{volume.group}" has insufficient free space '
            f"({error.free} extents): {error.wanted} required.\n"
        )
        raise CommandError(words, _FAILED) from error
    process.out(f'  Logical volume "{name}" created.\n')
    return 0


def _snapshot(process: Process, options: Options, name: str) -> LogicalVolume:
    group, _, source = options.words[0].removeprefix("/dev/").partition("/")
    _group(process, group)
    origin = process.host.volumes.find(options.words[0])
    if origin is None:
        raise CommandError(f"  Snapshot origin LV {source} not found in Volume group {group}.\n", _FAILED)
    if origin.kind == "thin":
        return LogicalVolume(origin.group, name, "thin", origin.size, origin.pool, origin.name)
    if origin.origin:
        raise CommandError("  Snapshots of snapshots are not supported.\n", _FAILED)
    if "-L" not in options.values:
        raise CommandError("lvcreate: only -L SIZE is played for a snapshot\n")
    # more than the whole of the origin and the notes on it is cut: by one extent of a small origin
    wanted = min(_whole(read_size(options.values["-L"])), origin.size + EXTENT)
    return LogicalVolume(origin.group, name, "linear", origin.size, origin=origin.name, cow=wanted)


def _new(options: Options, name: str) -> LogicalVolume:
    values, group = options.values, options.words[0]
    kind: Kind = "thin-pool" if values.get("--type") == "thin-pool" else "linear"
    pool = values.get("--thinpool", "")
    size = _whole(read_size(values.get("-L", values.get("-V", "0"))))
    return LogicalVolume(group, name, "thin" if pool else kind, size, pool)


def _whole(size: int) -> int:
    """Up to whole extents."""
    return -(-size // EXTENT) * EXTENT


def _lvremove(process: Process) -> int:
    options = read_options(process, "fy", ["force", "yes"], rc=_BAD_WORDS)
    for word in options.words:
        volume = _volume(process, word)
        if process.host.in_use(volume.device):
            raise CommandError(f"  Logical volume {volume.group}/{volume.name} in use.\n", _FAILED)
        process.host.volumes.remove(volume)
        process.out(f'  Logical volume "{volume.name}" successfully removed.\n')
    return 0


def _vgcreate(process: Process) -> int:
    name, device = read_options(process, "y", rc=_BAD_WORDS).words
    if process.host.volumes.group(name) is not None:
        words = (
            f"  /dev/{name}: already exists in filesystem\n  Run `vgcreate --help' for more information.\n"
        )
        raise CommandError(words, _BAD_WORDS)
    behind = dict(process.host.loops.items()).get(device)
    if behind is None:
        raise CommandError(f"  No device found for {device}.\n", _FAILED)
    process.host.volumes.add_group(name, device, process.host.files.real(behind).stat().st_size)
    process.out(f'  Physical volume "{device}" successfully created.\n')
    process.out(f'  Volume group "{name}" successfully created\n')
    return 0


def _vgremove(process: Process) -> int:
    options = read_options(process, "fy", ["force", "yes"], rc=_BAD_WORDS)
    group = _group(process, options.words[0])
    for volume in tuple(group.volumes):
        process.out(f'  Logical volume "{volume}" successfully removed.\n')
    process.host.volumes.remove_group(group.name)
    process.out(f'  Volume group "{group.name}" successfully removed\n')
    return 0


def _group(process: Process, word: str) -> Group:
    group = process.host.volumes.group(word)
    if group is None:
        raise CommandError(
            f'  Volume group "{word}" not found\n  Cannot process volume group {word}\n', _FAILED
        )
    return group


def _volume(process: Process, word: str) -> LogicalVolume:
    name = word.removeprefix("/dev/")
    if name.startswith("/"):
        raise CommandError(f'  "{word}": Invalid path for Logical Volume.\n', _FAILED)
    _group(process, name.partition("/")[0])
    volume = process.host.volumes.find(word)
    if volume is None:
        raise CommandError(f'  Failed to find logical volume "{name}"\n', _FAILED)
    return volume


COMMANDS: dict[str, Command] = {
    "lvcreate": _lvcreate,
    "lvremove": _lvremove,
    "lvs": _lvs,
    "vgcreate": _vgcreate,
    "vgremove": _vgremove,
    "vgs": _vgs,
}
