"""Programs a job can run: pnputil, and the workload tools as ``harness.simlab.tools`` plays them."""

from __future__ import annotations

import hashlib
import math
import ntpath
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.model import DriverName
from harness.simlab.faults import FaultKind
from harness.simlab.guest.crash import DRIVER_FAULT
from harness.simlab.guest.install import ACCESS_DENIED, REBOOT_REQUIRED
from harness.simlab.guest.jobs import Ended, Running
from harness.simlab.tools import DiskFound, ToolConditions, play

if TYPE_CHECKING:
    from harness.simlab.guest.system import System

__all__ = ["Programs"]

_NETWORK_TOOLS = {"iperf3", "ntttcp"}
_STORAGE_TOOLS = {"diskspd", "fio"}
_BYTES_A_SECOND = 50 << 20  # guess: what a network tool adds to the adapter's counters


class Programs:
    """Finds and runs programs of one boot."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._turn = 0

    def begin(self, path: str, arguments: Sequence[str]) -> Running | None:
        """See ``Jobs``."""
        name = ntpath.basename(path).lower().removesuffix(".exe")
        if name == "pnputil":
            return self._pnputil(arguments)
        return self._tool(name, path, arguments)

    def _pnputil(self, arguments: Sequence[str]) -> Running:
        system = self._system
        faults = system.setup.faults
        driver, removed = system.pnputil.driver_of(arguments), system.pnputil.removes(arguments)

        def finish() -> Ended:
            if driver is not None and faults.hits(FaultKind.BUGCHECK_INSTALL, driver):
                system.bugcheck(DRIVER_FAULT, f"{driver}.sys")
            if removed is not None and faults.hits(FaultKind.REMOVAL_REFUSED, removed):
                return Ended(ACCESS_DENIED, "Microsoft PnP Utility\r\n\r\nAccess is denied.\r\n")
            ended = system.pnputil.run(arguments)
            if driver is not None and faults.hits(FaultKind.REBOOT_ASKED, driver) and ended.exit_code == 0:
                return replace(ended, exit_code=REBOOT_REQUIRED)
            return ended

        return Running(system.life.machine.pace.job, finish)

    def _tool(self, name: str, path: str, arguments: Sequence[str]) -> Running | None:
        system = self._system
        machine = system.life.machine
        ran = play(path, arguments, self._conditions())
        if ran is None:
            return None
        self._turn += 1
        if name in _NETWORK_TOOLS:
            system.driver_fails(DriverName.XENNET, DriverName.XENVIF, DriverName.XENBUS)
            if math.isfinite(ran.seconds):
                system.network.count(machine, int(ran.seconds * _BYTES_A_SECOND))
        elif name in _STORAGE_TOOLS:
            system.driver_fails(DriverName.XENVBD, DriverName.XENBUS)
        ended = Ended(ran.exit_code, ran.stdout, ran.stderr)
        if math.isinf(ran.seconds):
            return Running(None, lambda: ended, stdout=ran.stdout)
        return Running(machine.pace.job + ran.seconds * machine.pace.tool_second, lambda: ended)

    def _conditions(self) -> ToolConditions:
        system = self._system
        machine = system.life.machine
        way = system.network.way_out(machine)
        return ToolConditions(
            seed=_number(system.seed),
            pv_network=way is not None and way[1],
            disks={
                number: DiskFound(pv=not disk.emulated, size=disk.size)
                for number, disk in system.storage.numbered()
            },
            ports=machine.host_ports,
            slow_network=FaultKind.SLOW_NETWORK in system.setup.faults,
            one_way=way is not None and way[1] and FaultKind.ONE_WAY in system.setup.faults,
            processors=machine.vcpus,
            turn=self._turn,
        )


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")
