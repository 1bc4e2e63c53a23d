"""fio on a raw disk of the guest, read from its JSON (recorded: 3.33, ``tests/fixtures/workload``).

On Windows its engine is windowsaio, which needs threads (tp-qemu qemu/tests/cfg/fio_windows.cfg).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.errors import GuestError
from harness.lab import ToolName
from harness.model import Measurement
from harness.workload.disk import Access, DiskFigures, DiskLoad, Order, disk_measurements
from harness.workload.reading import Fields, read_json

__all__ = ["FioRun"]

_NANO_PER_MS = 1e6
_MICRO_PER_MS = 1e3
_NAMES = {
    (Access.READ, Order.SEQUENTIAL): "read",
    (Access.WRITE, Order.SEQUENTIAL): "write",
    (Access.READ, Order.RANDOM): "randread",
    (Access.WRITE, Order.RANDOM): "randwrite",
}


@dataclass(frozen=True)
class FioRun:
    r"""One job. ``device`` is ``/dev/xvdg`` or ``\\.\PhysicalDrive1``, ``size`` in bytes."""

    load: DiskLoad
    device: str
    size: int
    windows: bool

    @property
    def tool(self) -> ToolName:
        """The program."""
        return ToolName.FIO

    @property
    def duration_s(self) -> float:
        """How long it runs by its own account, warm-up included."""
        return math.ceil(self.load.seconds) + math.ceil(self.load.warm_up_s)

    def arguments(self) -> tuple[str, ...]:
        """Its command line."""
        load = self.load
        engine = ("--ioengine=windowsaio", "--thread") if self.windows else ("--ioengine=libaio",)
        return (
            "--name=pvhck",
            f"--filename={self.device}",
            f"--size={self.size}",
            "--allow_file_create=0",  # a disk that is gone must not become a file in /dev
            f"--rw={_NAMES[load.access, load.order]}",
            f"--bs={load.block_kib}k",
            f"--iodepth={load.depth}",
            "--direct=1",
            *engine,
            "--time_based",
            f"--runtime={math.ceil(load.seconds)}",
            f"--ramp_time={math.ceil(load.warm_up_s)}",
            "--output-format=json",
        )

    def read(self, output: str) -> tuple[Measurement, ...]:
        """Throughput, operations and latencies."""
        report = read_json("fio", output)
        version = report.text("fio version").removeprefix("fio-")
        jobs = report.items("jobs")
        if len(jobs) != 1:
            raise report.wrong(f"{len(jobs)} jobs instead of one")
        if error := jobs[0].number("error"):
            raise GuestError(f"fio: its work on {self.device} ended with error {error:.0f}")
        way = jobs[0].fields(self.load.access.value)
        if not way.number("total_ios"):
            raise GuestError(f"fio: not one {self.load.access} on {self.device} was done")
        return disk_measurements(self.load, _figures(way), "fio", version)


def _figures(way: Fields) -> DiskFigures:
    # fio 2 counts in KiB/s and microseconds
    rate = way.number("bw_bytes") if "bw_bytes" in way else way.number("bw") * 1024
    nano = "lat_ns" in way
    scale = _NANO_PER_MS if nano else _MICRO_PER_MS
    latency = way.fields("lat_ns" if nano else "lat").number("mean") / scale
    completion = way.fields("clat_ns" if nano else "clat")
    p99 = None
    if "percentile" in completion:
        p99 = completion.fields("percentile").number("99.000000") / scale
    return DiskFigures(way.number("iops"), rate, latency, p99)
