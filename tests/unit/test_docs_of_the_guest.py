"""The pages on operations, hosts and images say what the code does, and cannot fall behind it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fake_host import make_host
from test_doctor_hosts import WELL

import harness.guest
from harness.doctor import check_host
from harness.guest import agent
from harness.operations import OPERATIONS

_DOCS = Path(__file__).parents[2] / "docs"
_PREPARE = Path(harness.guest.__file__).with_name("prepare.ps1")
_KNOWN_FROM = re.compile(r"(?:(?:recording|documented)(?: \([^)]+\))?(?:; guess\b[^:]*: .+)?|guess: .+)")


def table(page: str, name: str) -> list[list[str]]:
    """Rows of the table between two comments, cells without blanks."""
    text = (_DOCS / page).read_text(encoding="utf-8")
    inside = text.partition(f"<!-- {name} -->")[2].partition("<!-- end -->")[0]
    rows = [line.strip("| ").split(" | ") for line in inside.strip().splitlines()[2:]]
    assert rows
    return [[cell.strip() for cell in row] for row in rows]


OPERATION_ROWS = table("guest-operations.md", "operations")


def test_the_table_lists_each_operation_once_with_its_function_and_effect() -> None:
    listed = [tuple(cell.strip("`") for cell in row[:3]) for row in OPERATION_ROWS]
    assert sorted(listed) == sorted(
        (operation.name, operation.function, operation.effect.value) for operation in OPERATIONS.values()
    )


@pytest.mark.parametrize("row", OPERATION_ROWS, ids=lambda row: row[0].strip("`"))
def test_what_an_operation_is_said_to_ask_stands_in_the_module(row: list[str]) -> None:
    for word in re.findall(r"`([^`]+)`", row[3]):
        assert word in agent.module_text(), word


@pytest.mark.parametrize("row", OPERATION_ROWS, ids=lambda row: row[0].strip("`"))
def test_how_it_is_known_is_one_of_three_words(row: list[str]) -> None:
    assert _KNOWN_FROM.fullmatch(row[4]), row[4]


def test_no_class_or_program_the_module_asks_is_left_out() -> None:
    # cmd.exe is only named, powershell.exe runs the module itself
    code = re.sub(r"(?m)^\s*#.*$", "", agent.module_text())
    asked = set(re.findall(r"\b((?:Win32|MSFT)_\w+|[a-z]+\.exe)\b", code)) - {"cmd.exe", "powershell.exe"}
    said = "\n".join(row[3] for row in OPERATION_ROWS)
    assert {word for word in asked if f"`{word}`" not in said} == set()


def test_each_check_of_a_host_has_its_row() -> None:
    made = [check.name for check in check_host(make_host(WELL, opened=False))]
    assert [row[0] for row in table("set-up-a-host.md", "checks")] == made


def test_the_page_on_images_names_what_the_script_sets() -> None:
    page, script = (_DOCS / "prepare-windows.md").read_text(encoding="utf-8"), _PREPARE.read_text()
    for word in ("pvhck-winrm", "LocalAccountTokenFilterPolicy", "5986", "profile=any", "1024", "30"):
        assert word in script
    for word in (
        "pvhck-winrm",
        "LocalAccountTokenFilterPolicy",
        "5986",
        "`CN=pvhck`",
        "1024 MB",
        "30 shells",
    ):
        assert word in page
