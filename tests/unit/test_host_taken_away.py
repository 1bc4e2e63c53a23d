"""Somebody who destroys a domain under a run is told from a guest that goes by itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from fake_host import RECORDED_XL, make_host, recorded

from harness.host.toolstack.libvirt import LibvirtToolstack
from harness.host.toolstack.libvirt_xml import HostPrograms
from harness.libvirtport import PortEvent
from harness.model import XenVersion

_LOG = "tail -c 4096 /var/log/xen/xl-win1.log"
_RESTARTED = recorded("log-xl-win1")  # domain 8 has shut down and become domain 9
_DESTROYED = "Domain 9 has been destroyed.\n"


@pytest.mark.parametrize(
    ("log", "domid", "taken"),
    [
        (_RESTARTED[1], 9, False),
        (_RESTARTED[1] + _DESTROYED, 9, True),
        (_RESTARTED[1] + _DESTROYED, 8, True),  # it was restarting when it was last seen
        (_RESTARTED[1] + _DESTROYED, 10, False),  # an earlier life; this one's log is not written yet
        (_DESTROYED + _RESTARTED[1], 9, False),  # somebody made it again
        ("", 9, False),
    ],
)
def test_xl_s_log_tells_of_the_life_that_was_taken(log: str, domid: int, *, taken: bool) -> None:
    host = make_host({**RECORDED_XL, _LOG: log})
    assert host.toolstack.taken_away("win1", domid) is taken


def test_the_line_is_the_one_that_real_xl_wrote() -> None:
    log = recorded("xl-log-destroyed")[1]
    host = make_host({**RECORDED_XL, _LOG: log})
    assert host.toolstack.taken_away("win1", 1)
    assert not host.toolstack.taken_away("win1", 2)


def test_without_a_log_nobody_is_accused() -> None:
    assert make_host(dict(RECORDED_XL)).toolstack.taken_away("win1", 9) is False


@pytest.mark.parametrize(
    ("events", "taken"),
    [
        ([(2, 0), (5, 1)], True),
        ([(2, 0), (5, 0)], False),  # shut down
        ([(2, 0), (5, 2)], False),  # crashed
        ([(5, 1), (2, 0)], False),  # the life before this one
        ([], False),
    ],
)
def test_libvirt_s_last_event_tells_of_the_end(events: list[tuple[int, int]], *, taken: bool) -> None:
    told = tuple(PortEvent("win1", event, detail, 0) for event, detail in events)
    port: Any = SimpleNamespace(events=lambda: told, domains=tuple)
    shell: Any = make_host(dict(RECORDED_XL)).shell
    libvirt = LibvirtToolstack(shell, XenVersion(4, 17), connect=lambda: port, programs=HostPrograms)
    assert libvirt.taken_away("win1", 9) is taken
