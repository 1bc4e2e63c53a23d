"""The request loop: what is damaged, doubled, big or rude must not cost more than its own answer."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pwsh_process import AgentProcess, ask_once, start_command
from pwsh_state import EMPTY, GOOD, ODD_TEXT
from pwsh_windows import Windows

from harness import wire
from harness.guest import agent
from harness.guest.calls import decode_result
from harness.operations import OPERATIONS, Effect

_KINDS = {"not-found", "access-denied", "bad-parameter", "command-failed", "bad-request"}


@pytest.fixture(scope="module", params=["server2019"])
def windows(request: pytest.FixtureRequest, make_windows: Callable[[str], Windows]) -> Windows:
    return make_windows(request.param)


def _boot(number: int) -> str:
    return wire.encode_request(wire.Request(number, "boot_id", {}))


def _kind(message: object) -> str:
    assert isinstance(message, wire.Refusal), message
    return message.kind


def test_the_process_announces_the_module_it_was_given(kept: AgentProcess) -> None:
    assert isinstance(kept.first, wire.Ready)
    assert kept.first.module == wire.module_digest(agent.module_text())


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        '{"id": 1, "op": "boot_id", "params": {}',
        '{"id": 1, "op": "services", "params": {"names": ["a"',
        '{"id": 1, "op": "boo',
        '{"id": 1, "op": "boot_id", "params": {}}}',
        '{"id": 1.5, "op": "boot_id", "params": {}}',
        '{"id": "1", "op": "boot_id", "params": {}}',
        '{"id": 1, "op": 2, "params": {}}',
        '{"id": 1, "op": "boot_id", "params": []}',
        '{"id": 1, "params": {}}',
        "[]",
        "1",
        "null",
        '{"id": 1, "op": "boot_id", "params": {}} {"id": 2',
    ],
)
def test_a_damaged_request_is_refused_without_id_and_the_next_is_answered(
    kept: AgentProcess, windows: Windows, line: str
) -> None:
    windows.put(EMPTY)
    kept.send(line)
    message = kept.message()
    assert _kind(message) == "bad-request"
    assert isinstance(message, wire.Refusal)
    assert message.id is None
    assert isinstance(kept.ask("boot_id"), wire.Answer)


def test_a_request_written_in_pieces_and_blank_lines_do_no_harm(kept: AgentProcess, windows: Windows) -> None:
    windows.put(EMPTY)
    line = _boot(901)
    kept.send(line[:10], end="")
    kept.send(line[10:], end="\r\n\r\n  \n")
    message = kept.message()
    assert isinstance(message, wire.Answer)
    assert message.id == 901


def test_a_doubled_request_is_answered_twice_in_order(kept: AgentProcess, windows: Windows) -> None:
    windows.put(EMPTY)
    kept.send("\n".join([_boot(902), _boot(902), _boot(903)]))
    answers = [kept.message() for _ in range(3)]
    assert [getattr(message, "id", None) for message in answers] == [902, 902, 903]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("op", "params", "kind"),
    [
        ("no_such_operation", {}, "bad-request"),
        ("Get-PvBootId", {}, "bad-request"),
        ("boot_id", {"more": 1}, "bad-parameter"),
        ("services", {}, "bad-parameter"),
        ("services", {"names": "xenbus"}, "bad-parameter"),
        ("services", {"names": [1]}, "bad-parameter"),
        ("services", {"names": None}, "bad-parameter"),
        ("file_facts", {"path": 1}, "bad-parameter"),
        ("event_mark", {"record": 1}, "bad-parameter"),
        ("stop_events", {"record": "1"}, "bad-parameter"),
        ("stop_events", {"record": True}, "bad-parameter"),
        ("set_test_signing", {"enabled": 1}, "bad-parameter"),
        ("set_test_signing", {"enabled": "true"}, "bad-parameter"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_done(
    kept: AgentProcess, windows: Windows, op: str, params: dict[str, Any], kind: str
) -> None:
    windows.put(EMPTY)
    assert _kind(kept.ask(op, **params)) == kind
    assert windows.calls == []


@pytest.mark.parametrize(
    "rude",
    [
        "Write-Host 'half a line' -NoNewline",
        "Write-Warning 'Warnung'; Write-Verbose 'v' -Verbose",
        "Write-Information 'i' -InformationAction Continue",
        "Write-Progress -Activity 'a' -Status 's' -PercentComplete 5",
        "[Console]::Out.Write('half a line')",
        "[Console]::Error.WriteLine('complaint')",
        "Write-Host ('PV' + 'H nonsense')",
    ],
)
def test_what_a_command_says_aside_does_not_spoil_the_answer(
    kept: AgentProcess, windows: Windows, rude: str
) -> None:
    windows.put(EMPTY, before=rude)
    answer = kept.ask("boot_id")
    assert isinstance(answer, wire.Answer)
    assert answer.result == {"boot_id": EMPTY.system.boot_id}


@pytest.mark.parametrize(
    ("rude", "kind"),
    [
        ("throw 'ä \"q\"'", "command-failed"),
        ("Write-Error 'not terminating' -ErrorAction Stop", "command-failed"),
        ("throw [UnauthorizedAccessException]::new('Zugriff')", "access-denied"),
        ("throw [Exception]::new('a', [Security.SecurityException]::new('b'))", "access-denied"),
        ("throw [IO.DirectoryNotFoundException]::new('weg')", "not-found"),
        ("Get-NoSuchCommand", "command-failed"),
        ("Get-Process -NoSuchParameter 1", "command-failed"),
        ("$null.Nothing()", "command-failed"),
        ("return 1, 2", "command-failed"),
    ],
)
def test_a_command_that_throws_is_an_answer_of_its_kind(
    kept: AgentProcess, windows: Windows, rude: str, kind: str
) -> None:
    windows.put(EMPTY, before=rude)
    assert _kind(kept.ask("boot_id")) == kind
    windows.put(EMPTY)
    assert isinstance(kept.ask("boot_id"), wire.Answer)


def test_an_operation_that_exits_is_answered_and_ends_the_process(windows: Windows) -> None:
    windows.put(EMPTY, before="exit 7")
    lines = [_boot(1), _boot(2)]
    messages, code = ask_once(windows.engine, windows.prelude, windows.env, lines)
    assert isinstance(messages[0], wire.Ready)
    assert messages[1:] == [wire.Refusal(1, "command-failed", "the operation ended PowerShell by exit")]
    assert code == 7


def test_an_answer_of_a_megabyte_arrives_whole(kept: AgentProcess, windows: Windows, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(1_000_000))
    answer = kept.ask("read_file", path=str(path), offset=0, length=2_000_000)
    assert isinstance(answer, wire.Answer)
    assert base64.b64decode(answer.result["content"]) == path.read_bytes()


def test_a_request_of_a_megabyte_is_taken(kept: AgentProcess, tmp_path: Path) -> None:
    data = os.urandom(750_000)
    answer = kept.ask("write_file", path=str(tmp_path / "big"), content=base64.b64encode(data).decode())
    assert isinstance(answer, wire.Answer)
    assert (tmp_path / "big").read_bytes() == data


def test_a_line_cut_by_the_end_of_stdin_is_refused_and_the_process_ends_well(windows: Windows) -> None:
    windows.put(EMPTY)
    messages, code = ask_once(windows.engine, windows.prelude, windows.env, [_boot(1), _boot(2)[:-4]])
    assert isinstance(messages[1], wire.Answer)
    assert _kind(messages[2]) == "bad-request"
    assert code == 0


@pytest.mark.parametrize("first", ["", "not base64!", base64.b64encode(b"not gzip").decode()])
def test_without_a_readable_module_the_process_ends_and_announces_nothing(
    windows: Windows, first: str
) -> None:
    done = subprocess.run(
        start_command(windows.engine, windows.prelude),
        input=f"{first}\n{_boot(1)}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=dict(os.environ) | windows.env,
    )
    assert done.returncode != 0
    assert wire.MARK not in done.stdout


# -- one process per operation answers as the kept one


@pytest.fixture(scope="module")
def scene(windows: Windows, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Every operation with parameters that work, on a guest in a good state."""
    windows.put(GOOD)
    folder = tmp_path_factory.mktemp("scene")
    (folder / "file").write_bytes(b"content")
    (folder / "xenbus.inf").write_text("")
    (windows.folder / "disks" / "1").write_bytes(bytes(8192))
    file = str(folder / "file")
    return {
        "pnp_devices": {"prefix": "PCI\\"},
        "services": {"names": ["xenbus", "xennet"]},
        "certificates": {"store": "Root"},
        "events_since": {"record": 0, "limit": 100},
        "stop_events": {"record": 0},
        "file_facts": {"path": file},
        "read_file": {"path": file, "offset": 0, "length": 10},
        "cd_files": {"label": "NONE"},
        "xenstore_read": {"path": "data"},
        "xenstore_write": {"path": "data/value", "value": ODD_TEXT},
        "xenstore_watch": {"path": "data/value", "seconds": 2},
        "write_file": {"path": str(folder / "new"), "content": "YWJj"},
        "remove_file": {"path": str(folder / "gone")},
        "pull_file": {"url": "http://127.0.0.1:9/x", "path": str(folder / "pulled"), "sha256": "0" * 64},
        "push_file": {"path": file, "url": "http://127.0.0.1:9/x"},
        "copy_from_cd": {"label": "NONE", "name": "x", "path": str(folder / "copied")},
        "expand_zip": {"path": file, "folder": str(folder / "unpacked")},
        "add_certificate": {"path": file, "store": "Root"},
        "set_test_signing": {"enabled": True},
        "install_package": {"inf": str(folder / "xenbus.inf")},
        "uninstall_package": {"published": "oem3.inf"},
        "start_tool": {"path": "/bin/true", "arguments": ["a b"]},
        "job_status": {"job": "f" * 32},
        "stop_job": {"job": "f" * 32},
        "set_network_setting": {"mac": "00:16:3e:0a:0b:0c", "keyword": "*RSS", "value": "0"},
        "write_pattern": {"target": 6, "seed": 1, "blocks": 2, "block_size": 512},
        "read_pattern": {"target": 6, "blocks": 2, "block_size": 512},
    }


