"""What a workload is to the rest of the harness, and how repeated runs become one figure. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Protocol

from harness.lab import ToolName
from harness.model import Measurement

__all__ = ["Direction", "Workload", "summarise"]


class Direction(StrEnum):
    """Which way the payload goes, as the guest sees it."""

    OUT = "out"
    IN = "in"
    BOTH = "both"


class Workload(Protocol):
    """One run of a program. Implementations are frozen descriptions."""

    @property
    def tool(self) -> ToolName:
        """The program."""

    @property
    def duration_s(self) -> float:
        """How long it runs by its own account, warm-up included."""

    def arguments(self) -> tuple[str, ...]:
        """Its command line, without the program."""

    def read(self, output: str) -> tuple[Measurement, ...]:
        """The measurements in what it printed.

        Raises:
            OutputNotUnderstood: the text is none of this program's.
            GuestError: the program says that its work failed.
        """


def summarise(runs: Iterable[Sequence[Measurement]]) -> tuple[Measurement, ...]:
    """One measurement per metric and parameters: the median, with the runs' values as samples."""
    series: dict[tuple[str, frozenset[tuple[str, str | int | float]]], list[Measurement]] = {}
    for run in runs:
        for measurement in run:
            key = (measurement.metric, frozenset(measurement.params.items()))
            series.setdefault(key, []).append(measurement)
    return tuple(_one(found) for found in series.values())


def _one(found: Sequence[Measurement]) -> Measurement:
    samples = tuple(measurement.value for measurement in found)
    return replace(found[0], value=statistics.median(samples), samples=samples)
