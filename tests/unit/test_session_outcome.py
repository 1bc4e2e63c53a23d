"""Whose fault an exception is, and what that makes of an attempt."""

from __future__ import annotations

import pytest

from harness.deadline import WaitTimedOut
from harness.errors import (
    ChannelBroken,
    CommandFailed,
    ConfigurationError,
    GuestCrashed,
    GuestError,
    GuestHung,
    HostUnreachable,
)
from harness.model import FailureKind, Outcome
from harness.session.outcome import PASSED, Judgement, judge, worse

_WAIT = WaitTimedOut("win1 leaves xl list", 5, "still there")


@pytest.mark.parametrize(
    ("error", "outcome", "kind"),
    [
        (GuestCrashed("state c"), Outcome.FAILED, FailureKind.CRASH),
        (GuestHung("silent"), Outcome.FAILED, FailureKind.HANG),
        (GuestError("code 10"), Outcome.FAILED, FailureKind.ASSERTION),
        (AssertionError("no"), Outcome.FAILED, FailureKind.ASSERTION),
        (_WAIT, Outcome.FAILED, FailureKind.ASSERTION),
        (pytest.fail.Exception("no"), Outcome.FAILED, FailureKind.ASSERTION),
        (HostUnreachable("no SSH"), Outcome.BROKEN, None),
        (CommandFailed("xl"), Outcome.BROKEN, None),
        (ChannelBroken("HTTP 400"), Outcome.BROKEN, None),
        (ConfigurationError("no secret"), Outcome.BROKEN, None),
        (pytest.skip.Exception("no iperf3"), Outcome.SKIPPED, None),
        (ZeroDivisionError("ours"), Outcome.BROKEN, None),
    ],
)
def test_an_error_in_a_scenario_has_the_outcome_of_whoever_is_at_fault(
    error: BaseException, outcome: Outcome, kind: FailureKind | None
) -> None:
    judged = judge(error, in_call=True)

    assert (judged.outcome, judged.kind) == (outcome, kind)
    assert judged.reason


@pytest.mark.parametrize("error", [AssertionError("no"), _WAIT, pytest.fail.Exception("no")])
def test_what_fails_before_the_scenario_runs_is_not_blamed_on_the_guest(error: BaseException) -> None:
    assert judge(error, in_call=False).outcome is Outcome.BROKEN


def test_a_fault_of_ours_is_said_to_be_one() -> None:
    assert "fault of the harness: ZeroDivisionError" in judge(ZeroDivisionError("x"), in_call=True).reason


def test_a_broken_teardown_does_not_hide_a_failure() -> None:
    failed = Judgement(Outcome.FAILED, FailureKind.CRASH, "state c")
    broken = Judgement(Outcome.BROKEN, reason="no SSH")

    assert worse(failed, broken) is failed
    assert worse(broken, failed) is failed
    assert worse(PASSED, broken) is broken
