"""Did the guest crash? Looked at from the host and from the guest, before and after a test."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from harness.dump import Crash, crash_in_log
from harness.dump.xenlog import MARK, TELLS
from harness.errors import ChannelError, GuestCrashed, GuestError, InfrastructureError
from harness.guest.fate import error_of_lost_model
from harness.guest.guest import Guest
from harness.host.toolstack.protocol import DomainInfo
from harness.model import GuestKind

__all__ = ["CrashWatch", "crash_told", "triple_faults"]

# xen.sys writes bugchecks to port 0xE9, the hypervisor shows them as guest lines
# (win-xenbus src/xen/bug_check.c; facts/pv-drivers.md 7). A guest with viridian's crash registers tells Xen
# of one without xen.sys.
_BUGCHECK = re.compile(rf"\bd(?P<domid>\d+)(?:\)|v\d+ ).*{TELLS}")
# Under TCG a nested guest now and then restarts by itself (facts/nested-xen.md): the lab's fault.
_TRIPLE_FAULT = re.compile(r"d(?P<domid>\d+)v\d+ Triple fault")


@dataclass(frozen=True)
class _View:
    """What there was of crashes at one time; None where the guest could not be asked."""

    bugchecks: Counter[str]
    triple_faults: Counter[str]
    dumps: frozenset[tuple[str, str]] | None
    record: int | None
    silence: Exception | None = None


class CrashWatch:
    """Made before a test; ``check`` after it."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._before = self._look()
        self._stops_of_ours = False

    def allow_unclean_stop(self) -> None:
        """The test itself takes the domain away: the guest's log will say so, and that is no crash."""
        self._stops_of_ours = True

    def check(self) -> None:
        """Raise what is found.

        Raises:
            GuestCrashed: the domain is in state c, or there are new dumps, bugchecks or unclean stops.
            GuestError: it answered before the test, runs, and answers no more.
            InfrastructureError: the nested lab restarted the guest (triple fault under TCG), or its device
                model is gone.
        """
        guest = self._guest
        domain = guest.host.toolstack.find(guest.name)
        if domain is not None and domain.crashed:
            words = self.bugcheck()
            raise GuestCrashed(f"{guest.name} crashed: its domain is in state c{words and f'; {words}'}")
        after = self._look()
        if after.triple_faults - self._before.triple_faults and guest.kind is GuestKind.STAND_IN:
            raise InfrastructureError(
                f"host {guest.host.name}: the emulated processor triple-faulted during this test"
            )
        words = self._new_bugchecks(after.bugchecks)
        if words:
            raise GuestCrashed(f"{guest.name}: {words}")
        if after.dumps is not None and self._before.dumps is not None:
            new = sorted(path for path, _ in after.dumps - self._before.dumps)
            if new:
                raise GuestCrashed(f"{guest.name}: new crash dumps: {', '.join(new)}")
        if self._before.record is not None and after.record is not None:
            self._check_log(self._before.record)
        if after.silence is not None and self._before.record is not None:
            words = self.bugcheck()  # it may have crashed while it was looked at
            if words:
                raise GuestCrashed(f"{guest.name}: {words}") from after.silence
            raise after.silence
        if domain is not None and (lost := error_of_lost_model(guest.host, domain)) is not None:
            raise lost

    @property
    def dumps_before(self) -> frozenset[tuple[str, str]] | None:
        """Path and time of the dumps that were there at the beginning; None if nobody could be asked."""
        return self._before.dumps

    def bugcheck(self) -> str:
        """What the host's logs say of bugchecks of the guest since the beginning, empty for none."""
        words = self._new_bugchecks(self._bugcheck_lines())
        if not words and (crash := self._crash_told_to_qemu()) is not None:
            words = f"bugcheck in QEMU's log: {crash}"
        return words

    def crash(self) -> Crash | None:
        """The crash that the host's logs tell of since the beginning."""
        told = crash_in_log(self._bugcheck_lines() - self._before.bugchecks)
        return told or self._crash_told_to_qemu()

    def _crash_told_to_qemu(self) -> Crash | None:
        """xen.sys also writes to port 0x12: in the log of this life's QEMU, if that was told to keep it."""
        log = f"/var/log/xen/qemu-dm-{self._guest.name}.log"
        return crash_in_log(self._guest.host.shell.run(["tail", "-n", "500", log]).stdout.splitlines())

    def _bugcheck_lines(self) -> Counter[str]:
        toolstack = self._guest.host.toolstack
        return _lines(_BUGCHECK, toolstack.dmesg(), self._others(toolstack.domains()))

    def _check_log(self, record: int) -> None:
        stops = self._guest.operations.stop_events(record=record)
        if stops.bugchecks:
            raise GuestCrashed(f"{self._guest.name}: its log tells of {stops.bugchecks} bugcheck(s)")
        if stops.unclean and not self._stops_of_ours:
            # one stop writes two events, 41 and 6008, or one of them
            raise GuestCrashed(
                f"{self._guest.name}: its log tells of an unclean stop ({stops.unclean} event(s) 41 or 6008)"
            )

    def _new_bugchecks(self, now: Counter[str]) -> str:
        """What is new of these lines, in words; empty if nothing is."""
        new = now - self._before.bugchecks
        crash = crash_in_log(new)
        words = str(crash) if crash is not None else _first_words(new)
        return f"bugcheck in the hypervisor's log: {words or 'it says no more'}" if new else ""

    def _others(self, domains: Iterable[DomainInfo]) -> set[str]:
        """Numbers of the domains that run beside ours."""
        return {str(domain.domid) for domain in domains if domain.name != self._guest.name}

    def _look(self) -> _View:
        toolstack = self._guest.host.toolstack
        domains = toolstack.domains()
        others = self._others(domains)
        log = toolstack.dmesg()
        bugchecks = _lines(_BUGCHECK, log, others)
        faults = triple_faults(log, others)
        ours = next((domain for domain in domains if domain.name == self._guest.name), None)
        if ours is None or ours.paused or ours.shutdown:
            return _View(bugchecks, faults, None, None)
        try:
            operations = self._guest.operations
            dumps = frozenset((dump.path, dump.modified_utc) for dump in operations.dump_files())
            return _View(bugchecks, faults, dumps, operations.event_mark().record)
        except (ChannelError, GuestError, InfrastructureError) as error:
            # a guest that cannot be asked is judged by what its host shows first
            return _View(bugchecks, faults, None, None, silence=error)


