"""A guest that a test has spoilt serves no other, whichever part of the test spoilt it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_HOSTS = """\
[host sim]
kind = simulated
xen = 4.17
time_factor = 0.4

[template win]
guest = simulated
os = Windows 10 (simulated)
arch = x64
"""
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
    (tmp_path / "hosts.ini").write_text(_HOSTS)
    scenarios = tmp_path / "scenarios" / "install" / "test_it.py"
    scenarios.parent.mkdir(parents=True)
    scenarios.write_text(_SCENARIOS)
    ended = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "harness.session.plugin", "-p", "no:cacheprovider",
            "--pv-hosts=hosts.ini", "--pv-profile=smoke", "--pv-reports=reports", "scenarios",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "3 passed, 2 errors" in ended.stdout, ended.stdout  # the first one twice, the second one once
