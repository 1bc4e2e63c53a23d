"""What is sent to a guest: module text, bootstrap, command line; and where the engine is looked for."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from harness import wire
from harness.guest import agent
from harness.guest.agent import engine
from harness.guest.agent.surfaces import KNOWN, NATIVE, STUBBED, load_surfaces
from harness.operations import OPERATIONS

_FOLDER = Path(agent.__file__).parent


def test_the_command_line_is_short_enough_for_cmd() -> None:
    assert len(agent.bootstrap()) < 3000
    assert len(agent.command_line()) < 8000


def test_the_command_line_holds_the_bootstrap_and_keeps_powershell_from_stdin() -> None:
    program, *words = agent.command_line().split()
    assert program == "powershell.exe"
    assert base64.b64decode(words[-1]).decode("utf-16-le") == agent.bootstrap()
    assert words[-2] == "-EncodedCommand"
    assert words[words.index("-InputFormat") + 1] == "None"
    assert {"-NoProfile", "-NonInteractive"} < set(words)


def test_the_module_is_ascii_and_survives_the_wire() -> None:
    assert agent.module_text().isascii()
    assert wire.decode_module(wire.encode_module(agent.module_text())) == agent.module_text()


def test_every_operation_stands_in_the_table_and_has_a_function() -> None:
    text = agent.module_text()
    for operation in OPERATIONS.values():
        assert f"    {operation.name} = @{{ Function = '{operation.function}';" in text
        assert len(re.findall(rf"^function {operation.function} \{{$", text, re.MULTILINE)) == 1


@pytest.mark.parametrize(
    ("op", "line"),
    [
        ("boot_id", "Gives = 'one'; Parameters = [ordered]@{  } }"),
        ("services", "Gives = 'many'; Parameters = [ordered]@{ names = 'texts' } }"),
        ("set_test_signing", "Gives = 'nothing'; Parameters = [ordered]@{ enabled = 'truth' } }"),
        ("xenstore_watch", "Gives = 'one'; Parameters = [ordered]@{ path = 'text'; seconds = 'number' } }"),
    ],
)
def test_the_table_says_what_an_operation_takes_and_gives(op: str, line: str) -> None:
    entry = next(found for found in agent.module_text().splitlines() if found.startswith(f"    {op} = "))
    assert entry.endswith(line)


def test_no_fragment_is_forgotten() -> None:
    alone = {"bootstrap.ps1", "lint.ps1", "probe.ps1"}
    assert {path.name for path in _FOLDER.glob("*.ps*1")} - alone == set(agent.FRAGMENTS)


@pytest.mark.parametrize("name", [path.name for path in sorted(_FOLDER.glob("*.ps*1"))])
def test_every_powershell_file_is_ascii_with_lf(name: str) -> None:
    data = (_FOLDER / name).read_bytes()
    assert data.isascii()
    assert b"\r" not in data
    assert data.endswith(b"}\n") or name in {"bootstrap.ps1", "lint.ps1"}


def test_the_recorded_surfaces_hold_what_the_lists_name() -> None:
    for surface in load_surfaces():
        assert set(surface.commands) == {*STUBBED, *KNOWN}
        assert surface.native == set(NATIVE)
        assert surface.knows("get-ciminstance")
        assert not surface.knows("Get-NoSuchCommand")


def test_pwsh_on_path_goes_before_the_one_beside_the_repository(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(engine, "_REPOSITORY", tmp_path / "repository")
    assert engine.find_engine() is None
    beside = tmp_path / "shared" / "pwsh" / "pwsh"
    beside.parent.mkdir(parents=True)
    beside.touch()
    assert engine.find_engine() == beside
    installed = tmp_path / "pwsh"
    installed.touch(mode=0o755)
    assert engine.find_engine() == installed
