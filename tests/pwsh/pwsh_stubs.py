"""Stub functions for commands of Windows: they bind parameters as recorded there, then ask a mock.

A parameter that belongs to all sets stands in the recordings without them: whether it
is mandatory or positional is not known, so the module must call with parameter names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.guest.agent.surfaces import Surface

__all__ = ["stub_text"]

_KEPT = (
    "System.String",
    "System.Int",
    "System.UInt",
    "System.Object",
    "System.Uri",
    "System.Xml.XmlDocument",
    "System.Collections.",
    "System.Management.Automation.SwitchParameter",
    "System.Management.Automation.ScriptBlock",
)


def stub_text(surface: Surface) -> str:
    """PowerShell text that defines a function for each command recorded with its parameters."""
    return "\n".join(
        _stub(name, command) for name, command in sorted(surface.commands.items()) if command is not None
    )


def _stub(name: str, command: Mapping[str, Any]) -> str:
    default = command.get("default_set")
    binding = f"DefaultParameterSetName = '{default}', " if default else ""
    aliases: dict[str, list[str]] = {}
    for alias, parameter in (command.get("parameter_aliases") or {}).items():
        aliases.setdefault(parameter, []).append(alias)
    parameters = ",\n".join(
        _parameter(parameter, record, aliases.get(parameter, []))
        for parameter, record in sorted(command["parameters"].items())
    )
    return (
        f"function global:{name} {{\n"
        f"    [CmdletBinding({binding}PositionalBinding = $false)]\n"
        f"    param(\n{parameters}\n    )\n"
        f"    process {{ Invoke-Mock $PSCmdlet '{name}' $PSBoundParameters }}\n"
        "}"
    )


def _parameter(name: str, record: Mapping[str, Any], aliases: list[str]) -> str:
    lines = [_attribute(set_name, fields) for set_name, fields in sorted((record.get("sets") or {}).items())]
    if aliases:
        lines.append("[Alias(" + ", ".join(f"'{alias}'" for alias in sorted(aliases)) + ")]")
    return "        " + " ".join([*lines, f"[{_type(record['type'])}]", f"${{{name}}}"])


def _attribute(set_name: str, fields: Mapping[str, Any]) -> str:
    words = [f"ParameterSetName = '{set_name}'", *fields.get("flags", [])]
    if "position" in fields:
        words.append(f"Position = {fields['position']}")
    return f"[Parameter({', '.join(words)})]"


def _type(recorded: str) -> str:
    if recorded.startswith(_KEPT):
        return recorded
    return "object[]" if recorded.endswith("[]") else "object"
