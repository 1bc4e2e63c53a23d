"""Workload programs as simulated guests and hosts play them: iperf3, fio, diskspd, ntttcp.

Outputs have the form of recorded real ones (``tests/fixtures/workload``); the figures are made
up from the guest's seed and conditions and mean nothing but "PV is faster than emulated".
"""

from __future__ import annotations

import ntpath
import posixpath
from collections.abc import Sequence

from harness.simlab.tools.conditions import DiskFound, ToolConditions, ToolRun
from harness.simlab.tools.diskspd import play_diskspd
from harness.simlab.tools.fio import play_fio
from harness.simlab.tools.iperf3 import play_client, play_server
from harness.simlab.tools.ntttcp import play_ntttcp, play_ntttcp_server

__all__ = ["DiskFound", "ToolConditions", "ToolRun", "play", "play_on_dom0"]

_IN_GUEST = {"iperf3": play_client, "fio": play_fio, "diskspd": play_diskspd, "ntttcp": play_ntttcp}
_ON_DOM0 = {"iperf3": play_server, "ntttcp": play_ntttcp_server}


def play(path: str, arguments: Sequence[str], conditions: ToolConditions) -> ToolRun | None:
    """Run a program in a guest; None when ``path`` names none of ours. Folders and .exe do not count."""
    name = ntpath.basename(path).lower().removesuffix(".exe")
    player = _IN_GUEST.get(name)
    return player(arguments, conditions) if player else None


def play_on_dom0(argv: Sequence[str]) -> ToolRun | None:
    """Run a program on dom0; None when it is none of ours. Only servers have any use there."""
    player = _ON_DOM0.get(posixpath.basename(argv[0])) if argv else None
    return player(argv[1:]) if player else None
