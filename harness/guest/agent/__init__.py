"""The guest side: the PowerShell module that carries out the operations, and how it is started.

The module is fed as text to one ``powershell.exe`` (``harness.wire``): policies
forbid script files, not standard input. ``docs/guest-operations.md`` says what each
operation asks of Windows.
"""

from __future__ import annotations

import base64
import types
from functools import cache
from pathlib import Path
from typing import Any

from harness.operations import OPERATIONS, Operation

__all__ = ["FRAGMENTS", "bootstrap", "command_line", "module_text", "probe_text"]

FRAGMENTS = (
    "PvHarness.psm1",
    "json.ps1",
    "windows.ps1",
    "system.ps1",
    "devices.ps1",
    "network.ps1",
    "storage.ps1",
    "files.ps1",
    "jobs.ps1",
    "xenstore.ps1",
)

_HERE = Path(__file__).parent
_SWITCHES = (
    "-NoLogo",
    "-NoProfile",
    "-NonInteractive",
    "-ExecutionPolicy Bypass",
    # else powershell.exe itself reads stdin. Documented; not yet seen on Windows (guess)
    "-InputFormat None",
)
_TYPES = {str: "text", int: "number", bool: "truth", tuple[str, ...]: "texts"}


@cache
def module_text() -> str:
    """The whole module: the fragments and the table of operations."""
    fragments = [(_HERE / name).read_text(encoding="ascii") for name in FRAGMENTS]
    return "\n".join([*fragments, _operation_table()])


@cache
def probe_text() -> str:
    """The module with the recorder: it also has the operation ``harness.guest.probe`` asks for."""
    return "\n".join([module_text(), (_HERE / "probe.ps1").read_text(encoding="ascii")])


@cache
def bootstrap() -> str:
    """The script that reads the module from the first line of stdin and starts it."""
    return (_HERE / "bootstrap.ps1").read_text(encoding="ascii")


@cache
def command_line() -> str:
    """The command to start in the guest, for a kept process and for one operation alike.

    Below 8,000 characters: cmd.exe cuts off what is longer (facts/winrm.md 1.4).
    """
    encoded = base64.b64encode(bootstrap().encode("utf-16-le")).decode("ascii")
    return " ".join(["powershell.exe", *_SWITCHES, "-EncodedCommand", encoded])


def _operation_table() -> str:
    entries = "".join(f"    {_entry(operation)}\n" for operation in OPERATIONS.values())
    return f"$script:PvOperations = @{{\n{entries}}}\n"


def _entry(operation: Operation) -> str:
    parameters = "; ".join(f"{name} = '{_TYPES[kind]}'" for name, kind in operation.parameters.items())
    return (
        f"{operation.name} = @{{ Function = '{operation.function}'; Gives = '{_gives(operation.result)}'; "
        f"Parameters = [ordered]@{{ {parameters} }} }}"
    )


def _gives(result: Any) -> str:
    if result is types.NoneType:
        return "nothing"
    return "many" if isinstance(result, types.GenericAlias) else "one"
