"""A Windows guest as its host handles it: ``SimulatedGuest``."""

from __future__ import annotations

from collections.abc import Callable

from harness.simlab.faults import FaultKind
from harness.simlab.guest.crash import DRIVER_FAULT, NMI
from harness.simlab.guest.disk import SystemDisk
from harness.simlab.guest.drivers import system_disk
from harness.simlab.guest.life import Life
from harness.simlab.guest.screen import Picture, paint
from harness.simlab.guest.setup import GuestSetup
from harness.simlab.guest.system import System
from harness.simlab.machine import Machine, StopReason
from harness.simlab.stages import Stage

__all__ = ["WindowsGuest"]


# What happens to a guest once, when its switch comes on.
_ACCIDENTS: dict[FaultKind, Callable[[System], None]] = {
    FaultKind.BUGCHECK: lambda system: system.bugcheck(DRIVER_FAULT, ""),
    FaultKind.RESTARTS: lambda system: system.stop(StopReason.REBOOT, clean=True),
    FaultKind.POWERS_OFF: lambda system: system.stop(StopReason.POWEROFF, clean=True),
}


class WindowsGuest:
    """``SimulatedGuest``: off, firmware, booting, services up, and then whatever happens to it."""

    def __init__(self, setup: GuestSetup) -> None:
        self._setup = setup
        self._life: Life | None = None
        self._system: System | None = None
        self._picture = Picture.OFF
        self._done: set[FaultKind] = set()
        setup.faults.follow(lambda _: self._stage_begins())

    # -- SimulatedGuest

    def power_on(self, machine: Machine) -> None:
        """See ``SimulatedGuest.power_on``."""
        life = self._begin(machine)
        self._system = None
        self._picture = Picture.FIRMWARE
        faults = self._setup.faults
        faults.enter(Stage.REBOOT if faults.stage >= Stage.INSTALL else Stage.BOOT)
        life.begin(lambda: life.after(machine.pace.firmware, lambda: self._load(life)))

    def resume(self, machine: Machine) -> None:
        """See ``SimulatedGuest.resume``. What was in memory is still here, whoever made the domain stop."""
        system = self._system
        if system is None:
            self.power_on(machine)
            return
        life = self._begin(machine)
        self._picture = Picture.LOGO  # from here on the system's own picture counts
        system.disk.reopen()
        life.begin(lambda: system.resume(life))

    def cut(self) -> None:
        """See ``SimulatedGuest.cut``."""
        if self._system is not None:
            self._system.disk.close()
        if self._life is not None:
            self._life.cut()
        self._picture = Picture.OFF

    def pause_changed(self) -> None:
        """See ``SimulatedGuest.pause_changed``."""
        if self._life is not None:
            self._life.pause_changed()

    def devices_changed(self) -> None:
        """See ``SimulatedGuest.devices_changed``."""
        self._tell(lambda system: system.devices_changed())

    def press_power(self) -> None:
        """See ``SimulatedGuest.press_power``."""
        self._tell(lambda system: system.control.press())

    def nmi(self) -> None:
        """See ``SimulatedGuest.nmi``."""
        self._tell(lambda system: system.bugcheck(NMI, ""))

    def screen(self) -> bytes:
        """See ``SimulatedGuest.screen``."""
        system = self._system
        shown = system.picture if system is not None and self._picture is Picture.LOGO else self._picture
        return paint(shown, self._setup.template.name)

    # -- inner parts

    def _begin(self, machine: Machine) -> Life:
        """A new life; it waits until the one before has let go of its port."""
        before = self._life
        if before is not None:
            before.cut()
        self._life = Life(machine, before)
        return self._life

    def _load(self, life: Life) -> None:
        """The firmware looks for something to boot."""
        disk = system_disk(life.machine)
        try:
            loaded = SystemDisk(disk.file) if disk is not None and disk.file is not None else None
        except (OSError, ValueError):
            loaded = None
        if loaded is None:
            self._picture = Picture.NO_DISK
            life.machine.console("No bootable device.\r\n")
            return
        self._picture = Picture.LOGO
        if self._hangs_with(loaded):
            return
        self._system = System(self._setup, life, loaded)
        self._system.start()
        self._stage_begins()

    def _stage_begins(self) -> None:
        """Switches may be on that were not; what happens once, happens."""
        faults = self._setup.faults
        self._tell(lambda system: system.faults_changed())
        if self._system is None:
            return
        for kind, happen in _ACCIDENTS.items():
            if kind in faults and kind not in self._done:
                self._done.add(kind)
                self._tell(happen)

    def _hangs_with(self, disk: SystemDisk) -> bool:
        """The fault boot-hangs: from the start, or with a driver that is in the store."""
        words = self._setup.faults.words(FaultKind.BOOT_HANGS)
        return "" in words or any(package.inf.driver in words for package in disk.kept.packages)

    def _tell(self, action: Callable[[System], None]) -> None:
        """Have the system do something on its life's thread; nobody is there before it is loaded."""
        life = self._life

        def tell() -> None:
            if self._system is not None:
                action(self._system)

        if life is not None:
            life.post(tell)
