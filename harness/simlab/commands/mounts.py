"""File systems in files: made, mounted, unmounted. What lies in one goes when it is unmounted."""

from __future__ import annotations

from harness.simlab.commands.options import read_options
from harness.simlab.shell.process import Command, CommandError, Process

__all__ = ["COMMANDS"]

_MADE = b"XFSB"  # the superblock's magic (fs/xfs/libxfs/xfs_format.h)
_BAD_MOUNT = 32


def _mkfs_xfs(process: Process) -> int:
    """With reflink, as is the default of xfsprogs since 5.1; ``-m reflink=0`` is not played."""
    (path,) = read_options(process, "qfm:").words
    if not process.host.files.exists(path):
        raise CommandError(f"Error accessing specified device {path}: No such file or directory\n")
    with process.host.files.real(path).open("r+b") as file:
        file.write(_MADE)
    return 0


def _mount(process: Process) -> int:
    source, folder = read_options(process, "o:t:").words
    files = process.host.files
    if not files.real(folder).is_dir():
        raise CommandError(f"mount: {folder}: mount point does not exist.\n", _BAD_MOUNT)
    if not files.real(source).is_file() or _begin(process, source) != _MADE:
        words = f"mount: {folder}: wrong fs type, bad option, bad superblock on {source}.\n"
        raise CommandError(words, _BAD_MOUNT)
    files.mount(folder, reflink=True)
    return 0


def _begin(process: Process, path: str) -> bytes:
    with process.host.files.real(path).open("rb") as file:
        return file.read(len(_MADE))


def _umount(process: Process) -> int:
    (folder,) = read_options(process, "fl").words
    if not process.host.files.unmount(folder):
        raise CommandError(f"umount: {folder}: not mounted.\n", _BAD_MOUNT)
    return 0


COMMANDS: dict[str, Command] = {"mkfs.xfs": _mkfs_xfs, "mount": _mount, "umount": _umount}
