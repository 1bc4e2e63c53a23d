"""The pytest plugin. Without ``--pv-hosts`` it adds options, markers and fixtures, and does nothing."""

from __future__ import annotations

import contextlib

import pytest

from harness.errors import ConfigurationError
from harness.session.collecting import Collection
from harness.session.options import add_options, read_options
from harness.session.request import open_request
from harness.session.state import CONTROLLER, request_key
from harness.session.worker import Seat, Worker, seat_of

__all__ = ["pytest_addoption", "pytest_configure", "pytest_unconfigure"]

pytest_plugins = ["harness.session.fixtures", "harness.session.workload_fixtures"]

_MARKERS = (
    "pv_drivers(*names): the drivers whose sheets the test counts on",
    "pv_requires(requirement): what host, template and lab must have",
    "pv_hck(*tests): the HCK/HLK tests the scenario stands for",
    "pv_changes(*what): what the test does to its guest that cannot be taken back",
    "pv_dirties: the guest is not as it was afterwards",
    "pv_exclusive: the test has its host for itself",
)
_opened = pytest.StashKey[contextlib.ExitStack]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """See pytest's hook of that name."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """See pytest's hook of that name."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    stack = config.stash.setdefault(_opened, contextlib.ExitStack())
    try:
        options = read_options(config)
        if options is None:
            return
        if not config.pluginmanager.has_plugin("terminal"):
            # nobody sees lines of source, and CPython 3.11 fails over them now and then while another
            # thread compiles (ast.parse: "AST constructor recursion depth mismatch")
            config.option.tbstyle = "native"
        if config.pluginmanager.has_plugin(CONTROLLER):
            return  # it has all it needs, and tests are collected by its workers
        seat = seat_of(config)
        _refuse_workers_without_slots(config, seat)
        request = stack.enter_context(open_request(seat.options if seat else options))
        config.stash[request_key] = request
        plugins = config.pluginmanager
        collection = Collection(request)
        plugins.register(collection)
        plugins.register(Worker(request, seat) if seat else _run(collection))
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from error


def _run(collection: Collection) -> object:
    # a lab's worth of workers need neither the simulated lab nor the reports
    from harness.session.run import Run  # noqa: PLC0415

    return Run(collection)


def _refuse_workers_without_slots(config: pytest.Config, seat: Seat | None) -> None:
    if seat is None and getattr(config.option, "tx", None):
        raise ConfigurationError("pytest's -n knows no slots of hosts", mend="use `pvhck run -j N`")


def pytest_unconfigure(config: pytest.Config) -> None:
    """See pytest's hook of that name."""
    stack = config.stash.get(_opened, None)
    if stack is not None:
        stack.close()