@pytest.fixture(scope="module")
def lone_answers(
    windows: Windows, scene: dict[str, dict[str, Any]], kept: AgentProcess
) -> Iterator[dict[str, tuple[Any, Any]]]:
    """By operation: the kept process's answer, and that of a process of its own (two at a time)."""
    windows.put(GOOD)
    kept.ask("write_pattern", **scene["write_pattern"])  # so that it does not matter who comes first
    together = {op: kept.ask(op, **scene.get(op, {})) for op in OPERATIONS}

    def alone(op: str) -> Any:
        request = wire.encode_request(wire.Request(1, op, scene.get(op, {})))
        messages, code = ask_once(windows.engine, windows.prelude, windows.env, [request])
        assert code == 0
        assert isinstance(messages[0], wire.Ready)
        assert len(messages) == 2
        return messages[1]

    with ThreadPoolExecutor(2) as pool:
        yield {
            op: (together[op], answer)
            for op, answer in zip(OPERATIONS, pool.map(alone, OPERATIONS), strict=True)
        }


@pytest.mark.parametrize("op", sorted(OPERATIONS))
def test_a_process_per_operation_answers_as_the_kept_one(lone_answers: dict[str, Any], op: str) -> None:
    together, alone = lone_answers[op]
    assert type(alone) is type(together)
    if isinstance(alone, wire.Refusal):
        assert alone.kind == together.kind
        assert alone.kind in _KINDS
        return
    typed, other = (decode_result(OPERATIONS[op], message.result) for message in (alone, together))
    if OPERATIONS[op].effect is Effect.STARTS and typed is not None:
        assert type(typed) is type(other)
        assert typed != other
    else:
        assert typed == other