def crash_told(guest: Guest) -> Crash | None:
    """The crash that the hypervisor's log tells of the domain as it is there now, whoever watched."""
    toolstack = guest.host.toolstack
    domain = toolstack.find(guest.name)
    if domain is None:
        return None
    told = ((line, _BUGCHECK.search(line)) for line in toolstack.dmesg().splitlines())
    return crash_in_log(line for line, match in told if match and match["domid"] == str(domain.domid))


def triple_faults(log: str, others: Collection[str] = ()) -> Counter[str]:
    """Lines of triple faults in the hypervisor's log, but for those of the domains numbered in ``others``.

    What is new is a difference of two of these: the log is a ring, a mere count may fall meanwhile.
    """
    return _lines(_TRIPLE_FAULT, log, others)


def _first_words(lines: Iterable[str]) -> str:
    """What a bugcheck in another form than ours begins with."""
    said = (line.partition(MARK)[2].strip(" :") for line in lines)
    return next((text for text in said if text and not text.startswith(("====>", "<===="))), "")


def _lines(pattern: re.Pattern[str], log: str, others: Collection[str]) -> Counter[str]:
    """The log's lines of that kind, but for those of other guests that run beside this one."""
    kind = ((line, pattern.search(line)) for line in log.splitlines())
    return Counter(line for line, match in kind if match and match["domid"] not in others)
