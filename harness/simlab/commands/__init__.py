"""The programs of a simulated dom0, by name."""

from collections.abc import Mapping

from harness.simlab.commands import disks, files, images, listing, network, store, system, text, tools
from harness.simlab.shell.process import Command
from harness.simlab.xl import program

__all__ = ["dom0_commands"]


def dom0_commands() -> Mapping[str, Command]:
    """All commands a shell on a host finds."""
    known: dict[str, Command] = {}
    for room in (disks, files, images, listing, network, store, system, text, tools, program):
        known |= room.COMMANDS
    return known
