"""What diskspd and fio are told to do with a raw disk, and the names of what they measure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.model import Measurement

__all__ = ["Access", "DiskFigures", "DiskLoad", "Order", "disk_measurements"]

_MIB = 1 << 20


class Access(StrEnum):
    """Reading or writing."""

    READ = "read"
    WRITE = "write"


class Order(StrEnum):
    """Which block comes next."""

    SEQUENTIAL = "sequential"
    RANDOM = "random"


@dataclass(frozen=True)
class DiskLoad:
    """One kind of work on a disk: block size in KiB, operations in flight, seconds."""

    access: Access
    order: Order
    block_kib: int
    depth: int
    seconds: float
    warm_up_s: float = 0.0


@dataclass(frozen=True)
class DiskFigures:
    """What a program counted: per second, and latencies in ms; None where it says nothing."""

    operations_per_s: float
    bytes_per_s: float
    latency_ms: float | None
    latency_p99_ms: float | None


def disk_measurements(
    load: DiskLoad, figures: DiskFigures, tool: str, version: str
) -> tuple[Measurement, ...]:
    """The figures as measurements."""
    params = {
        "access": load.access.value,
        "order": load.order.value,
        "block_kib": load.block_kib,
        "depth": load.depth,
        "seconds": load.seconds,
    }
    found = [
        Measurement(
            "disk_throughput", figures.bytes_per_s / _MIB, "MiB/s", "higher", params, (), tool, version
        ),
        Measurement("disk_operations", figures.operations_per_s, "IO/s", "higher", params, (), tool, version),
    ]
    for metric, value in (("disk_latency", figures.latency_ms), ("disk_latency_p99", figures.latency_p99_ms)):
        if value is not None:
            found.append(Measurement(metric, value, "ms", "lower", params, (), tool, version))
    return tuple(found)
