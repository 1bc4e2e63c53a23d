"""A snapshot of a template that is a logical volume."""

from __future__ import annotations

import contextlib
from pathlib import PurePosixPath

from harness.errors import InfrastructureError, ProvisioningFailed
from harness.host.clone.strategy import ClonedDisk, succeed
from harness.host.ssh import SshShell
from harness.host.volumes import Volume, remove_volume, room_for, volume_at

__all__ = ["LvmSnapshot"]

_SNAPSHOT_S = 120
_NOTES_MIB = 8


class LvmSnapshot:
    """A snapshot beside the template in its volume group; raw, served by blkback without any file.

    Of a thin volume it takes from the pool what the guest writes. Of any other it takes ``snapshot``
    per cent of the template's size at once (hosts.ini), and a guest that writes more loses its disk.
    """

    def __init__(self, shell: SshShell) -> None:
        self._shell = shell

    def clone(self, image: str, target: str) -> ClonedDisk:
        """See ``CloneStrategy.clone``."""
        origin = self._origin(image)
        snapshot = f"{origin.group}/{PurePosixPath(target).stem}"
        try:
            result = self._shell.run(self._command(origin, snapshot), timeout_s=_SNAPSHOT_S)
            succeed(self._shell, result, image, mend=f"look at the room there: vgs {origin.group}; lvs")
        except InfrastructureError:
            with contextlib.suppress(InfrastructureError):
                remove_volume(self._shell, snapshot)
            raise
        return ClonedDisk(f"/dev/{snapshot}", "raw")

    def _origin(self, image: str) -> Volume:
        try:
            origin = volume_at(self._shell, image)
        except InfrastructureError as error:
            raise ProvisioningFailed(
                f"cannot clone {image} by LVM: {error.found}", mend=error.mend
            ) from error
        if origin.thin and (room := room_for(self._shell, origin)).full:
            raise ProvisioningFailed(f"host {self._shell.spec.name}: cannot clone {image}: {room}")
        return origin

    def _command(self, origin: Volume, snapshot: str) -> list[str]:
        """``-kn``: a thin snapshot is otherwise not there until somebody activates it."""
        name = snapshot.partition("/")[2]
        command = ["lvcreate", "-y", "--snapshot", "-n", name]
        size = ["-kn"] if origin.thin else ["-L", f"{_cow_mib(origin, self._shell.spec.snapshot_percent)}m"]
        return [*command, *size, str(origin)]


def _cow_mib(origin: Volume, percent: int) -> int:
    """Never as N%ORIGIN: LVM makes that smaller without a word where the group has less.

    A chunk of 4 KiB takes 16 bytes of notes (drivers/md/dm-snap-persistent.c of Linux 6.1).
    """
    return origin.size_mib * percent // 100 * 101 // 100 + _NOTES_MIB
