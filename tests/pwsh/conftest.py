"""Marker, engine, and kept processes for the tests on the real engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pwsh_process import AgentProcess
from pwsh_windows import SURFACES, Windows, make_windows_in

from harness import wire
from harness.guest.agent.engine import find_engine

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.pwsh)


@pytest.fixture(scope="session")
def engine() -> Path:
    found = find_engine()
    if found is None and os.environ.get("CI"):
        pytest.fail("there is no PowerShell engine: install pwsh")
    if found is None:
        pytest.skip("there is no PowerShell engine: neither pwsh on PATH nor ../shared/pwsh/pwsh")
    return found


@pytest.fixture(scope="session")
def make_windows(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Windows]:
    def make(name: str) -> Windows:
        return make_windows_in(tmp_path_factory.mktemp(name), name, engine)

    return make


@pytest.fixture(scope="module", params=SURFACES)
def windows(request: pytest.FixtureRequest, make_windows: Callable[[str], Windows]) -> Windows:
    return make_windows(request.param)


@pytest.fixture(scope="module")
def kept(windows: Windows) -> Iterator[AgentProcess]:
    """One kept process per recorded Windows and test module."""
    with AgentProcess(windows.engine, windows.prelude, windows.env) as process:
        assert isinstance(process.first, wire.Ready)
        yield process
