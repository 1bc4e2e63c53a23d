"""The record of one run: it begins here, is watched while it goes on, and ends in its reports."""

from __future__ import annotations

import contextlib
import platform
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from harness import __version__
from harness.lab import Redactor
from harness.report import summary, write_reports
from harness.results import DriverBuildFacts, PackageFacts, RunEnd, RunFacts, RunResults, TestFacts, now_utc
from harness.results.recorder import RunRecorder
from harness.session.interrupts import tidying
from harness.session.request import RunRequest
from harness.session.watch import RunWatch

__all__ = ["OUT_OF_TIME", "RunRecord", "build_facts", "new_run_id"]

OUT_OF_TIME = "the time of --max-time was over"


def new_run_id() -> str:
    """An id for a run that begins now: runs sort by it."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


class RunRecord:
    """A run's folder from its first line to its page. Use it as a context.

    ``writer`` takes what this process has to say, ``watch`` knows what all processes of the run have said.
    """

    def __init__(
        self, request: RunRequest, run_id: str, tests: Sequence[TestFacts], *, resume: Path | None = None
    ) -> None:
        """``resume`` is the folder of a run to go on with."""
        self.redactor = Redactor()
        self.results: RunResults | None = None
        if resume is None:
            facts = _run_facts(request, run_id)
            self.writer = RunRecorder(request.options.reports, facts, self.redactor.clean)
        else:
            self.writer = RunRecorder.resumed(resume, self.redactor.clean)
        self.watch = RunWatch(self.writer.folder, request.profile.name)
        self._warnings = request.warnings
        self._tests = tests
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._held.enter_context(self.watch)
        for warning in self._warnings:
            self.writer.warning(self.redactor.clean(warning))
        self.writer.collected(self._tests)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with tidying():
            try:
                self.results = self.writer.finish(RunEnd.FINISHED if error is None else RunEnd.INTERRUPTED)
            finally:
                self._held.close()
            summary(self.results, write_reports(self.writer.folder))


def _run_facts(request: RunRequest, run_id: str) -> RunFacts:
    return RunFacts(
        id=run_id,
        started=now_utc(),
        profile=request.profile.name,
        argv=request.options.argv,
        harness_version=__version__,
        driver_build=build_facts(request),
        environment={
            "hosts": str(request.lab.source),
            "python": platform.python_version(),
            "seed": str(request.options.seed),
        },
    )


def build_facts(request: RunRequest) -> DriverBuildFacts | None:
    """The build of a request as results know it."""
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
