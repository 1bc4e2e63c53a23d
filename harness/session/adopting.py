"""Tests on a domain that is somebody else's: which may run, what is looked at, what is put back.

Nothing is cloned, and the domain is never taken away. After each test it is compared with what it was like
when we came: what differs is put back as far as it can be, and fails the test.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from harness.errors import ChannelError, GuestCrashed, GuestError, HarnessError, InfrastructureError
from harness.guest.adopted import AdoptedGuest, adopt
from harness.guest.guest import Guest, GuestState, Login
from harness.host.adopted import AdoptedNote, our_disks, target_mib, write_note
from harness.host.area import Leftover, RunArea
from harness.host.host import Host
from harness.lab import GuestTemplate
from harness.model import Change
from harness.session.keeper import Installed
from harness.session.options import Adoption
from harness.workload.offload import set_keyword

__all__ = ["AdoptedKeeper", "DomainState", "differences", "look", "refusals"]

_BACK_S = 60


def refusals(item: pytest.Item, adoption: Adoption) -> tuple[str, ...]:
    """Why a test cannot run on an adopted domain; empty if it can."""
    if "bare_guest" in getattr(item, "fixturenames", ()):
        return ("it wants a fresh guest of the template, and an adopted domain is not one",)
    asked = tuple(change for mark in item.iter_markers("pv_changes") for change in mark.args)
    missing = [change for change in asked if change not in adoption.allowed]
    if missing:
        words = " ".join(f"--allow {change}" for change in missing)
        return (f"on an adopted domain only when asked for by name: {words}",)
    if item.get_closest_marker("pv_dirties") and not asked:
        return ("it leaves the guest other than it was, and an adopted domain is no clone",)
    return ()


@dataclass(frozen=True)
class DomainState:
    """What is compared. ``settings`` are those of its adapters, by MAC and keyword."""

    domid: int
    name: str  # as xenstore has it
    disks: frozenset[int]
    nics: frozenset[str]
    target_mib: int
    boot: str
    settings: Mapping[tuple[str, str], str] = field(default_factory=dict)


def look(guest: AdoptedGuest) -> DomainState:
    """What the domain is like now, as its host and the guest itself tell.

    Raises:
        GuestError: it cannot be asked.
    """
    toolstack, store = guest.host.toolstack, guest.host.xenstore
    domid = guest.domid
    root = f"/local/domain/{domid}"
    return DomainState(
        domid=domid,
        name=store.read(f"{root}/name"),
        disks=frozenset(disk.vdev for disk in toolstack.disks(guest.name)),
        nics=frozenset(nic.mac for nic in toolstack.nics(guest.name)),
        target_mib=target_mib(toolstack, store, domid),
        boot=guest.operations.boot_id().boot_id,
        settings={
            (adapter.mac, keyword): value
            for adapter in guest.operations.network_adapters()
            for keyword, value in adapter.settings
        },
    )


def differences(before: DomainState, now: DomainState, *, may_reboot: bool) -> tuple[str, ...]:
    """What is other than it was, in words. Pure."""
    found = [f"disk {number} is plugged in" for number in sorted(now.disks - before.disks)]
    found += [f"disk {number} is gone" for number in sorted(before.disks - now.disks)]
    found += [f"interface {mac} is plugged in" for mac in sorted(now.nics - before.nics)]
    found += [f"interface {mac} is gone" for mac in sorted(before.nics - now.nics)]
    if now.name != before.name:
        found.append(f"its name in xenstore is {now.name!r}, was {before.name!r}")
    if now.target_mib != before.target_mib:
        found.append(f"its memory target is {now.target_mib} MiB, was {before.target_mib}")
    if now.boot != before.boot and not may_reboot:
        found.append("it has rebooted")
    for (mac, keyword), value in before.settings.items():
        there = now.settings.get((mac, keyword), "missing")
        if there != value:
            found.append(f"{keyword} of {mac} is {there}, was {value}")
    return tuple(found)


@dataclass
class AdoptedKeeper:
    """``Keeper`` of the one guest there is."""

    host: Host
    area: RunArea
    adoption: Adoption
    login: Callable[[GuestTemplate], Login]
    recheck: Callable[[Guest], Installed]
    warn: Callable[[str], None]
    ready_s: float
    _guest: AdoptedGuest | None = None
    _verdict: Installed | None = None
    _before: DomainState | None = None

    def installed(self, template: GuestTemplate) -> Guest:
        """The domain, as it is; one that a test broke is looked at anew.

        Raises:
            GuestError: it is gone, or does not answer any more.
        """
        if self._guest is None:
            self._take(template)
        guest = self._guest
        assert guest is not None
        if guest.state is GuestState.BROKEN:
            guest.disconnect(polite=False)
            if self.host.toolstack.find(guest.name) is None:
                raise GuestCrashed(f"{guest.name} is gone since an earlier test")
            guest.wait_ready(guest.deadline(self.ready_s))
            guest.state = GuestState.DRIVERS
        return guest

    def verify(self, guest: Guest) -> None:
        """See ``GuestKeeper.verify``: against the driver build, if one was named."""
        if self._verdict is None:
            self._verdict = self.recheck(guest)
        self._verdict.demand()
        guest.state = GuestState.VERIFIED

    def fresh(self, template: GuestTemplate, *, image: str = "") -> Guest:
        """Never: see ``refusals``."""
        raise AssertionError(f"no guest is made of {template.name} or {image!r} beside an adopted domain")

    def lost(self, template: GuestTemplate) -> Guest | None:
        """The guest, for evidence, though a test did not get it."""
        del template
        return self._guest

    def live(self) -> tuple[str, ...]:
        """None: whatever bears its name in the run's folder is a leftover."""
        return ()

    def domids(self) -> frozenset[int]:
        """None: what its domain has in xenstore and elsewhere is not ours."""
        return frozenset()

    def remove(self, guest: Guest) -> None:
        """It stays."""
        guest.disconnect()

    def forget(self) -> tuple[Guest, ...]:
        """See ``close``: nothing is kept of an adopted domain."""
        self.close()
        return ()

    def close(self) -> None:
        """Put everything back, and let go of it."""
        guest, self._guest = self._guest, None
        if guest is None:
            return
        try:
            if self.host.toolstack.find(guest.name) is not None:
                for what in (*self._restored(guest), *(f"{path} lies in it" for path in guest.clean())):
                    self.warn(f"{guest.name}: not as it was at the end: {what}")
        except (HarnessError, AssertionError) as error:
            self.warn(f"{guest.name}: could not all be put back: {error}")
        finally:
            guest.disconnect()

    def take_changes(self) -> tuple[Leftover, ...]:
        """See ``Keeper.take_changes``."""
        guest = self._guest
        if guest is None or self._before is None or self.host.toolstack.find(guest.name) is None:
            return ()
        # first: it may be what keeps a disk busy
        jobs = [f"a program of ours still runs in it ({job})" for job in guest.running_jobs()]
        return tuple(Leftover(f"domain {guest.name}:", what) for what in (*jobs, *self._restored(guest)))

    # -- inner parts

    def _take(self, template: GuestTemplate) -> None:
        adoption = self.adoption
        guest = adopt(
            self.host,
            adoption.domain,
            template,
            self.login(template),
            allowed=adoption.allowed,
            config=adoption.config,
            warn=self.warn,
        )
        guest.wait_ready(guest.deadline(self.ready_s))
        guest.look_around()
        guest.state = GuestState.DRIVERS
        self._before = look(guest)
        write_note(self.host.shell, self.area.folder, AdoptedNote(guest.name, self._before.target_mib))
        self._guest = guest

    def _restored(self, guest: AdoptedGuest) -> tuple[str, ...]:
        """Put back what differs; gives what did, and what could not be put back."""
        assert self._before is not None
        before, may_reboot = self._before, bool(self.adoption.allowed & {Change.REBOOT, Change.POWER})
        now = look(guest)
        found = differences(before, now, may_reboot=may_reboot)
        if now.boot != before.boot:
            self._before = before = _after_a_reboot(before, now)
        if not found:
            return ()
        self._put_back(guest, before, now)
        left = differences(before, look(guest), may_reboot=may_reboot)
        return (*found, *(f"not put back: {what}" for what in left))

    def _put_back(self, guest: AdoptedGuest, before: DomainState, now: DomainState) -> None:
        host = self.host
        for vdev in our_disks(host.shell, host.toolstack, guest.name, self.area.folder):
            with contextlib.suppress(InfrastructureError):  # what stays is told
                host.toolstack.detach_disk(guest.name, vdev)
        if now.name != before.name:
            host.xenstore.write(f"/local/domain/{now.domid}/name", before.name)
        if now.target_mib != before.target_mib:
            host.toolstack.set_memory(guest.name, before.target_mib)
        for (mac, keyword), value in before.settings.items():
            if now.settings.get((mac, keyword)) not in {None, value} and mac == guest.mac.lower():
                with contextlib.suppress(GuestError, ChannelError, InfrastructureError):
                    set_keyword(guest, keyword, value)


def _after_a_reboot(before: DomainState, now: DomainState) -> DomainState:
    """What is compared from now on: another boot, another number, all else as it was."""
    return DomainState(
        now.domid, before.name, before.disks, before.nics, before.target_mib, now.boot, before.settings
    )
