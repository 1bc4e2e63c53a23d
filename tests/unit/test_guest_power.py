"""Requests and their acknowledgement: whatever comes first, the right thing is said of it."""

from __future__ import annotations

import queue
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from harness.deadline import Deadline, WaitTimedOut
from harness.errors import CommandFailed
from harness.guest.power import shut_down
from harness.host.toolstack.protocol import Fallback, RequestAnswer

NODE = "/local/domain/7/control/shutdown"
OK = RequestAnswer(refused=False, text="", duration_s=0.1)
REFUSED = RequestAnswer(refused=True, text="PV control interface not available", duration_s=0.1)


@dataclass
class Scene:
    """A guest whose toolstack and xenstore do what ``script`` says when the request is made."""

    script: list
    answer: RequestAnswer | Exception = OK
    values: list[str | None] = field(default_factory=lambda: [""])
    events: queue.SimpleQueue = field(default_factory=queue.SimpleQueue)
    calls: list[str] = field(default_factory=list)
    name: str = "win1"
    store: str = "/local/domain/7"

    # -- guest
    @property
    def host(self):
        toolstack = SimpleNamespace(shutdown=self._ask, reboot=self._ask)
        return SimpleNamespace(toolstack=toolstack, xenstore=self, spec=SimpleNamespace(time_factor=1))

    def deadline(self, seconds):
        return Deadline.after(seconds)

    def disconnect(self, *, polite=True):
        self.calls.append("disconnect")

    def wait_off(self, deadline):
        self.calls.append("wait_off")

    # -- toolstack
    def _ask(self, name, fallback):
        self.calls.append("ask")
        for value in self.script:
            self.values.append(value)
            self.events.put(NODE)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    # -- xenstore
    @contextmanager
    def watch(self, path):
        assert path == NODE
        yield self

    def wait(self, deadline):
        try:
            return self.events.get(timeout=max(deadline.remaining, 0.001))
        except queue.Empty:
            return None

    def find(self, path):
        return self.values[-1]


def test_a_request_that_was_taken_before_anybody_looked_counts_as_acknowledged():
    scene = Scene(["poweroff", ""])
    stop = shut_down(scene, ack_s=5, off_s=5)
    assert stop.acknowledged_s is not None
    assert 0 <= stop.acknowledged_s <= stop.gone_s
    assert scene.calls == ["disconnect", "ask", "wait_off"]


def test_a_domain_that_is_gone_before_anybody_looked_is_no_error():
    scene = Scene(["poweroff", "", None])
    assert shut_down(scene, ack_s=5, off_s=5).acknowledged_s is None
    assert scene.calls[-1] == "wait_off"


def test_a_request_that_stays_unanswered_is_the_guest_s_fault():
    with pytest.raises(WaitTimedOut, match="empties control/shutdown"):
        shut_down(Scene(["poweroff"]), ack_s=0.2, off_s=5)


def test_a_toolstack_that_gives_up_on_a_silent_guest_does_not_make_it_the_host_s_fault():
    scene = Scene(["poweroff"], answer=CommandFailed("xl shutdown: exit code 1: not acknowledged"))
    with pytest.raises(WaitTimedOut, match="not acknowledged"):
        shut_down(scene, ack_s=0.2, off_s=5)


def test_a_toolstack_that_fails_without_having_asked_is_the_host_s_fault():
    with pytest.raises(CommandFailed, match="no such thing"):
        shut_down(Scene([], answer=CommandFailed("no such thing")), ack_s=0.2, off_s=5)


def test_a_refusal_is_an_assertion_of_the_scenario():
    with pytest.raises(AssertionError, match="refuses"):
        shut_down(Scene([], answer=REFUSED), ack_s=5, off_s=5)


def test_the_acpi_button_is_not_acknowledged_and_not_waited_for():
    scene = Scene([])
    stop = shut_down(scene, ack_s=30, off_s=5, fallback=Fallback.ACPI)
    assert stop.acknowledged_s is None
    assert scene.calls[-1] == "wait_off"
