"""What the host asks by ``control/shutdown``, and the power button: facts/pv-drivers.md 2.2 and 2.5."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from harness.simlab.faults import FaultKind, Faults
from harness.simlab.guest.drivers import Drivers
from harness.simlab.guest.eventlog import EventLog
from harness.simlab.guest.frontends import Frontends
from harness.simlab.guest.life import Life
from harness.simlab.machine import StopReason

__all__ = ["Control", "Stop"]

_AGENT_PROCESS = "C:\\Windows\\System32\\xenagent.exe"
_POWEROFF, _REBOOT = 1, 2  # event numbers of xenagent


class Stop(Protocol):
    """Begins a stop of Windows, with or without what makes it a clean one."""

    def __call__(self, reason: StopReason, *, clean: bool) -> None:
        """Begin."""


class Control:
    """Requests of the host. ``stop`` begins the stop of Windows, ``suspend`` the one of the domain."""

    def __init__(
        self,
        drivers: Drivers,
        events: EventLog,
        faults: Faults,
        computer: str,
        *,
        stop: Stop,
        suspend: Callable[[], None],
    ) -> None:
        self._drivers = drivers
        self._events = events
        self._faults = faults
        self._computer = computer
        self._stop = stop
        self._suspend = suspend
        self._busy = False

    def look(self, life: Life, frontends: Frontends) -> None:
        """Read the node, and take the request if somebody is there to take it."""
        request = life.machine.store.get(f"/local/domain/{life.machine.domid}/control/shutdown")
        if self._busy or FaultKind.SHUTDOWN_IGNORED in self._faults or not self._drivers.active:
            return
        if request == "suspend":  # XENBUS itself, no service needed
            self._busy = True
            life.after(life.machine.pace.acknowledge, lambda: self._acknowledge_suspend(frontends))
        elif request in {"poweroff", "reboot"} and self._agent_hears:
            self._busy = True
            reason = StopReason.REBOOT if request == "reboot" else StopReason.POWEROFF
            life.after(life.machine.pace.acknowledge, lambda: self._acknowledge(frontends, reason))

    def press(self) -> None:
        """The power button: Windows shuts down, drivers or not."""
        if FaultKind.SHUTDOWN_IGNORED not in self._faults and not self._busy:
            self._busy = True
            self._events.button_pressed()
            self._stop(StopReason.POWEROFF, clean=True)

    def resumed(self) -> None:
        """Requests are taken again."""
        self._busy = False

    @property
    def _agent_hears(self) -> bool:
        """Whether xenagent learns of a request: it watches the node through XENIFACE."""
        return self._drivers.agent_runs and FaultKind.XENSTORE_DEAF not in self._faults

    def _acknowledge(self, frontends: Frontends, reason: StopReason) -> None:
        frontends.acknowledge()
        restart = reason is StopReason.REBOOT
        self._events.agent(_REBOOT if restart else _POWEROFF)
        if FaultKind.SHUTDOWN_UNCLEAN in self._faults:
            self._stop(reason, clean=False)
            return
        self._events.stop_requested(_AGENT_PROCESS, restart=restart, computer=self._computer)
        self._stop(reason, clean=True)

    def _acknowledge_suspend(self, frontends: Frontends) -> None:
        frontends.acknowledge()
        self._suspend()
