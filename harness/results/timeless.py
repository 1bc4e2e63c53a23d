"""Results without what differs from run to run by nature: times and ids."""

from __future__ import annotations

from dataclasses import replace

from harness.results.model import AttemptResult, RunResults, TestResult

__all__ = ["timeless"]


def timeless(results: RunResults) -> RunResults:
    """The results with run id, times and durations blanked: equal for two runs of the same seed."""
    run = replace(results.run, id="", started="", finished="")
    return replace(results, run=run, tests=tuple(_test(test, results.run.id) for test in results.tests))


def _test(test: TestResult, run_id: str) -> TestResult:
    return replace(
        test,
        reason=_without(test.reason, run_id),
        duration_s=0.0,
        attempts=tuple(_attempt(attempt, run_id) for attempt in test.attempts),
    )


def _attempt(attempt: AttemptResult, run_id: str) -> AttemptResult:
    return replace(attempt, reason=_without(attempt.reason, run_id), started="", duration_s=0.0)


def _without(text: str, run_id: str) -> str:
    return text.replace(run_id, "RUN") if run_id else text
