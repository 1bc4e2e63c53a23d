"""What the list of domains says of a guest that answers no more, and whose fault that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from fake_host import NO_NODE, SPEC, WIN1, Answer, FakeShell

from harness.errors import GuestCrashed, GuestGone, GuestUnreachable, HarnessError, InfrastructureError
from harness.guest.fate import fate
from harness.host.toolstack.protocol import DomainInfo

_SILENT = GuestUnreachable("no WinRM")
_THERE = replace(WIN1, domid=7)


def _fate(
    domain: DomainInfo | None,
    *,
    taken: bool = False,
    restarting: bool = False,
    told: Mapping[str, Answer] | None = None,
) -> HarnessError | None:
    toolstack = SimpleNamespace(taken_away=lambda *_: taken, find=lambda _: domain)
    host: Any = SimpleNamespace(
        name="xen1", toolstack=toolstack, shell=FakeShell(SPEC, told or {"xenstore-read": NO_NODE})
    )
    return fate(host, "win1", domain, 7, _SILENT, restarting=restarting)


@pytest.mark.parametrize(
    ("domain", "kind", "words"),
    [
        (None, GuestGone, "is gone from its host though nobody stopped it"),
        (replace(_THERE, shutdown=True, reason="c"), GuestCrashed, "win1 crashed; no WinRM"),
        (
            replace(_THERE, paused=True, shutdown=True, reason="r"),
            GuestGone,
            "restarts though nobody asked it",
        ),
        (replace(_THERE, paused=True, shutdown=True), GuestGone, "shut down though nobody asked it"),
        (replace(_THERE, domid=8), GuestGone, "restarted though nobody asked it to: its domain 7 is now 8"),
        (replace(_THERE, paused=True), InfrastructureError, "host xen1: somebody paused win1"),
    ],
)
def test_a_domain_that_is_not_as_it_should_be_says_whose_fault_that_is(
    domain: DomainInfo | None, kind: type[HarnessError], words: str
) -> None:
    found = _fate(domain)
    assert type(found) is kind
    assert words in str(found)


def test_a_domain_that_somebody_destroyed_is_not_the_guests_fault() -> None:
    found = _fate(None, taken=True)
    assert isinstance(found, InfrastructureError)
    assert "somebody destroyed win1" in str(found)
    assert found.mend == "find out who else uses this host: pvhck lab status xen1"


_PID = "xenstore-read /local/domain/7/image/device-model-pid"


def test_a_guest_that_is_silent_because_its_device_model_died_is_not_at_fault() -> None:
    found = _fate(_THERE, told={_PID: "801\n", "ps -p 801": (1, "", "")})
    assert isinstance(found, InfrastructureError)
    assert "host xen1: the device model of win1 (process 801) is gone" in str(found)
    assert "no WinRM" in str(found)


def test_a_guest_whose_device_model_runs_is_judged_by_itself() -> None:
    words = "/usr/libexec/xen-qemu-system-i386 -xen-domid 7 -name win1\n"
    assert _fate(_THERE, told={_PID: "801\n", "ps -p 801": words}) is None


@pytest.mark.parametrize("domain", [_THERE, replace(_THERE, running=True, blocked=False)])
def test_of_a_domain_that_runs_as_before_nothing_is_known_here(domain: DomainInfo) -> None:
    assert _fate(domain) is None


@pytest.mark.parametrize(
    "domain", [replace(_THERE, domid=8), replace(_THERE, paused=True, shutdown=True, reason="r")]
)
def test_a_guest_that_was_asked_to_restart_may_be_between_two_lives(domain: DomainInfo) -> None:
    assert _fate(domain, restarting=True) is None
