"""One run as pytest goes through it: where tests go, in which rounds, and what becomes of each."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import pytest

from harness.errors import GuestCrashed, GuestHung, InfrastructureError
from harness.lab import HostKind, Secret
from harness.model import FailureKind, Outcome
from harness.results import RunResults
from harness.session.attempt import Attempt
from harness.session.interrupts import interruptible, tidying
from harness.session.journal import Journal
from harness.session.lab_session import LabSession
from harness.session.options import Keep
from harness.session.outcome import Judgement, judge
from harness.session.request import RunRequest
from harness.session.selection import Planned, in_order, is_scenario, plan, wanted
from harness.session.state import attempt_key, lab_key, planned_key
from harness.simlab import SimLab

__all__ = ["Run"]

_ROUNDS = 2  # a broken test runs once more, after all the others


class Run:
    """Registered with pytest when a lab is asked for; its methods are pytest's hooks."""

    def __init__(self, request: RunRequest, config: pytest.Config) -> None:
        self._request = request
        self._config = config
        self._planned: list[Planned] = []
        self._again: list[pytest.Item] = []
        self._avoid: dict[str, frozenset[str]] = {}
        self._journal: Journal | None = None
        self._round = 1

    @property
    def results(self) -> RunResults | None:
        """What came of the run, once it has ended."""
        return self._journal.results if self._journal is not None else None

    @property
    def planned(self) -> tuple[Planned, ...]:
        """Every test of the profile at its placement, in the order they run; known after collection."""
        return tuple(self._planned)

    @property
    def warnings(self) -> tuple[str, ...]:
        """See ``RunRequest.warnings``."""
        return self._request.warnings

    # -- collection

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """A test that needs a host runs at every placement."""
        if "placement" in metafunc.fixturenames:
            places = self._request.placements
            metafunc.parametrize("placement", places, ids=[place.id for place in places], indirect=True)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Only what the profile asks for; what cannot run is skipped before anything is provisioned."""
        chosen = [item for item in items if is_scenario(item) and wanted(item, self._request.profile)]
        taken = set(chosen)
        left = [item for item in items if item not in taken]
        if left:
            config.hook.pytest_deselected(items=left)
        for item in in_order(chosen):
            planned = plan(item, self._request.lab, self._request.build)
            self._planned.append(planned)
            item.stash[planned_key] = planned
            if planned.reasons:
                item.add_marker(pytest.mark.skip(reason="; ".join(planned.reasons)))
        items[:] = [planned.item for planned in self._planned]

    # -- the run

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """All tests, then the broken ones once more."""
        if session.testsfailed or session.config.option.collectonly:
            return None  # pytest's own loop says what is wrong, or lists
        with interruptible(), self._opened(session) as lab:
            items: Sequence[pytest.Item] = session.items
            for self._round in range(1, _ROUNDS + 1):
                self._again = []
                self._go_through(session, items, lab)
                items = self._again
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """One attempt at one test."""
        attempt = Attempt(self._round, self._avoid.get(item.nodeid, frozenset()))
        item.stash[attempt_key] = attempt
        self._open_journal.test_started(item, attempt)
        try:
            result = yield
        except BaseException:
            if attempt.judgement.outcome is Outcome.FAILED:  # the run ends while evidence is gathered
                self._open_journal.attempt_finished(item, attempt)
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
            attempt.evidence += self._open_journal.gather(item, attempt)
        return report

    # -- inner parts

    @property
    def _open_journal(self) -> Journal:
        assert self._journal is not None, "the run has not begun"
        return self._journal

    @contextlib.contextmanager
    def _opened(self, tests: pytest.Session) -> Iterator[LabSession]:
        """The lab, from here to the end of the run; whatever happens it is taken away again."""
        request = self._request
        run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        with contextlib.ExitStack() as stack:
            journal = stack.enter_context(Journal(request, run_id, self._planned))
            self._journal = journal
            lab, passwords = request.lab, {}
            if any(host.kind is HostKind.SIMULATED for host in lab.hosts.values()):
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pvhck-sim-")))
                simulated = stack.enter_context(SimLab(lab, folder=folder, seed=request.options.seed))
                lab, passwords = simulated.lab, dict(simulated.passwords)
                for password in passwords.values():
                    journal.redactor.add(Secret(password))
            session = LabSession(
                options=request.options,
                lab=lab,
                profile=request.profile,
                build=request.build,
                older_build=request.older_build,
                run_id=run_id,
                report=journal.say,
                warn=journal.warn,
                found=journal.driver_found,
                passwords=passwords,
                redactor=journal.redactor,
            )
            self._config.stash[lab_key] = session
            stack.callback(self._close, tests, session, journal)
            yield session

    def _close(self, tests: pytest.Session, session: LabSession, journal: Journal) -> None:
        asked = session.options.keep
        keep = asked is Keep.ALWAYS or (asked is Keep.ON_FAILURE and journal.has_failures)
        with tidying():
            try:
                _take_back(tests, journal)
                for kept in session.close(keep=keep):
                    journal.warn(f"kept: {kept}")
            except KeyboardInterrupt:
                journal.warn("tidying up was broken off: `pvhck lab sweep` removes what is left")
                raise

    def _go_through(self, session: pytest.Session, items: Sequence[pytest.Item], lab: LabSession) -> None:
        for number, item in enumerate(items):
            if lab.out_of_time and not item.stash[planned_key].reasons:
                item.add_marker(pytest.mark.skip(reason="the time of --max-time was over"))
            following = items[number + 1] if number + 1 < len(items) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)

    def _end(self, item: pytest.Item, attempt: Attempt) -> None:
        """After teardown: nothing may be left, and a broken test runs once more elsewhere if it can."""
        if attempt.spoilt and attempt.guest is not None:
            attempt.guest.break_()  # what broke may be the teardown itself, after the fixtures had their say
        self._look_for_leftovers(attempt)
        self._open_journal.attempt_finished(item, attempt)
        if attempt.judgement.outcome is Outcome.BROKEN and self._round < _ROUNDS:
            host = attempt.host.name if attempt.host else ""
            self._avoid[item.nodeid] = self._avoid.get(item.nodeid, frozenset()) | {host}
            self._again.append(item)

    def _look_for_leftovers(self, attempt: Attempt) -> None:
        leased = attempt.leased
        if leased is None:
            return
        try:
            left = leased.take_leaked()
        except InfrastructureError as error:
            attempt.add(Judgement(Outcome.BROKEN, reason=str(error)))
            return
        # what a provisioning that broke leaves half-made is not the test's doing
        if left and attempt.judgement.outcome is not Outcome.BROKEN:
            what = ", ".join(str(item) for item in left)
            attempt.add(Judgement(Outcome.FAILED, FailureKind.ASSERTION, f"left behind on the host: {what}"))


def _take_back(tests: pytest.Session, journal: Journal) -> None:
    """End the fixtures of a test that was broken off: pytest would, when the lab is gone."""
    try:
        # pytest has no other name for it, and its hook for it wants a test that was set up to its end
        tests._setupstate.teardown_exact(None)  # noqa: SLF001
    except (Exception, BaseExceptionGroup, pytest.fail.Exception) as error:  # noqa: BLE001  # the lab is next
        journal.warn(f"what the interrupted test had made was not all taken back: {error}")


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
