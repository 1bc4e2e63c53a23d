"""Workload programs on dom0, as ``harness.simlab.tools`` plays them."""

from __future__ import annotations

from harness.simlab.shell.process import Command, CommandError, Process
from harness.simlab.tools import ToolRun, play_on_dom0

__all__ = ["COMMANDS"]

_NOT_FOUND = 127


def _tool(process: Process) -> int:
    run = play_on_dom0(process.argv)
    if run is None:
        raise CommandError(f"sh: 1: {process.argv[0]}: not found\n", _NOT_FOUND)
    if run.listens is not None:
        return _serve(process, run, run.listens)
    process.killed.wait(process.host.pace.of(run.seconds * process.host.pace.tool_second))
    process.out(run.stdout)
    process.err(run.stderr)
    return run.exit_code


def _serve(process: Process, run: ToolRun, port: int) -> int:
    if not process.host.ports.take(port):
        raise CommandError(
            f"{process.argv[0]}: error - unable to start listener for connections: Address already in use\n"
        )
    try:
        process.out(run.stdout)
        process.killed.wait()
    finally:
        process.host.ports.free(port)
    return run.exit_code


COMMANDS: dict[str, Command] = {"iperf3": _tool, "ntttcp": _tool}
