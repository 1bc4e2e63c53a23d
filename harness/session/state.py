"""Where the plugin keeps what belongs to a pytest session and to a test."""

from __future__ import annotations

import pytest

from harness.session.attempt import Attempt
from harness.session.lab_session import LabSession
from harness.session.request import RunRequest
from harness.session.selection import Planned

__all__ = ["CONTROLLER", "attempt_key", "lab_key", "lab_of", "planned_key", "request_key"]

CONTROLLER = "pvhck-controller"  # the plugin's name in a process that has workers

request_key = pytest.StashKey[RunRequest]()
lab_key = pytest.StashKey[LabSession]()
planned_key = pytest.StashKey[Planned]()
attempt_key = pytest.StashKey[Attempt]()


def lab_of(config: pytest.Config) -> LabSession:
    """The lab of this session.

    Raises:
        pytest.UsageError: no lab was asked for.
    """
    lab = config.stash.get(lab_key, None)
    if lab is None:
        raise pytest.UsageError("scenarios need a lab: give --pv-hosts FILE, or use `pvhck run`")
    return lab
