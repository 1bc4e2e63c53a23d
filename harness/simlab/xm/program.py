"""The table of xm's commands."""

from __future__ import annotations

from harness.simlab.shell.process import Command
from harness.simlab.xm import create, devices, life, looking
from harness.simlab.xm.table import XmCommand, make_xm

__all__ = ["COMMANDS"]


def _table() -> dict[str, XmCommand]:
    table: dict[str, XmCommand] = {}
    for room in (create, devices, life, looking):
        table |= room.COMMANDS
    return table


COMMANDS: dict[str, Command] = {"xm": make_xm(_table())}
