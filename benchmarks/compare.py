"""Two ways to do the same, timed in turns, and the table of what came out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rich.table import Table

__all__ = ["Comparison", "as_table", "median_s", "turns"]


@dataclass(frozen=True)
class Comparison:
    """``ours_s`` against ``other_s``, in seconds for the same work.

    ``at_most`` is the greatest ratio ours / other that is good, None for a figure that is only shown.
    ``checks`` are other things that must hold, by what they say when they do not.
    """

    what: str
    ours_s: float
    other: str
    other_s: float
    at_most: float | None
    note: str = ""
    checks: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        return self.ours_s / self.other_s

    @property
    def good(self) -> bool:
        return not self.checks and (self.at_most is None or self.ratio <= self.at_most)


def turns(count: int, *works: Callable[[], object]) -> list[float]:
    """Median seconds of each way; they take turns, so that a busy minute hits all alike."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(count):
        for work, taken in zip(works, seconds, strict=True):
            started = time.perf_counter()
            work()
            taken.append(time.perf_counter() - started)
    return [statistics.median(taken) for taken in seconds]


def median_s(count: int, work: Callable[[], object]) -> float:
    """Median seconds of one way."""
    return turns(count, work)[0]


def as_table(comparisons: Iterable[Comparison]) -> Table:
    table = Table("what", "ours", "compared with", "theirs", "ours / theirs", "limit", "")
    for one in comparisons:
        limit = "-" if one.at_most is None else f"{one.at_most:g}"
        verdict = "shown only" if one.at_most is None else "good" if one.good else "MISSED"
        said = "; ".join(filter(None, (verdict, one.note, *one.checks)))
        table.add_row(
            one.what,
            _seconds(one.ours_s),
            one.other,
            _seconds(one.other_s),
            f"{one.ratio:.3g}",
            limit,
            said,
        )
    return table


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
