"""The module's functions, read from its own syntax tree, are the operations of ``harness.operations``."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.guest import agent
from harness.guest.agent.lint import lint_files
from harness.operations import OPERATIONS

_LIST = """
$tree = [Management.Automation.Language.Parser]::ParseFile('FILE', [ref] $null, [ref] $null)
foreach ($function in $tree.FindAll({ $args[0].GetType().Name -eq 'FunctionDefinitionAst' }, $false)) {
    $parameters = @()
    if ($null -ne $function.Body.ParamBlock) {
        $parameters = @($function.Body.ParamBlock.Parameters | ForEach-Object {
            $_.Name.VariablePath.UserPath.ToLowerInvariant() + ':' + $_.StaticType.FullName })
    }
    ConvertTo-Json -InputObject @($function.Name, ($parameters -join ' ')) -Compress
}
"""
_TYPES = {
    str: "System.String",
    int: "System.Int64",
    bool: "System.Boolean",
    tuple[str, ...]: "System.String[]",
}


@pytest.fixture(scope="module")
def functions(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    path = tmp_path_factory.mktemp("contract") / "module.psm1"
    path.write_text(agent.module_text())
    done = subprocess.run(
        [str(engine), "-NoProfile", "-NonInteractive", "-Command", _LIST.replace("FILE", str(path))],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    listed = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(listed) == len({name for name, _ in listed}), "a function is defined twice"
    return {name: parameters.split() for name, parameters in listed}


@pytest.mark.parametrize("op", sorted(OPERATIONS))
def test_each_operation_has_its_function_with_its_parameters(
    functions: dict[str, list[str]], op: str
) -> None:
    wanted: list[Any] = [
        f"{name.replace('_', '')}:{_TYPES[kind]}" for name, kind in OPERATIONS[op].parameters.items()
    ]
    assert functions[OPERATIONS[op].function] == wanted


_BAD = r"""
function Get-Thing { Get-NoSuchCommand; $x = 1; $x ? 2 : 3 }
Get-CimInstance -Foo 1
[System.Text.Json.JsonSerializer]::Serialize(1)
Get-Content -Path x -AsByteStream
& { Get-Thing; Where-Object { $true }; Start-Nothing.exe; 'devcon.exe'; "curl.exe $y"; 'C:\x\y.exe' }
ls
function Get-Hidden {
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSAvoidUsingWMICmdlet', '')]
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute('PSUseCompatibleCommands', '', Justification = 'no')]
    param()
    Get-WmiObject -Class x
}
"""


def test_the_lint_finds_what_must_not_be_shipped(engine: Path, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.ps1", tmp_path / "good.ps1"
    bad.write_text(_BAD)
    good.write_text("Get-CimInstance -ClassName Win32_Service | Where-Object { $_.Name }\n")
    findings = lint_files(engine, [bad, good])
    assert {Path(finding.file).name for finding in findings} == {"bad.ps1"}
    found = {(finding.line, finding.rule) for finding in findings}
    assert found >= {
        (2, "UnknownCommand"),
        (2, "PSUseCompatibleSyntax"),
        (3, "PSUseCompatibleCommands"),
        (4, "PSUseCompatibleTypes"),
        (5, "PSUseCompatibleCommands"),
        (6, "UnknownCommand"),
        (7, "UnknownCommand"),
        (9, "PSAvoidUsingWMICmdlet"),
        (10, "PSUseCompatibleCommands"),
    }
    unknown = sorted(
        finding.message.split(" ")[0] for finding in findings if finding.rule == "UnknownCommand"
    )
    assert unknown == [
        "Get-Content",
        "Get-NoSuchCommand",
        "Start-Nothing.exe",
        "curl.exe",
        "devcon.exe",
        "ls",
    ]
