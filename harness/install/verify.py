"""Are the drivers in, and do they work? Seen from the guest and from its host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from harness.deadline import NotYet, WaitTimedOut
from harness.guest.guest import Guest
from harness.install.guestview import (
    GuestView,
    answerable_for_nic,
    driver_faults,
    emulated_faults,
    look_at_guest,
    reachable,
    waiting_devices,
)
from harness.install.hostview import hardware_of, host_faults, look_at_host, readable_keys
from harness.install.outcome import Verification
from harness.install.patience import await_answer
from harness.lab.profile import InstallParams
from harness.model import DriverName
from harness.package import DriverBuild

__all__ = ["Settled", "look", "settle", "verify_drivers"]


@dataclass(frozen=True)
class Settled:
    """Where a guest has come to rest: it asks for a reboot, or this is how its drivers are."""

    reboot_reasons: tuple[str, ...]
    verification: Verification


def verify_drivers(
    guest: Guest, build: DriverBuild, params: InstallParams, *names: DriverName
) -> Verification:
    """Look until nothing is wrong, at most ``settle_s``; then what is wrong stays wrong.

    ``build`` is what should be in the guest: with a part of a build, the rest should not be.
    With ``names`` only these drivers are waited for, and judged.

    Raises:
        GuestError: the guest does not answer.
    """
    build = build.for_arch(guest.template.arch)

    def once() -> Settled:
        found = look(guest, build)
        judged = tuple(fault for fault in found.faults if not names or fault.driver in names)
        return Settled((), replace(found, faults=judged))

    return _at_rest(guest, once, params).verification


def settle(guest: Guest, build: DriverBuild, params: InstallParams) -> Settled:
    """Wait until the guest asks for a reboot or nothing is wrong; when the time is up, as it is then.

    Raises:
        GuestError: the guest does not answer.
    """

    def once() -> Settled:
        view = look_at_guest(guest, build)
        return Settled(_reboot_reasons(guest, build, view), look(guest, build, view))

    return _at_rest(guest, once, params)


def _at_rest(guest: Guest, once: Callable[[], Settled], params: InstallParams) -> Settled:
    last: list[Settled] = []

    def ask() -> Settled | NotYet:
        seen = once()
        last[:] = [seen]
        if seen.reboot_reasons or seen.verification.ok:
            return seen
        return NotYet(str(seen.verification.faults[0]))

    try:
        return await_answer(
            guest,
            ask,
            subject=f"{guest.name}: its drivers work",
            deadline=guest.deadline(params.settle_s),
            silence_s=params.settle_s,
        )
    except WaitTimedOut:
        return last[0]


def look(guest: Guest, build: DriverBuild, view: GuestView | None = None) -> Verification:
    """One look, without waiting. ``build`` holds one architecture."""
    view = view or look_at_guest(guest, build)
    keys = readable_keys(guest.kind, guest.host.toolstack.name, guest.host.info.version)
    build = reachable(build)
    faults = tuple(driver_faults(build, view))
    nic = answerable_for_nic(faults)
    faults += (
        *emulated_faults(build, view, hardware_of(guest), nic=nic),
        *host_faults(build, look_at_host(guest), keys, nic=nic),
    )
    unchecked = {item.check for item in keys.not_checked}
    checks = (
        "devices of the INFs present, without a problem, with the INFs' versions",
        "services of the INFs running",
        "emulated interface and disk replaced",
        "front and back ends of vif and vbd in state 4",
        *(check for check in ("drivers/N", "feature/hotplug", "control/feature-*") if check not in unchecked),
    )
    return Verification(faults, checks, keys.not_checked)


def _reboot_reasons(guest: Guest, build: DriverBuild, view: GuestView) -> tuple[str, ...]:
    asking = [f"{pending.driver} (xenbus_monitor)" for pending in guest.operations.pending_reboots()]
    return (*asking, *waiting_devices(build, view))
