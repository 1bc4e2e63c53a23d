"""A worker of a run: a process that drives one slot, and runs the tests the controller sends it.

pytest-xdist hands a worker its tests one ahead: it begins a test when it knows the next. A test that waits so
in one worker could have run in another, so after each test our workers are sent ``Signal.PAUSE``, which is no
test: it is what comes next until something better does.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Self

import pytest

from harness.host.area import remove_run
from harness.host.host import Host
from harness.lab import Lab, Redactor
from harness.results.recorder import EventWriter
from harness.session.attempt import Attempt
from harness.session.interrupts import interruptible
from harness.session.journal import Journal
from harness.session.on_lab import lab_for, tests_on_lab
from harness.session.options import RunOptions
from harness.session.request import RunRequest
from harness.session.said import said_without_secrets
from harness.session.slots import Slot

__all__ = ["Seat", "Signal", "Worker", "seat_of"]

_KEY = "pvhck"


class Signal(StrEnum):
    """What a worker is sent between tests, by the id it has among them."""

    PAUSE = "pvhck: nothing to do"
    AGAIN = "pvhck: one more attempt at the next test"

    @property
    def test_id(self) -> str:
        """As pytest calls it: a child of the session itself, which has no name."""
        return f"::{self.value}"


@dataclass(frozen=True)
class Seat:
    """What the controller tells a worker; it goes there through a pipe.

    ``lab`` is resolved: simulated hosts have become addresses on loopback. ``passwords`` are those of
    simulated guests, by template; any other secret each process finds by its reference.
    """

    slot: Slot
    run_id: str
    folder: Path  # of the run, with its events.jsonl
    options: RunOptions
    lab: Lab
    passwords: Mapping[str, str]

    def give(self, workerinput: dict[str, object]) -> None:
        """Put it where the worker looks for it: execnet carries plain values only."""
        workerinput[_KEY] = pickle.dumps(self)


def seat_of(config: pytest.Config) -> Seat | None:
    """The seat of this process; None if it is no worker of ours."""
    given = getattr(config, "workerinput", {}).get(_KEY)
    if given is None:
        return None
    seat = pickle.loads(given)  # noqa: S301  # from the process that started us, through its pipe
    assert isinstance(seat, Seat)
    return seat


class _SignalItem(pytest.Item):
    """Stands among the tests, and is none."""

    def __init__(self, *, signal: Signal, **others: object) -> None:
        super().__init__(**others)  # type: ignore[arg-type]  # pytest's own
        self.signal = signal

    @classmethod
    def of(cls, session: pytest.Session, signal: Signal) -> Self:
        """The one that stands for a signal."""
        return cls.from_parent(session, name=signal.value, signal=signal)

    def runtest(self) -> None:
        """Nothing."""


class Worker:
    """A plugin of a worker process; its methods are pytest's hooks."""

    def __init__(self, request: RunRequest, seat: Seat) -> None:
        self._request = request
        self._seat = seat
        self._number = 1
        # Ctrl-C on the terminal is the controller's: it tells us when to end
        with contextlib.suppress(PermissionError):
            os.setpgid(0, 0)

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> Generator[None, object, object]:
        """When all others have chosen the tests, the signals come behind them."""
        result = yield
        items += [_SignalItem.of(session, signal) for signal in Signal]
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """pytest-xdist's loop, within the lab."""
        seat, request = self._seat, self._request
        tests = [item.nodeid for item in session.items]
        redactor = Redactor()
        writer = EventWriter(seat.folder, redactor.clean, tests=tests)
        journal = Journal(writer, redactor)
        run_id = seat.slot.run_id(seat.run_id)
        mine = replace(seat.lab.hosts[seat.slot.host], max_guests=1)

        @functools.cache
        def take(host: Host) -> None:
            """The controller holds the host; a worker that died in this slot may have left something."""
            remove_run(host.shell, host.toolstack, run_id, journal.say)

        lab = lab_for(
            request,
            journal,
            replace(seat.lab, hosts={mine.name: mine}),
            run_id=run_id,
            passwords=seat.passwords,
            take=take,
        )
        with (
            contextlib.closing(writer),
            said_without_secrets(),  # what tests and libraries say in here goes to the command's own stderr
            interruptible(),
            lab,
            tests_on_lab(session, lab, journal, begin=self._begin, ended=_do_nothing),
        ):
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """A signal is obeyed, and reported to nobody."""
        if not isinstance(item, _SignalItem):
            return None
        self._number = self._number + 1 if item.signal is Signal.AGAIN else 1
        return True

    def pytest_internalerror(self) -> bool:
        """pytest-xdist tells the controller, which says it to people: pytest need not."""
        return True

    def _begin(self, item: pytest.Item) -> Attempt:
        del item
        attempt = Attempt(self._number)
        self._number = 1
        return attempt


def _do_nothing(item: pytest.Item, attempt: Attempt) -> None:
    """Whether a test runs again is the controller's to say."""
