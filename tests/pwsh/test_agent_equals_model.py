"""The module and the simulated guest answer alike: every reading operation, for states of the true model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pwsh_model import MODELS, OLD_MODELS, Model, model
from pwsh_process import AgentProcess
from pwsh_state import GuestState
from pwsh_windows import Windows

from harness import wire
from harness.guest.calls import decode_result
from harness.operations import OPERATIONS, Effect, OperationRefused

# What is asked of each; JOB:x and TARGET stand for the model's own.
_ASKED: list[tuple[str, dict[str, Any]]] = [
    ("system_facts", {}),
    ("boot_id", {}),
    ("security_facts", {}),
    ("pnp_devices", {"prefix": ""}),
    ("pnp_devices", {"prefix": "PCI\\VEN_5853"}),
    ("pnp_devices", {"prefix": "xenbus\\"}),
    ("services", {"names": ["xenagent", "none", "xenbus", "xenfilt", "WinRM"]}),
    ("driver_packages", {}),
    ("certificates", {"store": "Root"}),
    ("certificates", {"store": "TrustedPublisher"}),
    ("certificates", {"store": "My"}),
    ("pending_reboots", {}),
    ("network_adapters", {}),
    ("disks", {}),
    ("volumes", {}),
    ("memory", {}),
    ("event_mark", {}),
    ("events_since", {"record": 0, "limit": 1000}),
    ("events_since", {"record": 3, "limit": 2}),
    ("events_since", {"record": 0, "limit": 0}),
    ("stop_events", {"record": 0}),
    ("dump_files", {}),
    ("file_facts", {"path": "C:\\cd.tmp"}),
    ("file_facts", {"path": "C:\\none"}),
    ("read_file", {"path": "C:\\cd.tmp", "offset": 3, "length": 100}),
    ("read_file", {"path": "C:\\cd.tmp", "offset": -1, "length": 1}),
    ("cd_files", {"label": "PVHCK"}),
    ("cd_files", {"label": "NONE"}),
    ("xenstore_read", {"path": "data"}),
    ("xenstore_read", {"path": "control/shutdown"}),
    ("xenstore_read", {"path": "device/vif/0/none"}),
    ("xenstore_watch", {"path": "data/quiet", "seconds": 0}),
    ("job_status", {"job": "JOB:ended"}),
    ("job_status", {"job": "JOB:lost"}),
    ("job_status", {"job": "f" * 32}),
    ("read_pattern", {"target": 6, "blocks": 4, "block_size": 512}),
    ("read_pattern", {"target": 6, "blocks": 0, "block_size": 512}),
    ("read_pattern", {"target": 77, "blocks": 1, "block_size": 512}),
]


@pytest.fixture(scope="module")
def windows(request: pytest.FixtureRequest, make_windows: Any) -> Windows:
    made: Windows = make_windows(request.param)
    return made


@pytest.fixture(scope="module")
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    with model(tmp_path_factory.mktemp("model"), request.param) as made:
        yield made


@pytest.fixture(scope="module")
def state(guest: Model, windows: Windows, kept: AgentProcess) -> GuestState:
    assert isinstance(kept.first, wire.Ready)
    return guest.put(windows)


def test_everything_that_reads_is_asked() -> None:
    reading = {name for name, operation in OPERATIONS.items() if operation.effect is Effect.READS}
    assert {op for op, _ in _ASKED} == reading


@pytest.mark.parametrize(
    ("windows", "guest"),
    [("windows10-1809", name) for name in MODELS] + [("windows7", name) for name in OLD_MODELS],
    indirect=True,
)
@pytest.mark.parametrize(("op", "params"), _ASKED, ids=lambda value: value if isinstance(value, str) else "")
def test_the_module_answers_as_the_model_does(  # noqa: PLR0917  # two parametrizations, four fixtures
    kept: AgentProcess, windows: Windows, guest: Model, state: GuestState, op: str, params: dict[str, Any]
) -> None:
    params = {key: _of_model(guest, value) for key, value in params.items()}
    guest.show_cd(windows, really=op == "cd_files")
    answer = kept.ask(op, **{key: _on_this_machine(windows, value) for key, value in params.items()})
    assert _shown(answer, op, kept, windows, state) == _answer(guest, op, params)


def _of_model(guest: Model, value: Any) -> Any:
    return guest.jobs[value[4:]] if isinstance(value, str) and value.startswith("JOB:") else value


def _on_this_machine(windows: Windows, value: Any) -> Any:
    if isinstance(value, str) and value.startswith("C:\\"):
        return str(windows.folder / value[3:].replace("\\", "/"))
    return value


def _answer(guest: Model, op: str, params: dict[str, Any]) -> Any:
    """The model's own answer, or the kind of its refusal."""
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in params.items()}
    try:
        return getattr(guest.bench.ops, op)(**values)
    except OperationRefused as refused:
        return refused.kind


def _shown(
    answer: wire.Answer | wire.Refusal, op: str, kept: AgentProcess, windows: Windows, state: GuestState
) -> Any:
    """The module's answer in the model's words: its shell is the engine's, its drive a folder here."""
    if isinstance(answer, wire.Refusal):
        return answer.kind
    result = decode_result(OPERATIONS[op], answer.result)
    match op:
        case "system_facts":
            assert isinstance(kept.first, wire.Ready)
            assert result.shell_version == kept.first.shell
            assert result.time_utc == state.system.time_utc
            return _Timeless(dataclasses.replace(result, shell_version=state.system.shell_version))
        case "file_facts" | "read_file":
            return dataclasses.replace(result, path=_in_guest(windows, result.path))
        case "dump_files":
            return tuple(dataclasses.replace(dump, path=_in_guest(windows, dump.path)) for dump in result)
    return result


def _in_guest(windows: Windows, path: str) -> str:
    return "C:\\" + str(Path(path).relative_to(windows.folder)).replace("/", "\\")


class _Timeless:
    """System facts, equal whatever the time: the model's goes on while the module is asked."""

    def __init__(self, facts: Any) -> None:
        self._facts = facts

    def __eq__(self, other: object) -> bool:
        return self._facts == dataclasses.replace(other, time_utc=self._facts.time_utc)  # type: ignore[type-var]

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._facts)
