"""How many guests at once: the smallest of what a host has room for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.lab import GuestTemplate, HostKind, HostSpec
from harness.model import Arch, GuestKind
from harness.session.slots import Slot, room_for, slots_of

HOST = HostSpec("a", HostKind.SSH, "192.0.2.1", memory_mib=8192, vcpus=8, max_guests=10)
SMALL = GuestTemplate("small", GuestKind.WINDOWS, "s", "Windows", Arch.X64, memory_mib=1024, vcpus=1)
LARGE = replace(SMALL, name="large", memory_mib=4096, vcpus=2)


@pytest.mark.parametrize(
    ("changes", "templates", "room"),
    [
        ({}, [SMALL], 8),
        ({}, [LARGE], 2),
        ({}, [SMALL, LARGE], 2),
        ({"vcpus": 3}, [SMALL], 3),
        ({"max_guests": 1}, [SMALL], 1),
        ({"disk_mib": 100 * 1024}, [SMALL], 2),  # 40 GiB each
        ({"memory_mib": 512}, [SMALL], 0),
        ({}, [], 0),
    ],
)
def test_the_scarcest_decides(changes: dict[str, int], templates: list[GuestTemplate], room: int) -> None:
    assert room_for(replace(HOST, **changes), templates) == room  # type: ignore[arg-type]


def test_few_slots_are_spread_over_all_hosts() -> None:
    hosts = [replace(HOST, name=name, max_guests=2) for name in ("a", "b")]
    planned = {"a": [SMALL], "b": [SMALL]}
    assert slots_of(hosts, planned, most=2) == (Slot(1, "a"), Slot(2, "b"))
    assert [slot.host for slot in slots_of(hosts, planned)] == ["a", "b", "a", "b"]


def test_a_host_that_nothing_is_planned_for_has_no_slot() -> None:
    assert slots_of([HOST], {}) == ()


def test_slots_of_one_run_leave_different_names_on_the_host() -> None:
    assert Slot(3, "a").run_id("20261126-120000-abcd") == "20261126-120000-abcd-s3"
