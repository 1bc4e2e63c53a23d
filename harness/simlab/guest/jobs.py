"""Jobs: programs that run on by themselves and leave their end in files, until the boot ends."""

from __future__ import annotations

import ntpath
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.operations import JobStarted, JobStatus, OperationRefused
from harness.simlab.guest.disk import Kept, KeptJob
from harness.simlab.guest.files import GuestFiles
from harness.simlab.guest.life import Life

__all__ = ["Ended", "Jobs", "Running"]

_OUTPUT_LIMIT = 65_536
_NOT_STARTED = 9009  # as jobs.ps1 gives for a program that cannot be started
_KILLED = 1
_FOLDER = "C:\\ProgramData\\pvhck\\jobs"  # as jobs.ps1 has it


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    exit_code: int
    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True)
class Running:
    """A program at work: ``finish`` is called after so many seconds of pace, and gives its end.

    ``seconds`` None is for ever (a server), ``stdout`` what it has said by then.
    """

    seconds: float | None
    finish: Callable[[], Ended]
    stdout: str = ""


class Jobs:
    """The jobs of a guest. ``start`` finds a program and begins to run it, None if it is unknown."""

    def __init__(
        self,
        kept: Kept,
        files: GuestFiles,
        boot_id: str,
        begin: Callable[[str, Sequence[str]], Running | None],
        save: Callable[[], None],
    ) -> None:
        self._kept = kept
        self._files = files
        self._boot_id = boot_id
        self._begin = begin
        self._save = save

    def start(self, life: Life, path: str, arguments: Sequence[str]) -> JobStarted:
        """See ``GuestOperations.start_tool``."""
        if ntpath.basename(path) != path:
            self._check(path)
        job = uuid.uuid4().hex
        self._kept.jobs[job] = KeptJob(self._boot_id)
        self._files.put(_path(job, "arguments"), " ".join(arguments).encode())
        running = self._begin(path, arguments)
        if running is None:
            self._end(job, Ended(_NOT_STARTED, stderr=f"'{path}' is not recognized as a program"))
        else:
            self._files.put(_path(job, "stdout"), running.stdout.encode())
            if running.seconds is not None:
                life.after(running.seconds, lambda: self._finish(job, running))
        self._save()
        return JobStarted(job)

    def status(self, job: str) -> JobStatus:
        """See ``GuestOperations.job_status``."""
        kept = self._job(job)
        state = "running" if kept.boot == self._boot_id else "lost"
        return JobStatus(
            state="ended" if kept.exit_code is not None else state,  # type: ignore[arg-type] # one of the three
            exit_code=kept.exit_code,
            stdout=self._output(job, "stdout"),
            stderr=self._output(job, "stderr"),
        )

    def stop(self, job: str) -> JobStatus:
        """See ``GuestOperations.stop_job``."""
        if self.status(job).state == "running":
            self._kept.jobs[job].exit_code = _KILLED
            self._save()
        return self.status(job)

    def _check(self, path: str) -> None:
        try:
            there = self._files.real(path).is_file()
        except OperationRefused:
            there = False
        if not there:
            raise OperationRefused("not-found", f"there is no program {path}")

    def _job(self, job: str) -> KeptJob:
        if job not in self._kept.jobs:
            raise OperationRefused("not-found", f"there is no job {job}")
        return self._kept.jobs[job]

    def _finish(self, job: str, running: Running) -> None:
        if self._kept.jobs[job].exit_code is None:
            self._end(job, running.finish())

    def _end(self, job: str, ended: Ended) -> None:
        for name, text in (("stdout", ended.stdout), ("stderr", ended.stderr)):
            self._files.put(_path(job, name), text.encode())
        self._kept.jobs[job].exit_code = ended.exit_code
        self._save()

    def _output(self, job: str, name: str) -> str:
        real = self._files.real(_path(job, name))
        data = real.read_bytes() if real.is_file() else b""
        return data[-_OUTPUT_LIMIT:].decode(errors="replace")


def _path(job: str, name: str) -> str:
    return f"{_FOLDER}\\{job}\\{name}"
