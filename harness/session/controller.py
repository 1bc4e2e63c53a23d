"""A run over several slots: this process holds lab, record and tests, a worker drives each slot."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from xdist.workermanage import WorkerController

from harness.deadline import Deadline, Done, NotYet, WaitTimedOut, wait_until
from harness.errors import HarnessError, InfrastructureError
from harness.host.area import remove_run
from harness.host.health import Health
from harness.host.host import Host
from harness.host.lease import holder_now
from harness.host.sshlogin import Credentials
from harness.lab import Lab, SecretRef, resolve_secret
from harness.model import Outcome
from harness.results import AttemptResult, RunResults, now_utc
from harness.session.dispatch import Assignment, Dispatcher, Task
from harness.session.interrupts import interruptible, tidying
from harness.session.options import Keep, RunOptions
from harness.session.planning import Plan
from harness.session.pool import HostPool
from harness.session.record import OUT_OF_TIME, RunRecord, new_run_id
from harness.session.request import RunRequest
from harness.session.scheduling import SlotScheduling
from harness.session.simulated import with_addresses
from harness.session.slots import Slot
from harness.session.state import CONTROLLER
from harness.session.worker import Seat

__all__ = ["Controller", "WorkerFailed"]

_log = logging.getLogger(__name__)

_END_S = 300  # workers tidy up and gather what evidence they can


class WorkerFailed(InfrastructureError):
    """A worker cannot go on."""


class Controller:
    """A plugin of the controlling process, and a context: pytest runs within it.

    Its methods without an underscore are hooks of pytest and pytest-xdist.
    """

    def __init__(self, request: RunRequest, plan: Plan, *, resume: Path | None = None) -> None:
        """``resume`` is the folder of the run that goes on."""
        self.__name__ = CONTROLLER  # what pytest calls a plugin that is an object
        self._request = request
        self._plan = plan
        self._run_id = resume.name if resume is not None else new_run_id()
        self._record = RunRecord(request, self._run_id, plan.tests, resume=resume)
        self._dispatcher = Dispatcher(plan.tasks, plan.slots, fresh_s=plan.fresh_s)
        self._free = list(plan.slots)
        self._seated: dict[str, Slot] = {}
        self._nodes: list[WorkerController] = []
        self._left: set[Slot] = set()  # whose workers could not tidy up
        self._lab: Lab = request.lab
        self._passwords: Mapping[str, str] = {}
        self._hosts: dict[str, Host] = {}
        self._pool = HostPool(
            holder_now(self._run_id, expected_s=request.options.max_time_s or plan.expected_s),
            request.options.wait_s,
            self._say,
            self._warn,
            tuple(request.lab.templates.values()),
        )
        self._began = time.monotonic()
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(interruptible())
            stack.enter_context(self._record)
            for test, reason in self._plan.skipped.items():
                self._record.writer.skipped(test, reason)
            simulated = with_addresses(self._request.lab, self._request.options.seed)
            self._lab, self._passwords = stack.enter_context(simulated)
            stack.callback(self._disconnect)
            stack.enter_context(self._pool)
            stack.callback(self._judge_hosts)
            stack.callback(self._give_back)
            self._take_hosts()
            self._give_up()
            self._held = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.__exit__(kind, error, trace)

    @property
    def workers(self) -> int:
        """How many are wanted: one for each slot of the hosts that could be had."""
        return len(self._free)

    @property
    def results(self) -> RunResults | None:
        """What came of the run, once it has ended."""
        return self._record.results

    # -- hooks of pytest-xdist

    def pytest_configure_node(self, node: WorkerController) -> None:
        """A worker starts: it gets a free slot."""
        slot = self._free.pop(0)
        self._seated[node.gateway.id] = slot
        self._nodes.append(node)
        seat = Seat(
            slot, self._run_id, self._record.writer.folder, self._options(), self._lab, self._passwords
        )
        seat.give(node.workerinput)

    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        """A worker has ended, or died: its slot is free for another."""
        self._nodes.remove(node)
        slot = self._seated[node.gateway.id]
        self._free.append(slot)
        if error is not None:
            self._left.add(slot)
            self._warn(f"the worker of host {slot.host}, slot {slot.number}, died: {error}")

    def pytest_xdist_make_scheduler(self) -> SlotScheduling:
        """The one that knows slots."""
        return SlotScheduling(
            self._dispatcher,
            lambda node: self._seated[node.gateway.id],
            outcome=self._outcome,
            died=self._died,
            refill=self._give_up,
        )

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """One of a worker ends the run, as one of ours would: what it stands for waits for all others, too.

        Raises:
            WorkerFailed: a worker told of it; pytest-xdist itself would go on, and wait for that worker.
        """
        if excinfo.traceback[-1].name == "worker_internal_error":
            told = str(excinfo.value)
            _log.error("a worker ended by this:\n%s", told)
            raise WorkerFailed(_last_line(told))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Workers that still run are told to end; pytest-xdist would kill them after ten seconds."""
        with tidying():
            for node in self._nodes:
                if not node.shutting_down:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(node.gateway._rinfo().pid, signal.SIGINT)  # noqa: SLF001  # asked once by xdist
            factor = max((host.time_factor for host in self._lab.hosts.values()), default=1.0)
            try:
                wait_until(
                    self._all_ended,
                    subject="the workers tidy up and end",
                    deadline=Deadline.after(_END_S * max(1.0, factor)),
                )
            except WaitTimedOut as error:
                self._left |= {self._seated[node.gateway.id] for node in self._nodes}
                self._warn(f"{error}; they are killed, and what they had is taken away")

    # -- inner parts

    def _options(self) -> RunOptions:
        """The run's options for a worker: what was made or found for the build is there already."""
        build, older = self._request.build, self._request.older_build
        return replace(
            self._request.options,
            build=str(build.path) if build is not None else None,
            upgrade_from=str(older.path) if older is not None else None,
        )

    def _all_ended(self) -> Done[None] | NotYet:
        still = [self._seated[node.gateway.id] for node in self._nodes if not node.shutting_down]
        if not still:
            return Done(None)
        return NotYet(f"{len(still)} still run: {', '.join(slot.host for slot in still[:5])}")

    def _take_hosts(self) -> None:
        credentials = Credentials(self._reveal)
        self._hosts = {name: Host(self._lab.hosts[name], credentials) for name in self._plan.hosts}
        for name, error in self._pool.take_all(list(self._hosts.values())).items():
            self._warn(f"host {name} takes no part: {error}")
            self._dispatcher.take_out(name, str(error))
        self._free = [slot for slot in self._free if slot.host not in self._dispatcher.out]

    def _judge_hosts(self) -> None:
        """What the run found the hosts to be: those it took out are bad, those a test has passed on good."""
        out = self._dispatcher.out
        passed = self._record.watch.passed_on
        for name in self._plan.hosts:
            if name in out:
                self._pool.judge(name, Health.BAD, f"run {self._run_id}: {out[name]}")
            elif name in passed:
                self._pool.judge(name, Health.GOOD, f"run {self._run_id}")

    def _disconnect(self) -> None:
        for host in self._hosts.values():
            host.close()

    def _give_back(self) -> None:
        """What workers left that could not tidy up; with ``--keep`` they leave their guests on purpose."""
        with tidying():
            for slot in sorted(self._left) if self._request.options.keep is Keep.NEVER else ():
                host = self._hosts[slot.host]
                try:
                    remove_run(host.shell, host.toolstack, slot.run_id(self._run_id), self._say)
                except HarnessError as error:
                    self._warn(f"could not tidy up host {host.name}: {error}; `pvhck lab sweep` will")

    def _outcome(self, assignment: Assignment) -> Outcome:
        task, number = assignment.task, assignment.attempt
        found = self._record.watch.attempt(task.id, number)
        if found is None:
            self._broken(task, "its worker wrote down no result", attempt=number)
            return Outcome.BROKEN
        return found.outcome

    def _died(self, assignment: Assignment, slot: Slot) -> None:
        reason = "the process that ran it died"
        self._broken(assignment.task, reason, attempt=assignment.attempt, host=slot.host)

    def _give_up(self) -> None:
        """Tests that will never run any more: the time is over, or their hosts are gone."""
        limit = self._request.options.max_time_s
        if limit is not None and time.monotonic() - self._began > limit:
            for task in self._dispatcher.take_pending():
                self._record.writer.skipped(task.id, OUT_OF_TIME)
        for name, why in self._pool.lost().items():
            self._dispatcher.take_out(name, why)
        out = self._dispatcher.out
        for task in self._dispatcher.take_stranded():
            reasons = [f"{name}: {out[name]}" for name in task.hosts if name in out]
            self._broken(task, "; ".join(reasons))

    def _broken(self, task: Task, reason: str, *, attempt: int = 1, host: str = "") -> None:
        found = AttemptResult(
            attempt, Outcome.BROKEN, reason=self._clean(reason), started=now_utc(), host=host
        )
        self._record.writer.attempt_finished(task.id, found)

    def _reveal(self, ref: SecretRef) -> str:
        secret = resolve_secret(ref)
        self._record.redactor.add(secret)
        return secret.reveal()

    def _clean(self, text: str) -> str:
        return self._record.redactor.clean(text)

    def _say(self, text: str) -> None:
        self._record.writer.message(self._clean(text))

    def _warn(self, text: str) -> None:
        self._record.writer.warning(self._clean(text))


def _last_line(text: str) -> str:
    """What a traceback ends in, without the error's class.

    pytest-xdist hands it on by ``assert False, text``, which pytest rewrites: its own words come last.
    """
    last = text.strip().removesuffix("assert False").strip().splitlines()[-1].removeprefix("E").strip()
    return last.partition(": ")[2] or last
