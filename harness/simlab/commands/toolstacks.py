"""What goes wrong with a toolstack's command, whichever program it is: as the host's switches say."""

from __future__ import annotations

from harness.simlab.faults import FaultKind
from harness.simlab.shell.process import CommandError, Process
from harness.simlab.stages import Stage

__all__ = ["play_faults"]


def play_faults(process: Process, command: str) -> None:
    """To be called before a command of xl or xm does anything.

    Raises:
        CommandError: it is to fail.
    """
    faults = process.host.faults
    if command == "create":
        faults.enter(Stage.BOOT)
    if faults.hits(FaultKind.SSH_DROP, command):
        process.session.drop()  # what it writes from now on kills it, as SIGPIPE does there
    if faults.hits(FaultKind.COMMAND_HANG, command):
        process.killed.wait()
    if faults.hits(FaultKind.COMMAND_FAILS, command):
        # words of our own: no toolstack says so
        raise CommandError(f"{process.argv[0]} {command} failed, as its fault switch has it\n")
