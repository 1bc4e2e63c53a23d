"""A guest that a test has spoilt serves no other, whichever part of the test spoilt it."""

from __future__ import annotations

from pathlib import Path

from own_scenarios import run_scenarios

_SCENARIOS = """\
import pytest

names = []

@pytest.fixture
def breaks_afterwards(guest):
    yield
    raise RuntimeError("it cannot be put back")

def test_first(guest, breaks_afterwards):
    names.append(guest.name)

def test_second(guest):
    assert guest.name not in names
"""


def test_what_breaks_in_the_teardown_costs_the_guest_too(tmp_path: Path) -> None:
    ended = run_scenarios(tmp_path, _SCENARIOS)
    assert "3 passed, 2 errors" in ended.stdout, ended.stdout  # the first one twice, the second one once
