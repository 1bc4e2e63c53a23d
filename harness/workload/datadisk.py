"""PV data disks that a run makes for a guest: plugged in, found by target id, taken away at the end."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from harness.deadline import Done, NotYet, wait_until
from harness.errors import GuestError
from harness.guest.guest import Guest
from harness.guest.provision import add_disk, remove_disk
from harness.host.area import RunArea
from harness.host.domain import DiskSpec
from harness.host.toolstack.protocol import NoSuchDomain
from harness.lab import ToolName
from harness.model import GuestKind, Measurement
from harness.operations import Disk, Pattern
from harness.workload.disk import DiskLoad
from harness.workload.diskspd import DiskspdRun
from harness.workload.fio import FioRun
from harness.workload.measure import Workload
from harness.workload.pattern import expected_pattern
from harness.workload.run import Background, GuestTool, measure, running

__all__ = ["DataDisk", "DataDisks"]

_MIB = 1 << 20
# Earlier ones show up emulated, too (facts/pv-drivers.md 5); xvdp is the last of the 16 numbers that
# every front end reads the same way (xen docs/man/xen-vbd-interface.7.pandoc).
_LETTERS = "ghijklmnop"
_MAJOR = 202 << 8
_FILL_MIB_PER_S = 5


class DataDisk:
    """One disk of a guest. ``target`` is the Xen target id by which it is found there."""

    def __init__(self, guest: Guest, spec: DiskSpec, size: int, seed: int) -> None:
        self.guest = guest
        self.spec = spec
        self.size = size
        self._seed = seed
        self.target = ord(spec.vdev[-1]) - ord("a")

    # -- plugging

    @property
    def attached(self) -> bool:
        """Whether the toolstack lists it. One plugged in by hand is forgotten when a domain is made anew."""
        return any(
            disk.vdev == _number(self.spec.vdev) for disk in self.guest.host.toolstack.disks(self.guest.name)
        )

    def attach(self) -> None:
        """Plug it in if it is not."""
        if not self.attached:
            self.guest.host.toolstack.attach_disk(self.guest.name, self.spec)

    def detach(self) -> None:
        """Unplug it; the file stays."""
        self.guest.host.toolstack.detach_disk(self.guest.name, self.spec.vdev)

    def find(self) -> Disk | None:
        """The disk as the guest sees it now, None when it does not."""
        disks = self.guest.operations.disks()
        return next((disk for disk in disks if disk.target == self.target), None)

    def wait_there(self, seconds: float) -> Disk:
        """Wait until the guest sees it in its full size and may write to it."""

        def probe() -> Done[Disk] | NotYet:
            disk = self.find()
            if disk is None:
                return NotYet("the guest has no such disk")
            whole = disk.size == self.size and not disk.read_only
            return Done(disk) if whole else NotYet(f"{disk}")

        return wait_until(
            probe,
            subject=f"{self.guest.name} sees {self.spec.vdev} with {self.size} bytes",
            deadline=self.guest.deadline(seconds),
            interval_s=0.2,
        )

    def wait_gone(self, seconds: float) -> None:
        """Wait until the guest does not see it any more."""

        def probe() -> Done[None] | NotYet:
            disk = self.find()
            return Done(None) if disk is None else NotYet(f"{disk}")

        wait_until(
            probe,
            subject=f"{self.guest.name} loses {self.spec.vdev}",
            deadline=self.guest.deadline(seconds),
            interval_s=0.2,
        )

    # -- what is on it

    def write_pattern(self, *, blocks: int, block_size: int) -> Pattern:
        """Write a pattern, each time another one, and flush it; gives what has to be read again.

        Raises:
            GuestError: the guest hashed something else while it wrote.
        """
        self._seed += 1
        expected = expected_pattern(self._seed, blocks, block_size)
        written = self.guest.operations.write_pattern(
            target=self.target, seed=self._seed, blocks=blocks, block_size=block_size
        )
        if written != expected:
            raise GuestError(f"{self.guest.name} wrote another pattern than it was told: {written}")
        return expected

    def read_pattern(self, like: Pattern) -> Pattern:
        """What lies there, in the place of a pattern."""
        return self.guest.operations.read_pattern(
            target=self.target, blocks=like.blocks, block_size=like.block_size
        )

    def sha256_on_host(self) -> str:
        """SHA-256 of the whole disk, read on the host from the file behind it."""
        seconds = 30 + self.size / _MIB / _FILL_MIB_PER_S
        text = self.guest.host.shell.check(["sha256sum", self.spec.path], timeout_s=seconds, repeatable=True)
        return text.removeprefix("\\").split()[0]

    def fill(self) -> None:
        """Write zeros over it on the host: a file's holes would be read faster than any disk."""
        count = self.size // _MIB
        self.guest.host.shell.check(
            ["dd", "if=/dev/zero", f"of={self.spec.path}", "bs=1M", f"count={count}", "conv=notrunc"],
            timeout_s=30 + count / _FILL_MIB_PER_S,
        )

    # -- work

    def measure(self, tool: GuestTool, load: DiskLoad, *, repeats: int) -> tuple[Measurement, ...]:
        """Work on it and measure."""
        return measure(self.guest, tool, self._workload(tool, load), repeats=repeats)

    @contextmanager
    def load(self, tool: GuestTool, load: DiskLoad) -> Iterator[Background]:
        """Keep it busy while the context lasts."""
        arguments = self._workload(tool, load).arguments()
        with running(self.guest, tool.path, arguments) as background:
            yield background

    def _workload(self, tool: GuestTool, load: DiskLoad) -> Workload:
        disk = self.find()
        if disk is None:
            raise GuestError(f"{self.guest.name} has lost its disk {self.spec.vdev}")
        if tool.name is ToolName.DISKSPD:
            return DiskspdRun(load, disk.number)
        if self.guest.kind is GuestKind.STAND_IN:
            return FioRun(load, f"/dev/{self.spec.vdev}", self.size, windows=False)
        return FioRun(load, rf"\\.\PhysicalDrive{disk.number}", self.size, windows=True)


