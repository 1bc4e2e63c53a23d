"""Commands about disks of the host: room, loop devices."""

from __future__ import annotations

import posixpath

from harness.simlab.commands.options import read_options
from harness.simlab.shell.process import Command, CommandError, Process

__all__ = ["COMMANDS"]

_DISK_BYTES = 100 << 30
_BLOCK = 512


def _used(process: Process, path: str) -> int:
    real = process.host.files.real(path)
    if real.is_file():
        return real.stat().st_blocks * _BLOCK
    return sum(entry.stat().st_blocks * _BLOCK for entry in real.rglob("*") if entry.is_file())


def _df(process: Process) -> int:
    options = read_options(process, "hkmPTB:", ["output=", "block-size="])
    process.out(_df_header(options.flags, options.values.get("-B", options.values.get("--block-size", ""))))
    rc = 0
    for path in options.words or ("/",):
        if not process.host.files.exists(path):
            process.err(f"df: {path}: No such file or directory\n")
            rc = 1
            continue
        used = _DISK_BYTES if process.host.files.is_full(path) else _used(process, "/")
        free = _DISK_BYTES - used
        unit = {"1": 1, "M": 1 << 20, "G": 1 << 30}.get(options.values.get("-B", ""), 1024)
        unit = 1 << 20 if options.has("-m") else unit
        sizes = [
            _human(size) if options.has("-h") else str(size // unit) for size in (_DISK_BYTES, used, free)
        ]
        share = -(-used * 100 // _DISK_BYTES)
        process.out(f"/dev/sda1      {sizes[0]:>12} {sizes[1]:>10} {sizes[2]:>10} {share:>3}% /\n")
    return rc


def _df_header(flags: frozenset[str], block: str) -> str:
    unit = "Size" if "-h" in flags else "1M-blocks" if "-m" in flags else f"{block or '1024'}-blocks"
    return f"Filesystem     {unit:>12} {'Used':>10} {'Available':>10} Use% Mounted on\n"


def _human(size: float) -> str:
    for unit in ("", "K", "M", "G"):
        if size < 1024:  # noqa: PLR2004
            return f"{size:.0f}{unit}"
        size /= 1024
    return f"{size:.1f}T"


def _du(process: Process) -> int:
    options = read_options(process, "shkmbc")
    for path in options.words or (".",):
        if not process.host.files.exists(path):
            raise CommandError(f"du: cannot access '{path}': No such file or directory\n")
        used = _used(process, path)
        shown = _human(used) if options.has("-h") else str(used if options.has("-b") else used // 1024)
        process.out(f"{shown}\t{path}\n")
    return 0


def _losetup(process: Process) -> int:
    options = read_options(process, "ad:fj:l", ["all", "detach=", "find", "show", "associated=", "list"])
    loops = process.host.loops
    device = options.values.get("-d", options.values.get("--detach", ""))
    if device:
        if not loops.detach(device):
            raise CommandError(f"losetup: {device}: detach failed: No such device or address\n")
        return 0
    wanted = options.values.get("-j", options.values.get("--associated", ""))
    if options.has("-a", "--all", "-l", "--list") or wanted or not process.args:
        for name, path in loops.items():
            if not wanted or process.host.files.absolute(wanted) == path:
                process.out(f"{name}: [2049]:{len(path)} ({path})\n")
        return 0
    if options.has("-f", "--find"):
        return _attach(process, options.words, show=options.has("--show"))
    raise CommandError("losetup: these options are not played\n")


def _attach(process: Process, words: tuple[str, ...], *, show: bool) -> int:
    if not words:
        process.out(f"/dev/loop{len(process.host.loops.items())}\n")
        return 0
    path = process.host.files.absolute(words[0])
    if not process.host.files.exists(path):
        raise CommandError(f"losetup: {words[0]}: failed to set up loop device: No such file or directory\n")
    device = process.host.loops.attach(path)
    if show:
        process.out(f"{device}\n")
    return 0


def _basename(process: Process) -> int:
    process.out(posixpath.basename(process.args[0].rstrip("/")) + "\n")
    return 0


def _dirname(process: Process) -> int:
    process.out((posixpath.dirname(process.args[0].rstrip("/")) or ".") + "\n")
    return 0


COMMANDS: dict[str, Command] = {
    "basename": _basename,
    "df": _df,
    "dirname": _dirname,
    "du": _du,
    "losetup": _losetup,
}
