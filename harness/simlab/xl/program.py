"""The table of xl's commands."""

from __future__ import annotations

from harness.simlab.shell.process import Command
from harness.simlab.xl import create, devices, life, looking, memory, misc, saving
from harness.simlab.xl.table import XlCommand, make_xl

__all__ = ["COMMANDS"]


def _table() -> dict[str, XlCommand]:
    table: dict[str, XlCommand] = {}
    for room in (create, devices, life, looking, memory, misc, saving):
        table |= room.COMMANDS
    return table


COMMANDS: dict[str, Command] = {"xl": make_xl(_table())}
