"""What a run says while it goes on, and keeps: to the recorder, to the terminal, to the evidence folders."""

from __future__ import annotations

import logging
import platform
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import pytest

from harness import __version__
from harness.errors import HarnessError
from harness.evidence import collect, provoke_dump
from harness.guest.guest import Guest
from harness.host.host import Host
from harness.lab import GuestTemplate, Redactor
from harness.model import FailureKind, Outcome
from harness.report import Progress, summary, write_reports
from harness.results import (
    AttemptResult,
    DriverBuildFacts,
    DriverFound,
    GuestFacts,
    PackageFacts,
    RunEnd,
    RunFacts,
    RunRecorder,
    RunResults,
    TestFacts,
    now_utc,
    utc,
)
from harness.session.attempt import Attempt
from harness.session.interrupts import tidying
from harness.session.request import RunRequest
from harness.session.selection import Planned, area_of, drivers_of, hck_of
from harness.session.state import planned_key

__all__ = ["Journal"]

_log = logging.getLogger(__name__)


class Journal:
    """The record of one run, from its beginning to its reports. Use it as a context."""

    def __init__(self, request: RunRequest, run_id: str, planned: Sequence[Planned]) -> None:
        self.redactor = Redactor()
        self.results: RunResults | None = None
        self._request = request
        facts = RunFacts(
            id=run_id,
            started=now_utc(),
            profile=request.profile.name,
            argv=request.options.argv,
            harness_version=__version__,
            driver_build=_build_facts(request),
            environment={
                "hosts": str(request.lab.source),
                "python": platform.python_version(),
                "seed": str(request.options.seed),
            },
        )
        self._recorder = RunRecorder(request.options.reports, facts, self.redactor.clean)
        self._progress = Progress()
        self._planned = planned
        self._worst: set[Outcome] = set()
        self._of_the_lost: dict[str, list[str]] = {}  # evidence of guests that no test got, by name

    def __enter__(self) -> Self:
        for warning in self._request.warnings:
            self.warn(warning)
        facts = tuple(_test_facts(planned, self._request) for planned in self._planned)
        self._recorder.collected(facts)
        self._progress.collected(facts, self._request.profile.name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with tidying():
            try:
                self.results = self._recorder.finish(RunEnd.FINISHED if error is None else RunEnd.INTERRUPTED)
            finally:
                self._progress.end()
            summary(self.results, write_reports(self._recorder.folder))

    @property
    def has_failures(self) -> bool:
        """Whether a test failed or is broken so far."""
        return bool(self._worst & {Outcome.FAILED, Outcome.BROKEN})

    def say(self, text: str) -> None:
        """A line for people who watch."""
        text = self.redactor.clean(text)
        self._recorder.message(text)
        self._progress.message(text)

    def warn(self, text: str) -> None:
        """What people should know of the results, now and when they read the report."""
        text = self.redactor.clean(text)
        self._recorder.warning(text)
        self._progress.message(f"warning: {text}")

    def test_started(self, item: pytest.Item, attempt: Attempt) -> None:
        """An attempt begins."""
        self._recorder.test_started(item.nodeid, attempt.number)
        self._progress.test_started(item.nodeid, attempt.number)

    def attempt_finished(self, item: pytest.Item, attempt: Attempt) -> None:
        """An attempt has ended, with its teardown."""
        judgement = attempt.judgement
        self._worst.add(judgement.outcome)
        where = _where(attempt)
        result = AttemptResult(
            number=attempt.number,
            outcome=judgement.outcome,
            kind=judgement.kind,
            reason=self.redactor.clean(judgement.reason),
            started=utc(attempt.started),
            duration_s=round(attempt.duration_s, 3),
            evidence=tuple(attempt.evidence),
            host=where.host,
            toolstack=where.toolstack,
            xen_version=where.xen_version,
            nested=where.nested,
        )
        self._recorder.attempt_finished(item.nodeid, result, attempt.measurements)
        self._progress.attempt_finished(item.nodeid, result)

    def driver_found(self, found: DriverFound) -> None:
        """What an install or a look at a guest found of a driver."""
        self._recorder.driver_found(found)

    def gather(self, item: pytest.Item, attempt: Attempt) -> list[str]:
        """Evidence of an attempt that went wrong; paths relative to the run's folder."""
        if attempt.host is None:
            return []
        guest = attempt.guest
        if guest is None and attempt.leased is not None:
            guest = attempt.leased.keeper.lost(item.stash[planned_key].template)
            if guest is not None and guest.name in self._of_the_lost:
                return self._of_the_lost[guest.name]  # taken from it when it was lost
        found = self._collect(item, attempt, attempt.host, guest)
        if guest is not None and attempt.guest is None:
            self._of_the_lost[guest.name] = found
        return found

    def _collect(self, item: pytest.Item, attempt: Attempt, host: Host, guest: Guest | None) -> list[str]:
        name = f"{_safe(item.nodeid)}-{attempt.number}"
        folder = self._recorder.folder / "evidence" / name
        self._progress.message(f"gathering evidence of {item.nodeid}")
        started = time.monotonic()
        try:
            found = collect(guest, host, folder, redact=self.redactor.clean)
            if guest is not None and attempt.judgement.kind is FailureKind.HANG:
                found += provoke_dump(guest, folder, redact=self.redactor.clean)
        except HarnessError as error:
            self.warn(f"no evidence of {item.nodeid}: {error}")
            return []
        _log.info("evidence of %s took %.1f s", item.nodeid, time.monotonic() - started)
        return [f"evidence/{name}/{path}" for path in found]


def _test_facts(planned: Planned, request: RunRequest) -> TestFacts:
    return TestFacts(
        id=planned.item.nodeid,
        area=area_of(planned.item),
        drivers=drivers_of(planned.item),
        guest=_guest_facts(request.lab.templates[planned.placement.template]),
        hck=hck_of(planned.item),
    )


def _guest_facts(template: GuestTemplate) -> GuestFacts:
    return GuestFacts(template=template.name, os=template.os, arch=template.arch, kind=template.guest)


@dataclass(frozen=True)
class _Where:
    """The host of an attempt, as far as it could be asked."""

    host: str = ""
    toolstack: str = ""
    xen_version: str = ""
    nested: bool = False


def _where(attempt: Attempt) -> _Where:
    host = attempt.host
    if host is None:
        return _Where()
    if attempt.leased is None:
        return _Where(host.name)
    try:
        return _Where(host.name, host.toolstack.name.value, str(host.info.version), host.nested)
    except HarnessError:
        return _Where(host.name)


def _build_facts(request: RunRequest) -> DriverBuildFacts | None:
    build = request.build
    if build is None:
        return None
    return DriverBuildFacts(
        path=request.options.build or "",
        packages=tuple(
            PackageFacts(package.name, package.version, package.sha256, package.arch)
            for package in build.packages
        ),
        synthetic=build.synthetic,
    )


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name.removeprefix("scenarios/"))
