"""The System log: which events a boot, a stop and a crash leave, by provider and number, never by text.

Numbers and providers: facts/pv-drivers.md 7. The properties are guesses in form: no guest was recorded.
"""

from __future__ import annotations

import datetime as dt

from harness.operations import Event, EventMark, StopEvents
from harness.simlab.guest.disk import Bugcheck, Kept

__all__ = ["EventLog", "now_text"]

_KEPT_EVENTS = 2000
_CRITICAL, _ERROR, _WARNING, _INFORMATION = 1, 2, 3, 4
_POWER = "Microsoft-Windows-Kernel-Power"
_BUGCHECKS = "Microsoft-Windows-WER-SystemErrorReporting"


def now_text() -> str:
    """The time in UTC as PowerShell's format "o" writes it: with ticks of 100 ns."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


class EventLog:
    """Writes to what is kept and answers from it."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    # -- what happens

    def started(self, version: str) -> None:
        """The event log service starts, and so has Windows."""
        self._add("EventLog", 6009, version, "", "Multiprocessor Free")
        self._add("EventLog", 6005)

    def stopped_uncleanly(self, at: str, bugcheck: Bugcheck | None) -> None:
        """The boot finds that the last one did not end well."""
        code = bugcheck.code if bugcheck else 0
        parameters = [f"0x{value:x}" for value in bugcheck.parameters] if bugcheck else ["0x0"] * 4
        self._add(_POWER, 41, str(code), *parameters, "0", level=_CRITICAL)
        self._add("EventLog", 6008, at, level=_ERROR)
        if bugcheck is not None:
            words = ", ".join(f"0x{value:016x}" for value in bugcheck.parameters)
            self._add(_BUGCHECKS, 1001, f"0x{code:08x} ({words})", bugcheck.dump, level=_ERROR)

    def stop_requested(self, process: str, *, restart: bool, computer: str) -> None:
        """Somebody asked for a shutdown or a reboot."""
        kind = "restart" if restart else "power off"
        self._add("User32", 1074, process, computer, "", "0x80000000", kind, "", "NT AUTHORITY\\SYSTEM")

    def button_pressed(self) -> None:
        """The ACPI power button: Windows goes down as the power plan says."""
        self._add(_POWER, 109, "1", "5")

    def agent(self, number: int) -> None:
        """What xenagent notes: 1 poweroff, 2 reboot, 6 started, 7 unsuspended."""
        self._add("xenagent", number)

    def stopped_cleanly(self) -> None:
        """The event log service stops: the last thing a clean shutdown writes."""
        self._add("EventLog", 6006)

    def device_problem(self, instance_id: str, problem: int) -> None:
        """Plug and Play could not start a device."""
        self._add("Microsoft-Windows-Kernel-PnP", 411, instance_id, str(problem), level=_WARNING)

    # -- answers

    @property
    def last_time(self) -> str:
        """When the last event was written, "" for none."""
        return self._kept.events[-1].time_utc if self._kept.events else ""

    def mark(self) -> EventMark:
        """The last record number."""
        return EventMark(self._kept.events[-1].record if self._kept.events else 0)

    def since(self, record: int, limit: int) -> tuple[Event, ...]:
        """See ``GuestOperations.events_since``."""
        later = [event for event in self._kept.events if event.record > record]
        return tuple(later[-limit:]) if limit > 0 else ()

    def stops(self, record: int) -> StopEvents:
        """See ``GuestOperations.stop_events``."""
        later = [(event.provider, event.event_id) for event in self._kept.events if event.record > record]
        return StopEvents(
            requested=later.count(("User32", 1074)),
            clean=later.count(("EventLog", 6006)),
            unclean=later.count(("EventLog", 6008)) + later.count((_POWER, 41)),
            bugchecks=later.count((_BUGCHECKS, 1001)),
        )

    def _add(self, provider: str, number: int, *properties: str, level: int = _INFORMATION) -> None:
        record = self.mark().record + 1
        self._kept.events.append(Event(record, provider, number, level, now_text(), properties))
        del self._kept.events[:-_KEPT_EVENTS]
