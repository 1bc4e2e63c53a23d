"""A run within this process: one test after the other, then the broken ones once more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import pytest

from harness.host.lease import holder_now
from harness.model import Outcome
from harness.results import RunResults
from harness.session.attempt import Attempt
from harness.session.collecting import Collection
from harness.session.interrupts import interruptible
from harness.session.journal import Journal
from harness.session.lab_session import LabSession
from harness.session.on_lab import lab_for, tests_on_lab
from harness.session.pool import HostPool
from harness.session.record import OUT_OF_TIME, RunRecord, new_run_id
from harness.session.selection import test_facts
from harness.session.simulated import with_addresses
from harness.session.state import planned_key

__all__ = ["Run"]

_ROUNDS = 2  # a broken test runs once more, after all the others


class Run:
    """Registered with pytest when a lab is asked for; its methods are pytest's hooks."""

    def __init__(self, collection: Collection) -> None:
        self._request = collection.request
        self._collection = collection
        self._again: list[pytest.Item] = []
        self._avoid: dict[str, frozenset[str]] = {}
        self._round = 1
        self._record: RunRecord | None = None

    @property
    def results(self) -> RunResults | None:
        """What came of the run, once it has ended."""
        return self._record.results if self._record is not None else None

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

    @contextlib.contextmanager
    def _opened(self, tests: pytest.Session) -> Iterator[LabSession]:
        """The lab, from here to the end of the run; whatever happens it is taken away again."""
        request, run_id = self._request, new_run_id()
        facts = [test_facts(planned) for planned in self._collection.planned]
        with contextlib.ExitStack() as stack:
            self._record = stack.enter_context(RunRecord(request, run_id, facts))
            journal = Journal(self._record.writer, self._record.redactor)
            lab, passwords = stack.enter_context(with_addresses(request.lab, request.options.seed))
            holder = holder_now(run_id, expected_s=request.options.max_time_s or 0)
            templates = tuple(request.lab.templates.values())
            pool = HostPool(holder, request.options.wait_s, journal.say, journal.warn, templates)
            session = lab_for(request, journal, lab, run_id=run_id, passwords=passwords, take=pool.take)
            stack.callback(session.disconnect)
            stack.enter_context(pool)
            stack.enter_context(tests_on_lab(tests, session, journal, begin=self._attempt, ended=self._ended))
            yield session

    def _attempt(self, item: pytest.Item) -> Attempt:
        return Attempt(self._round, self._avoid.get(item.nodeid, frozenset()))

    def _ended(self, item: pytest.Item, attempt: Attempt) -> None:
        """A broken test runs once more, elsewhere if it can."""
        if attempt.judgement.outcome is Outcome.BROKEN and self._round < _ROUNDS:
            host = attempt.host.name if attempt.host else ""
            self._avoid[item.nodeid] = self._avoid.get(item.nodeid, frozenset()) | {host}
            self._again.append(item)

    def _go_through(self, session: pytest.Session, items: Sequence[pytest.Item], lab: LabSession) -> None:
        for number, item in enumerate(items):
            if lab.out_of_time and not item.stash[planned_key].reasons:
                item.add_marker(pytest.mark.skip(reason=OUT_OF_TIME))
            following = items[number + 1] if number + 1 < len(items) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
