"""What a process does that runs tests on a lab, whoever tells it which: it judges them and tidies up."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

import pytest

from harness.host.host import Host
from harness.lab import Lab
from harness.session.attempt import Attempt
from harness.session.attempts import Attempts
from harness.session.interrupts import tidying
from harness.session.journal import Journal
from harness.session.lab_session import LabSession
from harness.session.options import Keep
from harness.session.request import RunRequest
from harness.session.state import lab_key

__all__ = ["lab_for", "tests_on_lab"]


def lab_for(
    request: RunRequest,
    journal: Journal,
    lab: Lab,
    *,
    run_id: str,
    passwords: Mapping[str, str],
    take: Callable[[Host], None],
) -> LabSession:
    """What tests of this process have of a lab; they speak through its journal. See ``LabSession``."""
    return LabSession(
        options=request.options,
        lab=lab,
        profile=request.profile,
        build=request.build,
        older_build=request.older_build,
        run_id=run_id,
        report=journal.say,
        warn=journal.warn,
        found=journal.driver_found,
        take=take,
        passwords=passwords,
        redactor=journal.redactor,
    )


@contextlib.contextmanager
def tests_on_lab(
    tests: pytest.Session,
    lab: LabSession,
    journal: Journal,
    *,
    begin: Callable[[pytest.Item], Attempt],
    ended: Callable[[pytest.Item, Attempt], None],
) -> Iterator[None]:
    """Within it tests find their lab; whatever happens, it is taken away again. See ``Attempts``."""
    tests.config.stash[lab_key] = lab
    attempts = Attempts(journal, begin, ended)
    tests.config.pluginmanager.register(attempts)
    try:
        yield
    finally:
        _close(tests, lab, journal)
        tests.config.pluginmanager.unregister(attempts)


def _close(tests: pytest.Session, lab: LabSession, journal: Journal) -> None:
    asked = lab.options.keep
    keep = asked is Keep.ALWAYS or (asked is Keep.ON_FAILURE and journal.has_failures)
    with tidying():
        try:
            _take_back(tests, journal)
            for kept in lab.close(keep=keep):
                journal.warn(f"kept: {kept}")
        except KeyboardInterrupt:
            journal.warn("tidying up was broken off: `pvhck lab sweep` removes what is left")
            raise


def _take_back(tests: pytest.Session, journal: Journal) -> None:
    """End the fixtures of a test that was broken off: pytest would, when the lab is gone."""
    try:
        # pytest has no other name for it, and its hook for it wants a test that was set up to its end
        tests._setupstate.teardown_exact(None)  # noqa: SLF001
    except (Exception, BaseExceptionGroup, pytest.fail.Exception) as error:  # noqa: BLE001  # the lab is next
        journal.warn(f"what the interrupted test had made was not all taken back: {error}")
