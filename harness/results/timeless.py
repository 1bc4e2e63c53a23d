"""Results without what differs from run to run by nature: times and ids."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from harness.model import Measurement
from harness.results.model import AttemptResult, DriverSheet, RunResults, TestResult

__all__ = ["timeless"]

# Made for each run: MAC addresses from the run's id, and where simulated guests and tunnels listen.
_MAC = re.compile(r"\b00:16:3e(:[0-9a-f]{2}){3}\b")
_LOOPBACK = re.compile(r"\b127(\.\d{1,3}){3}(:\d{1,5})?\b")


def timeless(results: RunResults) -> RunResults:
    """The results with run id, addresses, times and durations blanked: equal for two runs of the same seed.

    What the harness timed itself (seconds, and rates out of them) is a time, what a tool measured is not.
    """
    blank = _Blank(results.run.id)
    return replace(
        results,
        run=replace(results.run, id="", started="", finished="", warnings=blank.texts(results.run.warnings)),
        tests=tuple(blank.test(test) for test in results.tests),
        verdict=replace(results.verdict, drivers=tuple(map(blank.sheet, results.verdict.drivers))),
    )


class _Blank:
    """Blanks what belongs to one run."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id

    def test(self, test: TestResult) -> TestResult:
        return replace(
            test,
            reason=self._text(test.reason),
            duration_s=0.0,
            attempts=tuple(self._attempt(attempt) for attempt in test.attempts),
            measurements=tuple(map(_measurement, test.measurements)),
        )

    def sheet(self, sheet: DriverSheet) -> DriverSheet:
        return replace(sheet, state=self._text(sheet.state))

    def texts(self, texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(map(self._text, texts))

    def _attempt(self, attempt: AttemptResult) -> AttemptResult:
        return replace(attempt, reason=self._text(attempt.reason), started="", duration_s=0.0)

    def _text(self, text: str) -> str:
        text = text.replace(self._run_id, "RUN") if self._run_id else text
        return _LOOPBACK.sub("LOOPBACK", _MAC.sub("MAC", text))


def _measurement(found: Measurement) -> Measurement:
    timed = not found.tool and (found.unit == "s" or found.unit.endswith("/s"))
    return replace(found, value=0.0, samples=()) if timed else found
