"""From an exception to an outcome: whose fault it is decides. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from harness.deadline import WaitTimedOut
from harness.errors import (
    ChannelError,
    ConfigurationError,
    GuestCrashed,
    GuestError,
    GuestHung,
    HarnessError,
    InfrastructureError,
)
from harness.model import FailureKind, Outcome

__all__ = ["PASSED", "Judgement", "judge", "worse"]


@dataclass(frozen=True)
class Judgement:
    """What became of an attempt; ``kind`` only when it failed."""

    outcome: Outcome
    kind: FailureKind | None = None
    reason: str = ""


PASSED = Judgement(Outcome.PASSED)


def judge(error: BaseException | None, *, in_call: bool) -> Judgement:  # noqa: PLR0911  # a table
    """The judgement for the exception that ended an attempt, None for none.

    ``in_call`` says whether the scenario itself was running: a plain assertion or a wait
    that ran out there is the guest's fault, before and after it the lab's or ours.
    """
    match error:
        case None:
            return PASSED
        case pytest.skip.Exception():
            return Judgement(Outcome.SKIPPED, reason=str(error))
        case GuestCrashed():
            return Judgement(Outcome.FAILED, FailureKind.CRASH, str(error))
        case GuestHung():
            return Judgement(Outcome.FAILED, FailureKind.HANG, str(error))
        case GuestError():
            return Judgement(Outcome.FAILED, FailureKind.ASSERTION, str(error))
        case InfrastructureError() | ConfigurationError() | ChannelError():
            return Judgement(Outcome.BROKEN, reason=str(error))
        case AssertionError() | WaitTimedOut() if in_call:
            return Judgement(Outcome.FAILED, FailureKind.ASSERTION, _first_line(error))
        case pytest.fail.Exception() if in_call:
            return Judgement(Outcome.FAILED, FailureKind.ASSERTION, _first_line(error))
        case HarnessError():
            return Judgement(Outcome.BROKEN, reason=str(error))
    return Judgement(
        Outcome.BROKEN, reason=f"fault of the harness: {type(error).__name__}: {_first_line(error)}"
    )


def worse(first: Judgement, second: Judgement) -> Judgement:
    """The graver of two judgements of one attempt: failed, then broken, skipped, passed."""
    order = [Outcome.PASSED, Outcome.SKIPPED, Outcome.EXPECTED, Outcome.BROKEN, Outcome.FAILED]
    return second if order.index(second.outcome) > order.index(first.outcome) else first


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
