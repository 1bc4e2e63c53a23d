"""Running a program in a guest: started as a job, polled until it ends, stopped when it does not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from harness.deadline import Done, NotYet, WaitTimedOut, wait_until
from harness.errors import ChannelError, GuestError, HarnessError, InfrastructureError, OutputNotUnderstood
from harness.guest.guest import Guest
from harness.lab import ToolName
from harness.model import Measurement
from harness.operations import JobStatus
from harness.workload.measure import Workload, summarise

__all__ = [
    "Background",
    "GuestTool",
    "ToolOutput",
    "carry_out",
    "measure",
    "read_output",
    "run_in_guest",
    "running",
]

# What starting, ending and polling a program may take on top of its own duration.
_MARGIN_S = 60.0
_POLL_S = 0.2


@dataclass(frozen=True)
class GuestTool:
    """A program as it lies in a guest: a path, or a name that is found there."""

    name: ToolName
    path: str


@dataclass(frozen=True)
class ToolOutput:
    """A program that has ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def last_words(self) -> str:
        """The last line of what it had to say, for people."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return lines[-1].strip() if lines else ""


class Background:
    """A program that runs on in the guest while other things happen."""

    def __init__(self, guest: Guest, path: str, job: str) -> None:
        self._guest = guest
        self._path = path
        self._job = job

    def check_running(self) -> None:
        """See that it still runs: a load that has ended is no load.

        Raises:
            GuestError: it has ended; says with which words.
        """
        status = self._guest.operations.job_status(job=self._job)
        if status.state != "running":
            output = _ended(self._path, status)
            raise GuestError(
                f"{self._path} on {self._guest.name} ended too early, with exit code {output.exit_code}: "
                f"{output.last_words}"
            )

    def wait(self, limit_s: float) -> ToolOutput:
        """Wait until it has ended; one that does not is stopped.

        Raises:
            WaitTimedOut: it did not end.
            GuestError: it vanished.
        """

        def probe() -> Done[JobStatus] | NotYet:
            status = self._guest.operations.job_status(job=self._job)
            return NotYet("it runs") if status.state == "running" else Done(status)

        try:
            status = wait_until(
                probe,
                subject=f"{self._path} ends on {self._guest.name}",
                deadline=self._guest.deadline(limit_s),
                interval_s=_POLL_S * self._guest.host.spec.time_factor,
            )
        except WaitTimedOut:
            self.stop()
            raise
        return _ended(self._path, status)

    def stop(self) -> None:
        """End it if it still runs; a guest that was rebooted meanwhile has no such job any more."""
        with contextlib.suppress(GuestError, ChannelError, InfrastructureError):
            self._guest.operations.stop_job(job=self._job)


@contextmanager
def running(guest: Guest, path: str, arguments: Sequence[str]) -> Iterator[Background]:
    """Run a program while the context lasts."""
    job = guest.operations.start_tool(path=path, arguments=tuple(arguments)).job
    background = Background(guest, path, job)
    try:
        yield background
    finally:
        background.stop()


def run_in_guest(guest: Guest, path: str, arguments: Sequence[str], *, limit_s: float) -> ToolOutput:
    """Run a program to its end; whatever its exit code, that is a result.

    Raises:
        WaitTimedOut: it did not end within ``limit_s`` times the host's time factor.
        GuestError: it could not be started, or vanished.
    """
    job = guest.operations.start_tool(path=path, arguments=tuple(arguments)).job
    return Background(guest, path, job).wait(limit_s)


def carry_out(guest: Guest, tool: GuestTool, workload: Workload) -> tuple[Measurement, ...]:
    """Run a workload once and read what it measured.

    Raises:
        GuestError: its program says that the work failed.
        OutputNotUnderstood: what it said makes no sense.
    """
    output = run_in_guest(guest, tool.path, workload.arguments(), limit_s=workload.duration_s + _MARGIN_S)
    return read_output(guest, workload, output)


def measure(guest: Guest, tool: GuestTool, workload: Workload, *, repeats: int) -> tuple[Measurement, ...]:
    """Run a workload several times; each metric's median, with the samples."""
    return summarise([carry_out(guest, tool, workload) for _ in range(repeats)])


def read_output(guest: Guest, workload: Workload, output: ToolOutput) -> tuple[Measurement, ...]:
    """The measurements in a program's output; its exit code alone proves nothing (iperf3 -J exits 0)."""
    program = f"{workload.tool} on {guest.name}"
    failed = GuestError(f"{program} ended with exit code {output.exit_code}: {output.last_words}")
    try:
        found = workload.read(output.stdout)
    except OutputNotUnderstood:
        if output.exit_code:
            raise failed from None
        raise
    except HarnessError as error:
        words = f"; its last words: {output.last_words}" if output.stderr.strip() else ""
        raise type(error)(f"{program}: {error.found}{words}", mend=error.mend) from error
    if output.exit_code:
        raise failed
    return found


def _ended(path: str, status: JobStatus) -> ToolOutput:
    if status.state == "lost" or status.exit_code is None:
        raise GuestError(f"{path} vanished without an exit code: {status.stderr.strip() or 'no words'}")
    return ToolOutput(status.exit_code, status.stdout, status.stderr)
