"""A running Windows: what one boot makes of a system disk, from its kernel to its last event."""

from __future__ import annotations

import hashlib
from functools import partial

from harness.model import DriverName
from harness.simlab.faults import FaultKind
from harness.simlab.guest.balloon import Balloon
from harness.simlab.guest.control import Control
from harness.simlab.guest.crash import DRIVER_FAULT, INACCESSIBLE_BOOT_DEVICE, BugCode, Kernel, crash
from harness.simlab.guest.disk import StoredPackage, SystemDisk
from harness.simlab.guest.drivers import Drivers
from harness.simlab.guest.editions import edition_of
from harness.simlab.guest.endpoint import Endpoint
from harness.simlab.guest.eventlog import EventLog, now_text
from harness.simlab.guest.files import GuestFiles
from harness.simlab.guest.frontends import Frontends
from harness.simlab.guest.inf import version_of
from harness.simlab.guest.install import Pnputil, Scanned
from harness.simlab.guest.jobs import Jobs
from harness.simlab.guest.life import Life
from harness.simlab.guest.network import Network
from harness.simlab.guest.operations import SimulatedOperations
from harness.simlab.guest.programs import Programs
from harness.simlab.guest.screen import Picture
from harness.simlab.guest.setup import GuestSetup
from harness.simlab.guest.storage import Storage
from harness.simlab.guest.xeniface import Xeniface
from harness.simlab.machine import StopReason

__all__ = ["System"]

_HOT_REMOVE = (9, 2)  # guess: since this version the balloon takes from the total (BUS 906d93f, 2025-06)
_UNSUSPENDED = 7
_INBOX_DRIVERS = ("ntoskrnl.exe", "hal.dll", "ndis.sys", "storport.sys")  # some of those in every kernel
_AGENT_STARTED = 6


