"""Are the workload programs of a template's guests named in hosts.ini, and are they the meant ones?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.doctor.check import Check, State, failed
from harness.errors import ConfigurationError
from harness.lab import GuestTemplate, Tool, ToolName
from harness.model import GuestKind
from harness.workload.tools import check_tool, named_tool

__all__ = ["check_tools"]

# What measures what; one program of each row is enough.
_WORK = {
    "network program": (ToolName.IPERF3,),
    "storage program": (ToolName.DISKSPD, ToolName.FIO),
}


def check_tools(template: GuestTemplate, tools: Sequence[Tool]) -> Iterator[Check]:
    """Windows guests bring no such programs; the others have theirs on board."""
    if template.guest is not GuestKind.WINDOWS:
        return
    for work, wanted in _WORK.items():
        tool = named_tool(tools, template.arch, wanted)
        if tool is not None:
            yield _check_named(template.name, work, tool)
            continue
        names = " or ".join(wanted)
        yield Check(
            template.name,
            work,
            State.WARN,
            f"no {names} for {template.arch} guests: the tests that need it are skipped",
            f"set {wanted[0]}.{template.arch} = PATH sha256:HEX in [tools] of hosts.ini",
        )


def _check_named(subject: str, work: str, tool: Tool) -> Check:
    try:
        check_tool(tool)
    except ConfigurationError as error:
        return failed(subject, work, error)
    return Check(subject, work, State.OK, f"{tool.name} for {tool.arch}, {tool.path}")
