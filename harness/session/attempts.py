"""Attempts at tests as pytest goes through them: each phase is judged, leftovers are looked for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator

import pytest

from harness.errors import GuestCrashed, GuestHung, InfrastructureError
from harness.host.figures import differences, read_figures
from harness.model import FailureKind, Outcome
from harness.session.attempt import Attempt
from harness.session.journal import Journal
from harness.session.outcome import Judgement, judge
from harness.session.selection import is_scenario
from harness.session.state import attempt_key

__all__ = ["Attempts"]


class Attempts:
    """A plugin; its methods are pytest's hooks.

    ``begin`` says which attempt at a test this is, ``ended`` hears of it after its teardown.
    """

    def __init__(
        self,
        journal: Journal,
        begin: Callable[[pytest.Item], Attempt],
        ended: Callable[[pytest.Item, Attempt], None],
    ) -> None:
        self._journal = journal
        self._begin = begin
        self._ended = ended

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """One attempt at one test."""
        if not is_scenario(item):
            return (yield)
        attempt = self._begin(item)
        item.stash[attempt_key] = attempt
        self._journal.test_started(item, attempt)
        try:
            result = yield
        except BaseException:
            if attempt.judgement.outcome is Outcome.FAILED:  # the run ends while evidence is gathered
                self._journal.attempt_finished(item, attempt)
            raise
        self._end(item, attempt)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """The fixtures: some of them already put work on the guest."""
        with _crash_first(item.stash[attempt_key]):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """The test's body."""
        attempt = item.stash[attempt_key]
        with _crash_first(attempt):
            result = yield
        if attempt.watch is not None:
            attempt.watch.check()
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """The fixtures once more: what they take away can bring a guest down."""
        with _crash_first(item.stash[attempt_key]):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Judge a phase, and gather evidence while the guest is still there."""
        report = yield
        attempt = item.stash[attempt_key]
        attempt.add(judge(call.excinfo.value if call.excinfo else None, in_call=call.when == "call"))
        if attempt.spoilt and not attempt.evidence:
            attempt.take(*self._journal.gather(item, attempt))
        return report

    def _end(self, item: pytest.Item, attempt: Attempt) -> None:
        """After teardown: nothing may be left."""
        if attempt.spoilt and attempt.guest is not None:
            attempt.guest.break_()  # what broke may be the teardown itself, after the fixtures had their say
        _look_for_leftovers(attempt)
        if attempt.spoilt and not attempt.evidence:
            attempt.take(*self._journal.gather(item, attempt))
        self._journal.attempt_finished(item, attempt)
        self._ended(item, attempt)


def _look_for_leftovers(attempt: Attempt) -> None:
    leased = attempt.leased
    if leased is None:
        return
    try:
        left: tuple[object, ...] = leased.take_leaked()
        if attempt.figures is not None:
            left += differences(attempt.figures, read_figures(leased.host))
    except InfrastructureError as error:
        attempt.add(Judgement(Outcome.BROKEN, reason=str(error)))
        return
    # what a provisioning that broke leaves half-made is not the test's doing
    if left and attempt.judgement.outcome is not Outcome.BROKEN:
        what = ", ".join(str(item) for item in left)
        attempt.add(Judgement(Outcome.FAILED, FailureKind.ASSERTION, f"left behind on the host: {what}"))


@contextlib.contextmanager
def _crash_first(attempt: Attempt) -> Iterator[None]:
    """A crash of the guest goes before whatever else went wrong in a phase."""
    try:
        yield
    except GuestHung:
        raise  # it is not asked once more: that takes long
    except GuestCrashed as error:
        words = _bugcheck(attempt)
        if words:
            raise type(error)(f"{error.found}; {words}") from error
        raise
    except (Exception, pytest.fail.Exception):
        if attempt.watch is not None and attempt.judgement.outcome is not Outcome.FAILED:
            with contextlib.suppress(InfrastructureError):
                attempt.watch.check()
        raise


def _bugcheck(attempt: Attempt) -> str:
    """What the hypervisor heard of a crash, if anybody watched."""
    with contextlib.suppress(InfrastructureError):
        return attempt.watch.bugcheck() if attempt.watch is not None else ""
    return ""
