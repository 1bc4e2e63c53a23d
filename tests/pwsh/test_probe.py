"""A probe's transcript: its answers are the module's own, and it plays as stub data without editing."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pwsh_process import AgentProcess
from pwsh_state import GERMAN, GOOD, ODD, GuestState, expected
from pwsh_transcript import Replay, replay_windows
from pwsh_windows import Windows

from harness import wire
from harness.deadline import Deadline
from harness.errors import OperationFailed
from harness.guest import agent
from harness.guest.calls import decode_result
from harness.guest.exchanges import ExchangeLog
from harness.guest.probe import Asked, Transcript, probe
from harness.operations import OPERATIONS, Operation


class ProcessChannel:
    """``GuestChannel`` to a process here."""

    log = ExchangeLog()

    def __init__(self, process: AgentProcess) -> None:
        self._process = process

    def call(self, operation: Operation, params: dict[str, Any], deadline: Deadline) -> Any:
        answer = self._process.ask(operation.name, **params)
        if isinstance(answer, wire.Refusal):
            raise OperationFailed(operation.name, answer.kind, answer.detail)
        return answer.result

    def close(self) -> None:
        """Nothing to do."""


@dataclass(frozen=True)
class Probed:
    """A Windows of stubs, and the transcript of a probe of it."""

    windows: Windows
    state: GuestState
    transcript: Transcript
    path: Path

    def of(self, op: str, **params: Any) -> Asked:
        (found,) = (one for one in self.transcript.operations if (one.op, one.params) == (op, params))
        return found


_CASES = {
    "good": ("server2019", GOOD),
    "odd": ("windows10-1809", ODD),
    "old": ("windows7", dataclasses.replace(GERMAN, xenstore=None)),
}


@pytest.fixture(scope="module", params=_CASES)
def probed(
    request: pytest.FixtureRequest, make_windows: Callable[[str], Windows], tmp_path_factory: Any
) -> Probed:
    surface, state = _CASES[request.param]
    windows = make_windows(surface)
    windows.put(state)
    with AgentProcess(windows.engine, windows.prelude, windows.env, module=agent.probe_text()) as process:
        transcript = probe(ProcessChannel(process), user="tester", redact=_plain, report=lambda _: None)
    path = tmp_path_factory.mktemp("transcript") / "probe.json"
    transcript.write(path)
    return Probed(windows, state, transcript, path)


@pytest.fixture(scope="module")
def replay(probed: Probed, engine: Path, tmp_path_factory: Any) -> Iterator[tuple[Replay, AgentProcess]]:
    folder = tmp_path_factory.mktemp("replay")
    played = replay_windows(folder, probed.windows.surface, engine, probed.path)
    with AgentProcess(engine, played.windows.prelude, played.env) as process:
        yield played, process


def _plain(text: str) -> str:
    return text


def test_every_answer_is_that_of_the_module_without_the_recorder(probed: Probed) -> None:
    windows = probed.windows
    windows.put(probed.state)
    with AgentProcess(windows.engine, windows.prelude, windows.env) as process:
        for one in probed.transcript.operations:
            answer = process.ask(one.op, **one.params)
            if isinstance(answer, wire.Answer):
                seen = json.loads(
                    json.dumps(answer.result).replace(probed.state.system.computer_name, "COMPUTER")
                )
                assert (one.ok, one.result) == (True, seen), one.op
            else:
                assert one.error is not None, one.op
                assert (one.ok, one.error["kind"]) == (False, answer.kind), one.op


def test_results_have_the_shape_of_the_list_and_show_the_state(probed: Probed) -> None:
    for op in ("memory", "volumes", "certificates", "services"):
        for one in probed.transcript.operations:
            if one.op == op:
                assert decode_result(OPERATIONS[op], one.result) == expected(probed.state, op, one.params)


def test_the_commands_behind_an_answer_stand_beside_it(probed: Probed) -> None:
    memory = probed.of("memory")
    assert [(raw.command, raw.parameters["ClassName"]) for raw in memory.raw] == [
        ("Get-CimInstance", "Win32_OperatingSystem"),
        ("Get-CimInstance", "Win32_ComputerSystem"),
    ]
    assert "TotalVisibleMemorySize" in memory.raw[0].objects
    assert memory.raw[0].objects.lstrip().startswith("<Objs")
    policies = [raw for raw in probed.of("security_facts").raw if raw.command == "program"]
    assert "S-1-16-" in policies[0].objects


def test_an_error_of_a_command_is_kept_with_its_id_and_hresult(probed: Probed) -> None:
    failed = [raw for raw in probed.of("disks").raw if raw.error]
    assert bool(failed) == probed.windows.old  # the others have the class
    for raw in failed:
        assert raw.error is not None
        assert raw.error["id"].lower().startswith("hresult 0x8004100e")
        assert raw.error["category"] == "MetadataError"
        assert raw.error["message"] == "Ungültiger Namespace"


def test_nothing_is_changed_by_a_probe(probed: Probed) -> None:
    assert [entry for entry in probed.windows.log if entry != {"session": "ended"}] == []
    assert {line.split()[0] for line in probed.windows.calls} <= {"whoami.exe"}


def test_the_transcript_plays_as_stub_data_without_editing(
    probed: Probed, replay: tuple[Replay, AgentProcess]
) -> None:
    played, process = replay
    played_operations = set()
    for one in played.questions():
        if probed.windows.old and one["op"] == "driver_packages":
            continue  # INF files are read by .NET there
        answer = process.ask(one["op"], **one["params"])
        if one["ok"]:
            assert isinstance(answer, wire.Answer), (one["op"], answer)
            assert answer.result == one["result"], one["op"]
        else:
            assert isinstance(answer, wire.Refusal), one["op"]
            assert answer.kind == one["error"]["kind"], one["op"]
        played_operations.add(one["op"])
    assert len(played_operations) >= 16