class DataDisks:
    """Makes data disks for one guest and takes them away when its context ends."""

    def __init__(self, guest: Guest, area: RunArea, seed: int) -> None:
        self._guest = guest
        self._area = area
        self._seed = seed
        self._made: list[DataDisk] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for disk in reversed(self._made):
            self._remove(disk)
        self._made.clear()

    def attach(self, mib: int, *, seconds: float) -> DataDisk:
        """A new, empty disk, plugged in and seen by the guest within ``seconds``.

        Raises:
            ProvisioningFailed: the host has no room for it.
            WaitTimedOut: the guest does not see it.
        """
        spec = add_disk(self._guest, self._area, self._free_vdev(), mib)
        disk = DataDisk(self._guest, spec, mib * _MIB, self._seed)
        self._made.append(disk)
        disk.wait_there(seconds)
        return disk

    def attach_blocks(self, blocks: int, block_kib: int, *, seconds: float) -> DataDisk:
        """A new disk that whole blocks fill to its end: ``blocks`` of them, or as few more as need be."""
        unit_kib = math.lcm(block_kib, _MIB >> 10)
        units = math.ceil(blocks * block_kib / unit_kib)
        return self.attach(units * unit_kib >> 10, seconds=seconds)

    def _free_vdev(self) -> str:
        taken = {disk.vdev for disk in self._guest.host.toolstack.disks(self._guest.name)}
        taken |= {_number(disk.spec.vdev) for disk in self._made}
        free = (f"xvd{letter}" for letter in _LETTERS if _number(f"xvd{letter}") not in taken)
        return next(free)

    def _remove(self, disk: DataDisk) -> None:
        try:
            with contextlib.suppress(NoSuchDomain):
                if disk.attached:
                    remove_disk(self._guest, disk.spec)
        finally:
            self._guest.host.shell.check(["rm", "-f", disk.spec.path])


def _number(vdev: str) -> int:
    return _MAJOR | (ord(vdev[-1]) - ord("a")) << 4
