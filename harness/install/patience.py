"""Waiting for a guest whose network the work itself may cut, and timing the steps of that work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from harness.deadline import Deadline, Done, NotYet, WaitTimedOut, wait_until
from harness.errors import GuestCrashed, GuestError, GuestGone, GuestHung, OperationFailed
from harness.guest.guest import Guest
from harness.install.outcome import StepTime
from harness.operations import JobStarted, JobStatus

__all__ = ["Silent", "Steps", "await_answer", "await_boot", "reboot_guest", "run_job"]

T = TypeVar("T")

_POLL_S = 0.2


class Silent(GuestError):
    """The guest did not answer for longer than the step allows."""


class _SilentAndHung(Silent, GuestHung):
    """As ``Silent``, and nothing else of it shows life: a hang."""


class Steps:
    """Steps with their durations, in order."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._times: list[StepTime] = []

    @property
    def times(self) -> tuple[StepTime, ...]:
        """Those that have ended."""
        return tuple(self._times)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        self._report(name)
        began = time.monotonic()
        try:
            yield
        finally:
            self._times.append(StepTime(name, round(time.monotonic() - began, 3)))


def await_answer(
    guest: Guest, ask: Callable[[], T | NotYet], *, subject: str, deadline: Deadline, silence_s: float
) -> T:
    """Ask again and again, by fresh connections, until there is an answer that is no ``NotYet``.

    A guest that loses its network is asked on for ``silence_s``; what else goes wrong is raised.

    Raises:
        Silent: it did not answer for ``silence_s``; says what was last heard of it.
        WaitTimedOut: it answers, but not what was awaited.
        GuestCrashed: it crashed.
    """
    silent: list[Deadline] = []

    def probe() -> Done[T] | NotYet:
        try:
            answer = ask()
        except GuestError as error:
            if not _may_come_back(error):
                raise
            guest.disconnect()
            if not silent:
                silent.append(guest.deadline(silence_s))
            if silent[0].expired or deadline.expired:
                kind = _SilentAndHung if isinstance(error, GuestHung) else Silent
                raise kind(f"{subject}: {error}") from error
            return NotYet(str(error))
        silent.clear()
        return answer if isinstance(answer, NotYet) else Done(answer)

    return wait_until(probe, subject=subject, deadline=deadline, interval_s=_POLL_S)


def run_job(
    guest: Guest,
    start: Callable[[], JobStarted],
    *,
    subject: str,
    seconds: float,
    silence_s: float | None = None,
) -> JobStatus:
    """Start a job and follow it to its end. It may cut the network for ``silence_s`` (all its time).

    ``start`` must do no harm when it is called twice: it is, when the answer to it gets lost.

    Raises:
        GuestHung: it does not end.
        GuestError: it vanished, or the guest did not answer any more.
    """
    deadline = guest.deadline(seconds)
    patience = seconds if silence_s is None else silence_s
    started = await_answer(guest, start, subject=subject, deadline=deadline, silence_s=patience)

    def ask() -> JobStatus | NotYet:
        status = guest.operations.job_status(job=started.job)
        return NotYet(f"its job is {status.state}") if status.state == "running" else status

    try:
        status = await_answer(guest, ask, subject=subject, deadline=deadline, silence_s=patience)
    except WaitTimedOut as error:
        raise GuestHung(str(error)) from error
    if status.state == "lost":
        raise GuestError(f"{subject}: its job vanished without an exit code: did the guest reboot?")
    return status


def reboot_guest(guest: Guest, *, boot_s: float, why: str) -> None:
    """Have the guest reboot by itself and wait until the new boot answers.

    Raises: as ``await_boot``.
    """
    guest.wait_may_restart()
    deadline = guest.deadline(boot_s)
    old = guest.operations.boot_id().boot_id
    try:
        guest.operations.restart()
    except GuestGone:
        pass  # its answer got lost, and it is between two lives of its domain, or in the next
    except GuestError as error:
        if not _may_come_back(error):
            raise
        # the reboot was faster than the answer: the new boot id will prove it
    guest.disconnect()
    await_boot(guest, deadline, old_boot=old, why=f"the reboot ({why})")


def await_boot(guest: Guest, deadline: Deadline, *, old_boot: str, why: str) -> None:
    """Wait until a new boot answers.

    Raises: as ``Guest.wait_ready``, with ``why`` it was rebooted.
    """
    try:
        guest.wait_ready(deadline, old_boot=old_boot)
    except (GuestHung, GuestCrashed) as error:
        raise type(error)(f"{error.found}, after {why}") from error
    except GuestError as error:
        raise GuestError(f"{error}, after {why}") from error


def _may_come_back(error: GuestError) -> bool:
    """Whether the error means silence, not an answer and not the guest's end."""
    return not isinstance(error, (OperationFailed, GuestCrashed, Silent))
