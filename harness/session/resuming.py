"""What is left of a run that ended before its time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.errors import ConfigurationError
from harness.model import Outcome
from harness.results import DriverBuildFacts, RunResults, TestResult, needs_second_round
from harness.results.replay import ENDED
from harness.session.dispatch import Task
from harness.session.planning import Plan
from harness.session.record import OUT_OF_TIME

__all__ = ["check_same_build", "still_to_run", "words_of"]

_NOT_OF_THE_RUN = {"--collect-only"}


def words_of(before: RunResults) -> list[str]:
    """What pytest was called with."""
    return [word for word in before.run.argv if word not in _NOT_OF_THE_RUN]


def check_same_build(before: RunResults, now: DriverBuildFacts | None) -> None:
    """A run judges one driver build from its beginning to its end.

    Raises:
        ConfigurationError: what lies at the path of the build is another now.
    """
    was = before.run.driver_build
    if _contents(was) != _contents(now):
        raise ConfigurationError(
            f"run {before.run.id} judged another driver build than what is at "
            f"{was.path if was else 'no path'} now",
            mend="put that one back, or begin a new run",
        )


def still_to_run(plan: Plan, before: RunResults) -> Plan:
    """The plan without what has come to its end.

    A test that was under way when the run died is run once more, as one more attempt; so is one whose only
    attempt was broken, and one for which the time had been over.
    """
    ended = {test.id: test for test in before.tests}
    return replace(
        plan,
        tasks=tuple(
            _next(task, ended.get(task.id)) for task in plan.tasks if not _is_over(ended.get(task.id))
        ),
        skipped={test: reason for test, reason in plan.skipped.items() if test not in ended},
    )


def _next(task: Task, test: TestResult | None) -> Task:
    attempts = test.attempts if test is not None else ()
    ran = [attempt.number for attempt in attempts if attempt.outcome is not Outcome.SKIPPED]
    return replace(task, attempt=max(ran, default=0) + 1)


def _is_over(test: TestResult | None) -> bool:
    if test is None:
        return False
    last = test.attempts[-1]
    cut_off = last.outcome is Outcome.BROKEN and last.reason == ENDED
    late = last.outcome is Outcome.SKIPPED and last.reason == OUT_OF_TIME
    return not (cut_off or late or needs_second_round(test.attempts))


def _contents(build: DriverBuildFacts | None) -> Sequence[object]:
    """What makes a build the same. A synthetic one is signed anew each time it is made."""
    if build is None:
        return ()
    return sorted(
        (package.name, package.arch or "", package.version, "" if build.synthetic else package.sha256)
        for package in build.packages
    )
