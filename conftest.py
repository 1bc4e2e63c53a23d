"""For every pytest run in this repository: the harness's plugin, and the switch for the real Xen lab."""

from __future__ import annotations

import pytest

pytest_plugins = ["harness.session.plugin"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The contract suites run on the simulated lab unless the real one is asked for."""
    group = parser.getgroup("pvhck tests")
    group.addoption(
        "--pv-real-xen", action="store_true", help="run tests/contract and tests/xen on the nested real Xen"
    )
    group.addoption("--pv-record", metavar="FOLDER", help="keep what the real host's programs say there")
    group.addoption("--pv-xen", default="4.17", help="which version of Xen the nested lab has")
