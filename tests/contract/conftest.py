"""The lab, the guests, and the matrix of what was seen where. ``--pv-real-xen`` takes real Xen."""

from __future__ import annotations

import contextlib
import io
import shlex
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from contract_lab import SIMULATED_ROWS, ContractLab, Row, real_lab, real_rows, simulated_lab
from contract_record import KINDS, Recorder, matrix
from recording import recorded_into
from rich.console import Console

import harness
from harness.guest.guest import Guest
from harness.host.host import Host
from harness.host.rights import right_of
from harness.host.ssh import SshShell

_SIMULATOR, _REAL = KINDS
_WIDTH = 140
_PASSED_THROUGH = ("host/ssh.py", "contextlib.py", "conftest.py")
_recorder = pytest.StashKey[Recorder]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "one_row: does not depend on the toolstack: on the first row only")
    config.addinivalue_line("markers", "rows(toolstack): is about this toolstack alone")
    config.stash[_recorder] = Recorder()
    if config.getoption("--pv-record") and not config.getoption("--pv-real-xen"):
        raise pytest.UsageError("--pv-record is for real hosts: what the simulator says is no recording")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test once for each toolstack and version: the same ids on the simulator and on real Xen."""
    if "contract_lab" in metafunc.fixturenames:
        rows = _rows(metafunc.config)
        metafunc.parametrize("contract_lab", rows, ids=str, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    rows = _rows(config)
    left_out = [item for item in items if not _is_for_its_row(item, rows[0])]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
    for item in items if config.getoption("--pv-real-xen") else ():
        if _boots_guests_once_more(item, rows[0]):
            item.add_marker(pytest.mark.slow)


def _rows(config: pytest.Config) -> tuple[Row, ...]:
    return real_rows(config.getoption("--pv-xen")) if config.getoption("--pv-real-xen") else SIMULATED_ROWS


def _is_for_its_row(item: pytest.Item, first: Row) -> bool:
    callspec = getattr(item, "callspec", None)  # a test without parameters has none
    row = callspec.params.get("contract_lab") if callspec else None
    if not isinstance(row, Row):
        return True
    if item.get_closest_marker("one_row") and row != first:
        return False
    wanted = item.get_closest_marker("rows")
    return wanted is None or row.toolstack in wanted.args


def _boots_guests_once_more(item: pytest.Item, first: Row) -> bool:
    """Whether a test has guests booted by a second toolstack: on nested Xen that takes minutes."""
    callspec = getattr(item, "callspec", None)
    row = callspec.params.get("contract_lab") if callspec else None
    fixtures = set(getattr(item, "fixturenames", ()))
    return isinstance(row, Row) and row != first and bool(fixtures & {"bare_guest", "full_guest"})


@pytest.fixture(scope="session")
def contract_lab(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    note_real_xen: Callable[[Callable[[], str], Callable[[], None]], None],
) -> Iterator[ContractLab]:
    """One host of the lab that was asked for, driven by one toolstack."""
    make = real_lab if request.config.getoption("--pv-real-xen") else simulated_lab
    folder = tmp_path_factory.mktemp("contract")
    with contextlib.ExitStack() as stack:
        if place := request.config.getoption("--pv-record"):
            stack.enter_context(recorded_into(Path(place)))
        lab = stack.enter_context(make(request.param, folder, request.config.stash[_recorder]))
        if lab.real:
            note_real_xen(lambda: lab.host.shell.run(["xl", "dmesg"]).stdout, lab.spoil_all)
        yield lab


@pytest.fixture(autouse=True)
def _named(request: pytest.FixtureRequest) -> None:
    request.config.stash[_recorder].test = request.node.nodeid


@pytest.fixture(autouse=True)
def _only_what_the_table_has(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever these suites have run on a host is in ``harness.host.rights``."""
    unknown: list[str] = []
    as_root = SshShell._as_root

    def noted(shell: SshShell, argv: Sequence[str]) -> tuple[str, ...]:
        if right_of(argv, shell.spec.storage) is None and _by_the_harness():
            unknown.append(shlex.join(argv))
        return as_root(shell, argv)

    monkeypatch.setattr(SshShell, "_as_root", noted)
    yield
    assert not unknown, f"not in harness/host/rights.py: {unknown}"


def _by_the_harness() -> bool:
    """Whether who asked for a command is no test, which may prepare and look at what it likes."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.endswith(_PASSED_THROUGH):
        frame = frame.f_back
    return frame is not None and Path(frame.f_code.co_filename).is_relative_to(Path(harness.__file__).parent)


@pytest.fixture
def contract_host(contract_lab: ContractLab) -> Host:
    """The host."""
    return contract_lab.host


@pytest.fixture
def bare_guest(contract_lab: ContractLab) -> Guest:
    """A booted guest without PV drivers. Shared: leave it as it was, or ``contract_lab.spoil`` it."""
    return contract_lab.bare()


@pytest.fixture
def full_guest(contract_lab: ContractLab) -> Guest:
    """A booted guest with all drivers. Shared: leave it as it was, or ``contract_lab.spoil`` it."""
    return contract_lab.full()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    recorder = item.config.stash[_recorder]
    if report.failed:
        recorder.failed[item.nodeid] = (
            str(call.excinfo.value).splitlines()[0][:160] if call.excinfo else "failed"
        )
    elif report.skipped and call.excinfo:
        recorder.skipped[item.nodeid] = str(call.excinfo.value)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    recorder = config.stash[_recorder]
    if not recorder.used:
        return
    kind = _REAL if config.getoption("--pv-real-xen") else _SIMULATOR
    table = matrix(recorder, kind, config.rootpath / "reports")
    terminalreporter.section(f"contract: {kind}")
    text = io.StringIO()
    Console(file=text, width=_WIDTH).print(table)
    terminalreporter.write(text.getvalue())
