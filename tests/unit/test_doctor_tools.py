"""The doctor says which workload programs Windows guests lack, and which are not the meant ones."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest
from fake_host import TEMPLATE

from harness.doctor import Check, State, check_tools
from harness.lab import Tool, ToolName
from harness.model import Arch, GuestKind


def found(*tools: Tool, guest: GuestKind = GuestKind.WINDOWS) -> dict[str, Check]:
    return {check.name: check for check in check_tools(dataclasses.replace(TEMPLATE, guest=guest), tools)}


def tool(folder: Path, name: ToolName, *, arch: Arch = Arch.X64, meant: bytes = b"program") -> Tool:
    path = folder / f"{name}.exe"
    path.write_bytes(b"program")
    return Tool(name, arch, path, hashlib.sha256(meant).hexdigest())


def test_programs_that_are_the_meant_ones_are_fine(tmp_path: Path) -> None:
    checks = found(tool(tmp_path, ToolName.IPERF3), tool(tmp_path, ToolName.FIO))
    assert {name: check.state for name, check in checks.items()} == {
        "network program": State.OK,
        "storage program": State.OK,
    }


def test_a_program_for_the_other_architecture_does_not_count(tmp_path: Path) -> None:
    check = found(tool(tmp_path, ToolName.IPERF3, arch=Arch.X86))["network program"]
    assert check.state is State.WARN
    assert "iperf3 for x64" in check.found
    assert "iperf3.x64" in check.mend


def test_no_storage_program_names_both_that_would_do() -> None:
    check = found()["storage program"]
    assert check.state is State.WARN
    assert "diskspd or fio" in check.found


def test_another_file_than_the_meant_one_fails(tmp_path: Path) -> None:
    check = found(tool(tmp_path, ToolName.DISKSPD, meant=b"another"))["storage program"]
    assert check.state is State.FAIL
    assert "SHA-256" in check.found


@pytest.mark.parametrize("kind", [GuestKind.SIMULATED, GuestKind.STAND_IN])
def test_guests_with_programs_on_board_need_none(kind: GuestKind) -> None:
    assert found(guest=kind) == {}
