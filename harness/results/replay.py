"""From events to results. Pure: the recorder and the reader of a killed run share it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from harness.model import Measurement, Outcome
from harness.results.events import (
    AttemptFinished,
    Collected,
    DriverSeen,
    Event,
    RunFinished,
    RunResumed,
    RunStarted,
    TestStarted,
    Warned,
)
from harness.results.model import (
    SCHEMA,
    AttemptResult,
    DriverFound,
    Run,
    RunEnd,
    RunFacts,
    RunResults,
    TestFacts,
    TestResult,
)
from harness.results.verdict import deciding_attempt, verdict_of

__all__ = ["ENDED", "NoRun", "results_of"]

ENDED = "the run was ended"


class NoRun(ValueError):
    """The events tell of no run."""


@dataclass
class _Seen:
    run: RunFacts | None = None
    tests: dict[str, TestFacts] = field(default_factory=dict)
    begun: dict[str, TestStarted] = field(default_factory=dict)
    attempts: dict[str, list[AttemptResult]] = field(default_factory=dict)
    measured: dict[tuple[str, int], tuple[Measurement, ...]] = field(default_factory=dict)
    found: list[DriverFound] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    finished: RunFinished | None = None

    def take(self, event: Event) -> None:
        match event:
            case RunStarted(run=run):
                self.run = run
            case Collected(tests=tests):
                self.tests |= {test.id: test for test in tests}
            case TestStarted(test=test):
                self.begun[test] = event
            case AttemptFinished(test=test, attempt=attempt):
                self.begun.pop(test, None)
                self.attempts.setdefault(test, []).append(attempt)
                self.measured[test, attempt.number] = event.measurements
            case DriverSeen(found=found):
                self.found.append(found)
            case Warned(text=text):
                self.warnings.append(text)
            case RunResumed():
                self.end_what_began()
                self.finished = None
            case RunFinished():
                self.finished = event
            case _:  # messages change nothing
                pass

    def end_what_began(self) -> None:
        """An attempt without an end has ended with its run."""
        for name, started in self.begun.items():
            broken = AttemptResult(started.attempt, Outcome.BROKEN, reason=ENDED, started=started.at)
            self.attempts.setdefault(name, []).append(broken)
        self.begun.clear()


def results_of(events: Iterable[Event], *, alive: bool = False) -> RunResults:
    """The results of a run's events, in the order its tests were collected.

    An attempt that began and did not end is ``broken``: the run was ended. ``alive`` says that
    the run still goes on; then such a test is not there yet.

    Raises:
        NoRun: no event says that a run began.
    """
    seen = _Seen()
    for event in events:
        seen.take(event)
    if seen.run is None:
        raise NoRun("no run-started event")
    end = seen.finished.end if seen.finished else RunEnd.RUNNING if alive else RunEnd.KILLED
    if end is not RunEnd.RUNNING:
        seen.end_what_began()
    tests = tuple(_test(facts, seen) for name, facts in seen.tests.items() if name in seen.attempts)
    return RunResults(
        schema=SCHEMA,
        run=_run(seen, seen.run, end),
        tests=tests,
        verdict=verdict_of(tests, end=end, build=seen.run.driver_build, found=seen.found),
    )


def _test(facts: TestFacts, seen: _Seen) -> TestResult:
    attempts = tuple(seen.attempts[facts.id])
    deciding = deciding_attempt(attempts)
    return TestResult(
        id=facts.id,
        area=facts.area,
        drivers=facts.drivers,
        outcome=deciding.outcome,
        kind=deciding.kind,
        reason=deciding.reason,
        duration_s=deciding.duration_s,
        host=deciding.host,
        toolstack=deciding.toolstack,
        xen_version=deciding.xen_version,
        nested=deciding.nested,
        guest=facts.guest,
        measurements=tuple(_sorted_params(one) for one in seen.measured.get((facts.id, deciding.number), ())),
        hck=facts.hck,
        attempts=attempts,
        evidence=tuple(path for attempt in attempts for path in attempt.evidence),
        signature=deciding.signature,
    )


def _sorted_params(measurement: Measurement) -> Measurement:
    return replace(measurement, params=dict(sorted(measurement.params.items())))


def _run(seen: _Seen, facts: RunFacts, end: RunEnd) -> Run:
    return Run(
        id=facts.id,
        started=facts.started,
        finished=seen.finished.at if seen.finished else "",
        end=end,
        profile=facts.profile,
        argv=facts.argv,
        harness_version=facts.harness_version,
        driver_build=facts.driver_build,
        environment=dict(sorted(facts.environment.items())),
        not_run=tuple(name for name in seen.tests if name not in seen.attempts),
        warnings=tuple(seen.warnings),
    )
