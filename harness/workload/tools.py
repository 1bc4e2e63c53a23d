r"""Which program does a kind of work in a guest, and putting it there.

Simulated and stand-in guests have theirs by name. A Windows guest gets the file that ``[tools]``
of hosts.ini names, its SHA-256 checked on both sides, into ``C:\ProgramData\pvhck\tools``; a zip
is unpacked there, for programs that need files beside them (iperf3 and its cygwin1.dll).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from harness.errors import ConfigurationError, OperationFailed, ToolMissing
from harness.guest.guest import Guest
from harness.guest.transfer import sha256_of
from harness.lab import Tool, ToolName
from harness.model import Arch, GuestKind
from harness.workload.run import GuestTool

__all__ = ["Carrier", "GuestTools", "check_tool", "named_tool"]

_FOLDER = r"C:\ProgramData\pvhck\tools"


class Carrier(Protocol):
    """What brings a file into the guest and answers for its hash."""

    def __call__(self, source: Path, target: str) -> None:
        """Copy a file of ours to a path of the guest."""


class GuestTools:
    """The programs of one guest."""

    def __init__(self, guest: Guest, tools: Sequence[Tool], carry: Carrier) -> None:
        self._guest = guest
        self._tools = tools
        self._carry = carry

    def find(self, *wanted: ToolName) -> GuestTool:
        """The first of ``wanted`` that this guest can have.

        Raises:
            ToolMissing: none of them.
            ConfigurationError: the file is not there or not the one hosts.ini means.
        """
        if self._guest.kind is not GuestKind.WINDOWS:
            name = next((name for name in wanted if name in _ON_BOARD), None)
            if name is None:
                raise ToolMissing(f"{self._guest.kind} guests have no {' or '.join(wanted)}")
            return GuestTool(name, name.value)
        arch = self._guest.template.arch
        tool = named_tool(self._tools, arch, wanted)
        if tool is not None:
            return GuestTool(tool.name, self._put(tool))
        raise ToolMissing(
            f"no {' or '.join(wanted)} for {arch} guests",
            mend=f"set {wanted[0]}.{arch} in [tools] of hosts.ini",
        )

    def _put(self, tool: Tool) -> str:
        check_tool(tool)
        folder = rf"{_FOLDER}\{tool.name}-{tool.sha256[:12]}"
        packed = tool.path.suffix.lower() == ".zip"
        arrived = rf"{folder}.zip" if packed else rf"{folder}\{tool.path.name}"
        if not self._is_there(arrived, tool.sha256):
            self._carry(tool.path, arrived)
            if packed:
                self._guest.operations.expand_zip(path=arrived, folder=folder)
        return rf"{folder}\{tool.name}.exe" if packed else arrived

    def _is_there(self, path: str, sha256: str) -> bool:
        try:
            return self._guest.operations.file_facts(path=path).sha256 == sha256
        except OperationFailed as error:
            if error.kind != "not-found":
                raise
            return False


# What simulated and stand-in guests have; diskspd and ntttcp are played, too, but fio and iperf3
# are what was recorded.
_ON_BOARD = (ToolName.IPERF3, ToolName.FIO)


def named_tool(tools: Sequence[Tool], arch: Arch, wanted: Sequence[ToolName]) -> Tool | None:
    """The first of ``wanted`` that ``[tools]`` names for an architecture."""
    by_name = {tool.name: tool for tool in tools if tool.arch is arch}
    return next((by_name[name] for name in wanted if name in by_name), None)


def check_tool(tool: Tool) -> None:
    """Compare a program with what hosts.ini says of it.

    Raises:
        ConfigurationError: the file is not there or not the one hosts.ini means.
    """
    try:
        found = sha256_of(tool.path)
    except OSError as error:
        raise ConfigurationError(
            f"{tool.name}.{tool.arch}: {tool.path} cannot be read: {error.strerror}",
            mend="put the program there, or correct [tools] of hosts.ini",
        ) from error
    if found != tool.sha256:
        raise ConfigurationError(
            f"{tool.name}.{tool.arch}: {tool.path} has SHA-256 {found}, hosts.ini says {tool.sha256}",
            mend="it is not the file that was meant: look where it comes from, then correct [tools]",
        )
