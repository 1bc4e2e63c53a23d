"""What the controlling process makes of a worker that cannot go on."""

from __future__ import annotations

import logging

import pytest

from harness.session.controller import Controller, WorkerFailed

_REWRITTEN = "E   harness.errors.HostUnreachable: host far: connection lost during xl list\nassert False"


def worker_internal_error(text: str) -> None:
    """Called as pytest-xdist's own, which is told apart by its name."""
    raise AssertionError(text)


@pytest.mark.parametrize("text", [_REWRITTEN, _REWRITTEN.removesuffix("\nassert False")])
def test_a_run_that_a_worker_ends_says_the_worker_s_reason(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    controller = Controller.__new__(Controller)  # nothing of a run is needed to read a message
    with pytest.raises(AssertionError) as told:
        worker_internal_error(text)

    with caplog.at_level(logging.ERROR), pytest.raises(WorkerFailed) as failed:
        controller.pytest_internalerror(told)

    assert str(failed.value) == "host far: connection lost during xl list"
    assert text in caplog.text, "all of it is needed to find the fault"
