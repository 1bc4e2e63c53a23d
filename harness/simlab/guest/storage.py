"""Disks, volumes, and patterns on raw disks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from harness.operations import CdFile, Disk, OperationRefused, Pattern, Volume
from harness.simlab.faults import FaultKind, Faults
from harness.simlab.guest.editions import Edition
from harness.simlab.guest.files import GuestFiles
from harness.simlab.guest.transfer import Cd, corrupt
from harness.simlab.machine import MachineDisk

__all__ = ["Storage"]

_SECTOR = 512
_USED = 9 << 30  # guess: what a Windows takes of its volume
_BOOT_PART = 1 << 20


class Storage:
    """What the guest sees of its machine's disks; ``pv`` gives the numbers that work by XENVBD."""

    def __init__(
        self,
        edition: Edition,
        disks: Callable[[], Sequence[MachineDisk]],
        pv: Callable[[], Iterable[int]],
        faults: Faults,
    ) -> None:
        self._edition = edition
        self._disks = disks
        self._pv = pv
        self._faults = faults
        self._seen: dict[int, MachineDisk] = {}

    # -- answers

    def disks(self) -> tuple[Disk, ...]:
        """See ``GuestOperations.disks``."""
        return tuple(self._shown(number, disk) for number, disk in self.numbered())

    def volumes(self) -> tuple[Volume, ...]:
        """See ``GuestOperations.volumes``: C: on the system disk, then the CDs."""
        found = []
        system = next((disk for _, disk in self.numbered()), None)
        if system is not None:
            size = max(system.size - _BOOT_PART, 0)
            found.append(Volume("C:", "", "NTFS", size, max(size - _USED, size // 4)))
        for letter, (cd, size) in zip("DEFG", self._cds(), strict=False):
            if cd.label is not None:
                found.append(Volume(f"{letter}:", cd.label, "CDFS", size, 0))
        return tuple(found)

    def numbered(self) -> list[tuple[int, MachineDisk]]:
        """Disks with their numbers in Windows: the system disk is 0, then emulated ones, then PV ones."""
        seen = [*self._there(), *self._gone()]
        seen.sort(key=lambda disk: (disk.target != 0, not disk.emulated, disk.target))
        return list(enumerate(seen))

    # -- CDs

    def cd_files(self, label: str) -> tuple[CdFile, ...]:
        """See ``GuestOperations.cd_files``."""
        return self._cd(label).files()

    def copy_from_cd(self, files: GuestFiles, label: str, name: str, path: str) -> None:
        """See ``GuestOperations.copy_from_cd``."""
        content = self._cd(label).content(name)
        if content is None:
            raise OperationRefused("not-found", f"there is no {name} on the CD {label}")
        files.put(path, content)

    # -- patterns

    def write_pattern(self, target: int, seed: int, blocks: int, block_size: int) -> Pattern:
        """See ``GuestOperations.write_pattern``."""
        disk = self._raw(target, blocks, block_size)
        if disk.target == 0:
            # a raw write to where a volume is mounted is refused since Windows Vista
            raise OperationRefused("access-denied", "the disk holds the system volume")
        if disk.read_only:
            raise OperationRefused("access-denied", "the disk is read only")
        whole = hashlib.sha256()
        with _image(disk).open("r+b") as image:
            for number in range(blocks):
                block = _pattern_block(seed, number, block_size)
                whole.update(block)
                image.write(
                    corrupt(block) if FaultKind.CORRUPT_PAYLOAD in self._faults and number == 0 else block
                )
        return Pattern(whole.hexdigest(), blocks, block_size)

    def read_pattern(self, target: int, blocks: int, block_size: int) -> Pattern:
        """See ``GuestOperations.read_pattern``."""
        disk = self._raw(target, blocks, block_size)
        whole = hashlib.sha256()
        with _image(disk).open("rb") as image:
            for _ in range(blocks):
                # what was never written reads as zeros, though the image may be shorter
                whole.update(image.read(block_size).ljust(block_size, b"\0"))
        return Pattern(whole.hexdigest(), blocks, block_size)

    # -- inner parts

    def _there(self) -> list[MachineDisk]:
        pv = set(self._pv())
        return [disk for disk in self._disks() if not disk.cdrom and (disk.emulated or disk.number in pv)]

    def _gone(self) -> list[MachineDisk]:
        """The fault disk-stays: PV disks that were seen in this boot and are not there any more."""
        if FaultKind.DISK_STAYS not in self._faults:
            return []
        there = {disk.number: disk for disk in self._there()}
        self._seen |= {number: disk for number, disk in there.items() if not disk.emulated}
        return [disk for number, disk in self._seen.items() if number not in there]

    def _shown(self, number: int, disk: MachineDisk) -> Disk:
        if disk.emulated:
            # "IDE" is Win32_DiskDrive's word, "ATA" MSFT_Disk's
            bus, name = ("IDE" if self._edition.old else "ATA"), "QEMU HARDDISK"
            return Disk(
                number, name, f"QM{disk.target + 1:05}", -1, bus, disk.size, _SECTOR, _SECTOR,
                offline=False, read_only=disk.read_only and not self._edition.old,
            )  # fmt: skip
        return Disk(
            number, "XENSRC PVDISK", f"{disk.target:04}", disk.target, "SCSI", disk.size, _SECTOR, _SECTOR,
            offline=False, read_only=disk.read_only and not self._edition.old,
        )  # fmt: skip

    def _cds(self) -> list[tuple[Cd, int]]:
        images = [disk.file for disk in self._disks() if disk.cdrom and disk.file is not None]
        return [(Cd(image), image.stat().st_size) for image in images if image.exists()]

    def _cd(self, label: str) -> Cd:
        for cd, _ in self._cds():
            if cd.label == label:
                return cd
        raise OperationRefused("not-found", f"there is no CD with the label {label}")

    def _raw(self, target: int, blocks: int, block_size: int) -> MachineDisk:
        if blocks < 1 or block_size < _SECTOR or block_size % _SECTOR:
            raise OperationRefused("bad-parameter", "blocks must be at least 1, block_size a multiple of 512")
        for _, disk in self.numbered():
            if not disk.emulated and disk.target == target:
                if disk in self._gone():
                    raise OperationRefused("command-failed", "the device does not answer")
                if blocks * block_size > disk.size:
                    raise OperationRefused(
                        "command-failed", f"the disk ends in block {disk.size // block_size}"
                    )
                return disk
        raise OperationRefused("not-found", f"there is no PV disk with the target id {target}")


def _image(disk: MachineDisk) -> Path:
    if disk.file is None:
        raise OperationRefused("command-failed", "the disk has no medium")
    return disk.file


def _pattern_block(seed: int, number: int, block_size: int) -> bytes:
    digest = hashlib.sha256(f"{seed}:{number}".encode("ascii")).digest()
    return digest * (block_size // len(digest))
