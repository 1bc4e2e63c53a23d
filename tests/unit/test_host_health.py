"""What is known of a host's health survives runs, and nonsense on the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.host.health import Health, HealthNote, health_of, note_health
from harness.lab import HostKind, HostSpec

HOST = HostSpec("a", HostKind.SSH, "192.0.2.1")


def test_what_was_noted_is_known_later_and_by_the_address_not_the_name(tmp_path: Path) -> None:
    note_health(HOST, Health.BAD, "two tests in a row", tmp_path)
    found = health_of(replace(HOST, name="also-a"), tmp_path)
    assert (found.health, found.reason) == (Health.BAD, "two tests in a row")
    assert health_of(replace(HOST, port=2222), tmp_path) == HealthNote()


def test_the_same_health_keeps_its_time_and_reason(tmp_path: Path) -> None:
    note_health(HOST, Health.GOOD, "run-1", tmp_path)
    first = health_of(HOST, tmp_path)
    note_health(HOST, Health.GOOD, "run-2", tmp_path)
    assert health_of(HOST, tmp_path) == first


def test_a_person_can_change_the_reason_of_a_maintenance(tmp_path: Path) -> None:
    note_health(HOST, Health.MAINTENANCE, "disks", tmp_path)
    note_health(HOST, Health.MAINTENANCE, "disks and memory", tmp_path)
    assert health_of(HOST, tmp_path).reason == "disks and memory"


def test_nothing_is_kept_of_a_simulated_host(tmp_path: Path) -> None:
    note_health(replace(HOST, kind=HostKind.SIMULATED), Health.BAD, "x", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"health": "fine", "since": 1, "reason": ""}', '{"since": 1}'),
        *(f'{{"health": "bad", "since": {since}, "reason": ""}}' for since in ("1e300", "NaN", "9" * 400)),
        "[" * 100_000,
    ],
)
def test_a_note_that_cannot_be_read_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    note_health(HOST, Health.BAD, "x", tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(text)
    assert health_of(HOST, tmp_path) == HealthNote()
