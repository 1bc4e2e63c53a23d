"""The drivers out of a guest again: in reverse order, reboots, and a look at what is left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from harness.deadline import NotYet, WaitTimedOut
from harness.errors import GuestError
from harness.guest.guest import Guest
from harness.host.toolstack.protocol import Fallback
from harness.install.balloon import empty_balloon
from harness.install.guestview import GuestView, devices_of, emulated_faults, look_at_guest
from harness.install.hostview import hardware_of
from harness.install.outcome import DriverFault, UninstallReport, Verification
from harness.install.patience import Silent, Steps, await_answer, await_boot, reboot_guest, run_job
from harness.install.problems import SUCCESS_CODES, describe_exit
from harness.lab.profile import InstallParams
from harness.model import DriverName
from harness.operations import DriverPackage, JobStatus
from harness.package import DriverBuild

__all__ = ["uninstall_build"]

# How long a guest may be silent before its network counts as gone. pnputil needs some seconds after
# it has removed the device, and nobody can watch it there (guess: never measured on Windows).
_SILENCE_S = 3


def uninstall_build(
    guest: Guest, build: DriverBuild, params: InstallParams, *, report: Callable[[str], None] = lambda _: None
) -> UninstallReport:
    """Remove a build's drivers in every version the driver store has, and say what is left.

    The emulated devices come back at the next boot, so there is at least one. Removing XENNET takes
    the guest's network away until then: a guest that falls silent is rebooted by its toolstack.

    Raises:
        GuestError: the guest got lost, crashed, or asks for ever more reboots.
    """
    build = build.for_arch(guest.template.arch)
    steps = Steps(lambda step: report(f"{guest.name}: {step}"))
    empty_balloon(guest, params)
    removal = _Removal(guest, params, steps)
    for package in reversed(build.packages):
        for stored in _stored(guest, package.inf_name):
            removal.remove(package.name, stored)
    reboots = removal.reboots + _reboot_until_quiet(guest, params, steps)
    with steps.step("settle"):
        verification = _verify_gone(guest, build, params)
    return UninstallReport(
        guest=guest.name,
        removed=tuple(removal.removed),
        reboots=reboots,
        steps=steps.times,
        verification=Verification((*removal.faults, *verification.faults), verification.checks),
        warnings=_stopped_leftovers(guest, build),
    )


@dataclass
class _Removal:
    """Packages on their way out, and what came of it."""

    guest: Guest
    params: InstallParams
    steps: Steps
    removed: list[str] = field(default_factory=list)
    faults: list[DriverFault] = field(default_factory=list)
    reboots: int = 0

    def remove(self, name: DriverName, stored: DriverPackage) -> None:
        """Take a package away; once more after a reboot when the guest fell silent too early."""
        status = self._uninstall(name, stored)
        if status is None:
            self.reboots += 1
            with self.steps.step("reboot by the toolstack"):
                _reboot_from_outside(self.guest, self.params, stored)
            if stored in _stored(self.guest, stored.original):
                status = self._uninstall(name, stored)
                if status is None:
                    raise GuestError(f"{self.guest.name} lost its network again without {stored.original}")
        if status is not None and status.exit_code not in SUCCESS_CODES:
            words = f"{describe_exit(status.exit_code)}: {status.stdout.strip()[-200:]}"
            self.faults.append(DriverFault(name, f"removing {stored.published} ended with {words}"))
            return
        self.removed.append(stored.published)

    def _uninstall(self, name: DriverName, stored: DriverPackage) -> JobStatus | None:
        """How it ended; None when the guest fell silent over it."""
        with self.steps.step(f"uninstall {name} {stored.version}"):
            try:
                return run_job(
                    self.guest,
                    lambda: self.guest.operations.uninstall_package(published=stored.published),
                    subject=f"{self.guest.name} removes {stored.original}",
                    seconds=self.params.install_s,
                    silence_s=min(_SILENCE_S, self.params.install_s),
                )
            except Silent:
                return None


def _stored(guest: Guest, inf: str) -> tuple[DriverPackage, ...]:
    return tuple(
        stored for stored in guest.operations.driver_packages() if stored.original.lower() == inf.lower()
    )


def _reboot_from_outside(guest: Guest, params: InstallParams, stored: DriverPackage) -> None:
    old = guest.boot_id
    answer = guest.host.toolstack.reboot(guest.name, Fallback.NONE)
    if answer.refused:
        raise GuestError(
            f"{guest.name} lost its network when {stored.original} was removed, and cannot be rebooted: "
            f"{answer.text.strip()}"
        )
    guest.disconnect()
    await_boot(guest, guest.deadline(params.boot_s), old_boot=old, why=f"the removal of {stored.original}")


def _reboot_until_quiet(guest: Guest, params: InstallParams, steps: Steps) -> int:
    """The reboot that brings the emulated devices back, and those that are asked for after it."""
    why = "the emulated devices come back at boot"
    for count in range(1, params.max_reboots + 1):
        with steps.step(f"reboot {count}"):
            reboot_guest(guest, boot_s=params.boot_s, why=why)
        pending = guest.operations.pending_reboots()
        if not pending:
            return count
        why = ", ".join(item.driver for item in pending)
    if params.max_reboots == 0:
        return 0
    raise GuestError(f"{guest.name}: after {params.max_reboots} reboots one more is asked for by {why}")


def _verify_gone(guest: Guest, build: DriverBuild, params: InstallParams) -> Verification:
    last: list[DriverFault] = []

    def ask() -> tuple[DriverFault, ...] | NotYet:
        last[:] = _left(guest, build, look_at_guest(guest, build))
        return NotYet(str(last[0])) if last else ()

    with contextlib.suppress(WaitTimedOut):  # then what is left is what was last seen
        await_answer(
            guest,
            ask,
            subject=f"{guest.name}: its drivers are gone",
            deadline=guest.deadline(params.settle_s),
            silence_s=params.settle_s,
        )
    checks = (
        "driver store without the packages",
        "no device with one of the drivers, no service of theirs running",
        "emulated interface and disk back",
    )
    return Verification(tuple(last), checks)


def _left(guest: Guest, build: DriverBuild, view: GuestView) -> Iterator[DriverFault]:
    running = {service.name.lower() for service in view.services if service.state == "running"}
    stored = {package.original.lower(): package for package in guest.operations.driver_packages()}
    for package in build.packages:
        if package.inf_name.lower() in stored:
            where = stored[package.inf_name.lower()].published
            yield DriverFault(package.name, f"{package.inf_name} is still in the driver store as {where}")
        for device in devices_of(package, view.devices):
            if device.driver_version or device.service:
                yield DriverFault(package.name, f"device {device.instance_id} still has a driver")
            elif package.name is not DriverName.XENBUS:
                yield DriverFault(package.name, f"device {device.instance_id} is still there")
        for service in package.services:
            if service.name.lower() in running:
                yield DriverFault(package.name, f"service {service.name} still runs")
    nothing = build.without(*DriverName)
    yield from emulated_faults(nothing, view, hardware_of(guest))


def _stopped_leftovers(guest: Guest, build: DriverBuild) -> tuple[str, ...]:
    """Services that stay registered though nothing runs: pnputil leaves them, and they do no harm."""
    names = tuple(service.name for package in build.packages for service in package.services)
    left = [service.name for service in guest.operations.services(names=names) if service.state != "running"]
    return (f"services left behind, stopped: {', '.join(left)}",) if left else ()