def test_operations_that_can_work_on_this_guest_did(lone_answers: dict[str, Any]) -> None:
    refused = {op for op, (_, alone) in lone_answers.items() if isinstance(alone, wire.Refusal)}
    assert refused == {
        "add_certificate",  # not a certificate
        "cd_files",
        "copy_from_cd",
        "expand_zip",  # not a zip
        "job_status",
        "stop_job",
        "pull_file",  # nobody listens
        "push_file",
    }


# -- values


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=_TEXT)
def test_any_text_goes_in_and_comes_out_unchanged(kept: AgentProcess, windows: Windows, value: str) -> None:
    answer = kept.ask("xenstore_write", path="data/value", value=value)
    assert isinstance(answer, wire.Answer), answer
    assert answer.result["value"] == value


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=st.lists(st.text(st.sampled_from("a \t\"\\'$&|<>^%"), max_size=12), max_size=5))
def test_arguments_are_quoted_as_windows_takes_them_apart(
    quoting: AgentProcess, arguments: list[str]
) -> None:
    answer = quoting.ask("services", names=arguments)
    assert isinstance(answer, wire.Answer), answer
    line = answer.result[0]["line"]
    assert _take_apart(line) == arguments


@pytest.fixture(scope="module")
def quoting(windows: Windows) -> Iterator[AgentProcess]:
    """The module with `services` answering how its names would stand on a command line."""
    text = (
        agent.module_text()
        + "\nfunction Get-PvService { param([string[]] $Names) @{ line = ConvertTo-PvArguments $Names } }\n"
    )
    process = AgentProcess(windows.engine, windows.prelude, windows.env, module=text)
    yield process
    process.end()


def _take_apart(line: str) -> list[str]:
    """CommandLineToArgvW's rules for arguments, from Microsoft's description, written independently."""
    found: list[str] = []
    current: list[str] | None = None
    quoted, position = False, 0
    while position < len(line):
        character = line[position]
        if character in " \t" and not quoted:
            if current is not None:
                found.append("".join(current))
            current, position = None, position + 1
            continue
        current = [] if current is None else current
        slashes = len(line[position:]) - len(line[position:].lstrip("\\"))
        position += slashes
        if line[position : position + 1] == '"':
            current.append("\\" * (slashes // 2))
            if slashes % 2:
                current.append('"')
            else:
                quoted = not quoted
            position += 1
        elif slashes:
            current.append("\\" * slashes)
        else:
            current.append(character)
            position += 1
    return found if current is None else [*found, "".join(current)]
