"""The commands of real Windows systems, as far as the module uses them.

``windows-commands.json`` was taken from the recordings described in its ``origin``.
``python -m harness.guest.agent.surfaces FOLDER`` takes it anew from a folder with
those recordings (``*.json.gz``), for all commands named in ``STUBBED`` and ``KNOWN``.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["KNOWN", "NATIVE", "STUBBED", "Surface", "load_surfaces"]

# Windows answers these: tests put stubs in their place, with the recorded parameters.
STUBBED = (
    "Add-Type",
    "Get-ChildItem",
    "Get-CimClass",
    "Get-CimInstance",
    "Get-ExecutionPolicy",
    "Get-ItemProperty",
    "Get-WinEvent",
    "Get-WSManInstance",
    "Get-WindowsDriver",
    "Get-WmiObject",
    "Invoke-CimMethod",
    "New-Item",
    "New-ItemProperty",
    "New-Object",
    "New-WSManInstance",
    "Register-WmiEvent",
    "Remove-ItemProperty",
    "Set-ItemProperty",
    "Set-NetAdapterAdvancedProperty",
    "Set-Service",
    "Set-WSManInstance",
    "Start-Service",
    "Test-Path",
)
# These are PowerShell's own and run as they are.
KNOWN = (
    "Add-Member",
    "ConvertFrom-Json",
    "ConvertTo-Json",
    "ForEach-Object",
    "Get-Command",
    "Get-Item",
    "Get-Variable",
    "Import-Module",
    "Join-Path",
    "New-Module",
    "Remove-Event",
    "Remove-Item",
    "Select-Object",
    "Set-StrictMode",
    "Sort-Object",
    "Start-Sleep",
    "Unregister-Event",
    "Wait-Event",
    "Where-Object",
    "Write-Output",
)
NATIVE = (
    "bcdedit.exe",
    "net.exe",
    "netsh.exe",
    "pnputil.exe",
    "powercfg.exe",
    "powershell.exe",
    "schtasks.exe",
    "shutdown.exe",
    "taskkill.exe",
    "whoami.exe",
)

_FILE = Path(__file__).with_name("windows-commands.json")
_ORIGIN = (
    "Command surfaces recorded by Microsoft on these systems: the compatibility profiles of PSScriptAnalyzer "
    "(https://github.com/PowerShell/PSScriptAnalyzer, MIT licence, Copyright (c) Microsoft Corporation)."
)


@dataclass(frozen=True)
class Surface:
    """What one Windows system offers. ``commands`` is by name; None where only the name was taken."""

    name: str
    powershell: str
    commands: Mapping[str, Mapping[str, Any] | None]
    native: frozenset[str]

    def knows(self, command: str) -> bool:
        """Whether a command or program of that name is there."""
        wanted = command.lower()
        return wanted in self.native or any(wanted == name.lower() for name in self.commands)


def load_surfaces() -> tuple[Surface, ...]:
    """The recorded systems, oldest first."""
    recorded = json.loads(_FILE.read_text(encoding="utf-8"))["surfaces"]
    return tuple(
        Surface(name, fields["powershell"], fields["commands"], frozenset(fields["native_commands"]))
        for name, fields in recorded.items()
    )


def _take(folder: Path) -> dict[str, Any]:
    surfaces = {}
    for path in sorted(folder.glob("*.json.gz"), key=lambda path: ("2012" not in path.name, path.name)):
        recorded = json.loads(gzip.decompress(path.read_bytes()))
        commands = recorded["commands"]
        surfaces[path.name.removesuffix(".json.gz")] = {
            "powershell": recorded["powershell"],
            "commands": {name: commands[name] for name in STUBBED if name in commands}
            | dict.fromkeys(name for name in KNOWN if name in commands),
            "native_commands": [name for name in NATIVE if name in recorded["native_commands"]],
        }
    return {"origin": _ORIGIN, "surfaces": surfaces}


def _main(folder: str) -> None:
    taken = _take(Path(folder))
    _FILE.write_text(json.dumps(taken, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _main(sys.argv[1])
