"""Disks, volumes and CDs: from /sys/block, /proc/mounts and the media themselves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.operations import CdFile, Disk, FileFacts, OperationRefused, Volume
from harness.xenlab.standin import files
from harness.xenlab.standin.hardware import Hardware

__all__ = ["Storage", "target_of"]

_SECTOR = 512  # /sys/block/*/size counts these, whatever the disk's sectors are
_FRONT_END = re.compile(r"vbd-(\d+)")
_EXT4_LABEL = (1024 + 120, 16)  # the superblock's s_volume_name: Linux fs/ext4/ext4.h
_ISO_LABEL = (32768 + 40, 32)  # the primary volume descriptor's volume identifier: ECMA-119 8.4.7
_CD_MOUNT = "cd"


def target_of(vdev: int) -> int:
    """The Xen target id of a virtual device number, as XENVBD counts (docs/man/xen-vbd-interface.7).

    -1 for a number that is no whole disk.
    """
    if vdev >> 28 == 1:  # extended: disks beyond xvdp
        return vdev >> 8 & 0xFFFFF if not vdev & 0xFF else -1
    major, minor = vdev >> 8, vdev & 0xFF
    if major == 202:  # noqa: PLR2004 - xvd
        return minor >> 4 if not minor & 0xF else -1
    if major == 8:  # noqa: PLR2004 - sd
        return minor >> 4 if not minor & 0xF else -1
    if major in {3, 22} and not minor & 0x3F:  # hda and hdb, hdc and hdd
        return (minor >> 6) + (2 if major == 22 else 0)  # noqa: PLR2004
    return -1


class Storage:
    """The guest's storage."""

    def __init__(self, hardware: Hardware, scratch: Path) -> None:
        self._hardware = hardware
        self._block = hardware.root / "sys/block"
        self._cd_mount = scratch / _CD_MOUNT

    def disks(self) -> tuple[Disk, ...]:
        """See ``GuestOperations.disks``. Linux numbers no disks, so we do."""
        models = {device.block: device.model for device in self._hardware.scsi_devices()}
        return tuple(
            self._disk(number, block, models.get(block, f"Xen PV disk {block}"))  # blkfront's have no model
            for number, block in enumerate(self._blocks())
        )

    def pv_device(self, target: int) -> str:
        """The path of the PV disk with a target id, such as ``/dev/xvdg``.

        Raises:
            OperationRefused: there is none.
        """
        found = next((block for block in self._blocks() if self._target(block) == target), None)
        if target < 0 or found is None:
            raise OperationRefused("not-found", f"there is no PV disk with the target id {target}")
        return f"/dev/{found}"

    def is_mounted(self, device: str) -> bool:
        """Whether a disk or a part of it carries a mounted file system."""
        return any(source.startswith(device) for source, _, _ in self._mounts())

    def volumes(self) -> tuple[Volume, ...]:
        """See ``GuestOperations.volumes``."""
        found = [
            _volume(point, _label(Path(source), _EXT4_LABEL), kind)
            for source, point, kind in self._mounts()
            if source.startswith(("/dev/sd", "/dev/xvd"))
        ]
        for drive in self._cd_drives():
            label = _label(drive, _ISO_LABEL)
            if label:
                with self._mounted(drive) as folder:
                    found.append(_volume(str(folder), label, "iso9660"))
        return tuple(sorted(found, key=lambda volume: volume.path))

    def cd_files(self, label: str) -> tuple[CdFile, ...]:
        """See ``GuestOperations.cd_files``."""
        with self._cd(label) as folder:
            paths = sorted(path for path in folder.rglob("*") if path.is_file())
            return tuple(CdFile(str(path.relative_to(folder)), path.stat().st_size) for path in paths)

    def copy_from_cd(self, label: str, name: str, target: Path) -> FileFacts:
        """See ``GuestOperations.copy_from_cd``."""
        with self._cd(label) as folder:
            source = (folder / name).resolve()
            if not source.is_relative_to(folder.resolve()) or not source.is_file():
                raise OperationRefused("not-found", f"there is no {name} on the CD {label}")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        return files.facts(target)

    def _blocks(self) -> list[str]:
        """Names of the disks below /sys/block, in the order of their letters."""
        names = (path.name for path in self._block.iterdir() if path.name.startswith(("sd", "xvd")))
        return sorted(names, key=lambda name: (len(name), name))

    def _target(self, block: str) -> int:
        front = _FRONT_END.fullmatch((self._block / block / "device").resolve().name)
        return target_of(int(front[1])) if front else -1

    def _disk(self, number: int, block: str, name: str) -> Disk:
        path = self._block / block
        target = self._target(block)
        return Disk(
            number=number,
            name=name,
            serial="",
            target=target,
            bus="SCSI" if target >= 0 else "ATA",  # what XENVBD's say on Windows (facts/pv-drivers.md 5)
            size=_number(path / "size") * _SECTOR,
            logical_sector=_number(path / "queue/logical_block_size"),
            physical_sector=_number(path / "queue/physical_block_size"),
            offline=False,
            read_only=_number(path / "ro") == 1,
        )

    def _mounts(self) -> list[tuple[str, str, str]]:
        """Source, mount point and kind of each mounted file system."""
        lines = (self._hardware.root / "proc/mounts").read_text().splitlines()
        return [(fields[0], fields[1], fields[2]) for line in lines if len(fields := line.split()) > 2]  # noqa: PLR2004

    # -- CDs

    def _cd_drives(self) -> list[Path]:
        return [Path("/dev", drive.block) for drive in self._hardware.scsi_devices() if drive.cdrom]

    @contextmanager
    def _cd(self, label: str) -> Iterator[Path]:
        drive = next((one for one in self._cd_drives() if _label(one, _ISO_LABEL) == label), None)
        if drive is None or not label:
            raise OperationRefused("not-found", f"there is no CD with the label {label}")
        with self._mounted(drive) as folder:
            yield folder

    @contextmanager
    def _mounted(self, drive: Path) -> Iterator[Path]:
        """For the moment only: the next CD may be another one."""
        self._cd_mount.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "iso9660", "-o", "ro,iocharset=utf8", str(drive), str(self._cd_mount))
        try:
            yield self._cd_mount
        finally:
            _run("umount", str(self._cd_mount))


def _volume(point: str, label: str, kind: str) -> Volume:
    room = os.statvfs(point)
    return Volume(point, label, kind, room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize)


def _label(device: Path, place: tuple[int, int]) -> str:
    """A volume label at its place on a device; empty for a drive without medium."""
    offset, length = place
    try:
        with device.open("rb") as file:
            file.seek(offset)
            return file.read(length).rstrip(b"\0 ").decode(errors="replace")
    except OSError:
        return ""


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise OperationRefused("command-failed", f"{' '.join(argv)}: {done.stderr.strip()}")


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