class System:
    """One boot. Made when the kernel is loaded; ``start`` and the rest run on a life's thread."""

    def __init__(self, setup: GuestSetup, life: Life, disk: SystemDisk) -> None:
        self.life = life
        self.disk = disk
        self.kept = kept = disk.kept
        self.setup = setup
        self.edition = edition_of(kept.os)
        self.seed = f"{setup.seed}/{life.machine.seed}"
        self.boot_id = now_text()
        self.stopping = False
        self.picture = Picture.LOGO
        self._asked = 0
        self.events = EventLog(kept)
        self.files = GuestFiles(life.machine.private_folder())
        self.drivers = Drivers(kept, setup.faults, self.edition.version)
        self.frontends = self._make_frontends(life)
        self.balloon = Balloon(
            life,
            self.frontends,
            self.edition.used_kib,
            stuck=lambda: FaultKind.BALLOON_STUCK in setup.faults,
            shrinks_total=self._shrinks_total,
        )
        self.network = Network(self.seed, kept, self.edition, setup.faults, lambda: self.drivers.tree)
        self.storage = Storage(
            self.edition, lambda: self.life.machine.disks, lambda: self.drivers.tree.vbds, setup.faults
        )
        self.xeniface = Xeniface(lambda: DriverName.XENIFACE in self.drivers.tree.serving, setup.faults)
        self.pnputil = Pnputil(kept, self.files, self._package_changed, old=self.edition.old)
        self.programs = Programs(self)
        self.jobs = Jobs(kept, self.files, self.boot_id, self.programs.begin, disk.save)
        self.control = Control(
            self.drivers,
            self.events,
            setup.faults,
            kept.computer_name,
            stop=self.stop,
            suspend=self._suspend,
        )
        self.operations = SimulatedOperations(self)
        self.endpoint = Endpoint(
            setup,
            self._answer,
            shell_version=self.edition.shell_version,
            computer_name=kept.computer_name,
            agent=setup.agent_for(self) if setup.agent_for else None,
        )

    # -- a boot

    def start(self) -> None:
        """The kernel: boot drivers, the unplug, devices, in that order; then services, after a while."""
        ended_badly, last = self.kept.running, self.events.last_time
        self.kept.running = True
        self.drivers.load(self.life.machine, self.frontends)
        if not self.drivers.start(self.life.machine, self.frontends, self.balloon):
            self.bugcheck(INACCESSIBLE_BOOT_DEVICE, "")
            return
        if ended_badly and FaultKind.LOG_CLEAN in self.setup.faults:
            self.events.stopped_cleanly()
        elif ended_badly:
            self.events.stopped_uncleanly(last, self.kept.bugcheck)
        self.kept.bugcheck = None
        self.disk.save()
        self._watch()
        self.life.after(self._boot_time, self._start_services)

    def _start_services(self) -> None:
        if self.stopping:
            return
        self.picture = Picture.DESKTOP
        self.events.started(self.edition.version)
        if self.drivers.start_services(self.frontends):
            self.events.agent(_AGENT_STARTED)
        self.xeniface.services_are_up(self.life)
        for node in self.drivers.tree.nodes:
            if node.problem:
                self.events.device_problem(node.instance_id, node.problem)
        self.disk.save()
        self.control.look(self.life, self.frontends)
        self._follow_network()
        self.life.machine.console(f"{self.kept.computer_name}: services are running\r\n")

    def resume(self, life: Life) -> None:
        """Go on in another domain: front ends, watches and the endpoint are made anew."""
        life.inherit(self.life)
        self.life = life
        self.frontends = self._make_frontends(life)
        self.balloon.move_to(life, self.frontends)
        self.drivers.reconnect(life.machine, self.frontends)
        self.control.resumed()
        if self.drivers.agent_runs:
            self.events.agent(_UNSUSPENDED)
        self.xeniface.services_are_up(life)
        self._watch()
        self._follow_network()
        self.balloon.follow()

    def _watch(self) -> None:
        machine = self.life.machine
        home = f"/local/domain/{machine.domid}"
        self.life.on_pause, self.life.on_unpause = self.endpoint.pause, self.endpoint.go_on
        self.life.at_end.append(self.endpoint.close)
        self.life.on_change(
            f"{home}/control/shutdown", lambda _: self.control.look(self.life, self.frontends)
        )
        self.life.on_change(f"{home}/memory/target", lambda _: self.balloon.follow())

    # -- changes

    def devices_changed(self) -> None:
        """Something was plugged in or is being taken away."""
        self.drivers.rescan(self.life.machine, self.frontends, self.balloon)
        self.disk.save()
        self._follow_network()

    def faults_changed(self) -> None:
        """A switch may have come on."""
        self.endpoint.faults_changed()
        if FaultKind.NETWORK_CUT in self.setup.faults:
            self._follow_network()

    def _package_changed(self, package: StoredPackage) -> Scanned:
        self.devices_changed()
        driver = package.inf.driver
        bound = any(node.package == package for node in self.drivers.tree.nodes)
        waits = driver is not None and driver in self.drivers.asked
        leaves = package not in self.kept.packages and bound
        return Scanned(bound=bound, wants_reboot=waits or leaves)

    def network_setting(self, mac: str, keyword: str, value: str) -> None:
        """See ``GuestOperations.set_network_setting``: the adapter restarts with it."""
        self.network.change(self.life.machine, mac, keyword, value)
        self.disk.save()

    def _follow_network(self) -> None:
        """Listen where the network leads now; addresses go to xenstore."""
        machine = self.life.machine
        way = self.network.way_out(machine)
        for index in sorted(self.drivers.tree.vifs):
            self.frontends.set_addresses(index, self.network.addresses(machine, index))
        if way is None:
            self.life.post(self.endpoint.close, locked=False)
            return
        address, _ = way
        machine.console(f"pvhck address {address}\r\n")
        self.life.post(lambda: self.endpoint.listen(address), locked=False)

    # -- the end

    def stop(self, reason: StopReason, *, clean: bool) -> None:
        """Windows shuts down: services first, the event log last, then the domain."""
        if self.stopping:
            return
        self.stopping = True

        def stopped() -> None:
            if clean:
                self.drivers.disconnect(self.frontends)
                self.events.stopped_cleanly()
                self.kept.running = False
            self.disk.save()
            self.disk.close()
            self.life.finish(reason)

        self.life.after(self.life.machine.pace.stop, stopped)

    def stop_by_itself(self, reason: StopReason) -> None:
        """See ``GuestOperations.restart`` and ``stop``: the answer gets out first."""
        restart = reason is StopReason.REBOOT
        process = "C:\\Windows\\system32\\shutdown.exe"
        self.events.stop_requested(process, restart=restart, computer=self.kept.computer_name)
        self.disk.save()
        self.life.after(self.life.machine.pace.acknowledge, lambda: self.stop(reason, clean=True))

    def bugcheck(self, what: BugCode, culprit: str) -> None:
        """The kernel gives up; ``culprit`` is the file of the driver it is put down to."""
        files = None if what is INACCESSIBLE_BOOT_DEVICE else self.files
        reason = crash(
            self.life.machine, self.kept, what, self._kernel(culprit), files=files, culprit=culprit
        )
        self.stopping = True
        self.picture = Picture.BUGCHECK
        self.disk.save()
        self.disk.close()
        self.life.finish(reason)

    def driver_fails(self, *drivers: DriverName) -> bool:
        """The fault bugcheck-load: whether one of the drivers that get work now ends in a bugcheck, soon."""
        for driver in drivers:
            if (
                self.setup.faults.hits(FaultKind.BUGCHECK_LOAD, driver)
                and driver in self.drivers.tree.serving
            ):
                fail = partial(self.bugcheck, DRIVER_FAULT, f"{driver}.sys")
                self.life.after(self.life.machine.pace.job, fail)
                return True
        return False

    def _kernel(self, culprit: str) -> Kernel:
        xen = self.drivers.loaded(DriverName.XENBUS) or culprit == f"{DriverName.XENBUS}.sys"
        ours = [f"{name}.sys" for name in self.drivers.tree.serving]
        loaded = [*_INBOX_DRIVERS, *(["xen.sys"] if xen else []), *ours, culprit]
        drivers = [name for name in dict.fromkeys(loaded) if name]
        return Kernel(
            int(self.edition.version.rpartition(".")[2]), drivers, xen, f"{self.seed}/{self.boot_id}"
        )

    def _suspend(self) -> None:
        self.disk.save()
        self.life.finish(StopReason.SUSPEND)

    # -- inner parts

    def _answer(self) -> SimulatedOperations:
        """Who answers a request. The fault winrm-freeze lets the first of a boot through."""
        self._asked += 1
        if self._asked > 1 and FaultKind.WINRM_FREEZE in self.setup.faults:
            self.endpoint.freeze()
        return self.operations

    def _make_frontends(self, life: Life) -> Frontends:
        machine = life.machine
        return Frontends(
            machine.store,
            machine.domid,
            machine.vcpus,
            lambda action: life.after(machine.pace.connect, action),
        )

    @property
    def _boot_time(self) -> float:
        """From the pace's figure to twice that, by the seed."""
        share = hashlib.sha256(f"{self.seed}/{self.kept.template}".encode()).digest()[0] / 255
        return self.life.machine.pace.boot * (1 + share)

    def _shrinks_total(self) -> bool:
        bus = self.drivers.tree.serving.get(DriverName.XENBUS)
        return bus is not None and version_of(bus.inf.version)[:2] >= _HOT_REMOVE
