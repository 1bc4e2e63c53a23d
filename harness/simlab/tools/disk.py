"""How fast a simulated disk is. Guess throughout: only the order of things is meant."""

from __future__ import annotations

from dataclasses import dataclass

from harness.simlab.tools.conditions import DiskFound, ToolConditions, wobble

__all__ = ["DiskWork", "DiskWorkDone", "perform"]

_MIB = 1 << 20


@dataclass(frozen=True)
class DiskWork:
    """What a program does with a disk. ``block`` in bytes."""

    write: bool
    random: bool
    block: int
    depth: int
    seconds: float


@dataclass(frozen=True)
class DiskWorkDone:
    """What came of it; the latency is the mean in seconds."""

    operations: int
    seconds: float
    latency_s: float

    @property
    def per_second(self) -> float:
        """Operations per second."""
        return self.operations / self.seconds


def perform(work: DiskWork, disk: DiskFound, conditions: ToolConditions) -> DiskWorkDone:
    """Depth over latency, up to what the disk can do in operations and in bytes."""
    latency = (0.0001 if disk.pv else 0.0007) * (1.3 if work.random else 1.0) * (1.2 if work.write else 1.0)
    most_operations = 70_000 if disk.pv else 6_000
    most_bytes = (1_100 if disk.pv else 90) * _MIB
    words = [str(work.write), str(work.random), str(work.block), str(work.depth)]
    rate = min(work.depth / latency, most_operations, most_bytes / work.block)
    rate *= wobble(conditions, ["disk", *words])
    seconds = max(work.seconds, 0.001)
    return DiskWorkDone(max(1, round(rate * seconds)), seconds, work.depth / rate)
