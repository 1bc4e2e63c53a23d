"""The System log, kept by the agent in a file: one JSON object per line, written through.

Providers and ids are Windows' own (facts/pv-drivers.md 7), so that the harness reads one language. An
unclean stop is noticed as Windows does it: at the next start, because the last one left no mark. A panic
leaves nothing that outlives it here (no kdump, no pstore in an HVM guest): its host sees it as a crash, and
event 1001 is never written.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from harness.operations import Event, StopEvents

__all__ = ["EventLog"]

_CRITICAL, _ERROR, _INFORMATION = 1, 2, 4

_EVENT_LOG = "EventLog"
_STARTED, _STOPPED, _UNEXPECTED = 6005, 6006, 6008
_KERNEL_POWER, _POWER_LOST = "Microsoft-Windows-Kernel-Power", 41
_USER32, _REQUESTED = "User32", 1074
_XENAGENT = "xenagent"
_XENAGENT_IDS = {"poweroff": 1, "reboot": 2}


class EventLog:
    """The log's file. May be used from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._events = _read(path)

    @property
    def last_record(self) -> int:
        """Number of the newest event, 0 for none."""
        with self._lock:
            return self._events[-1].record if self._events else 0

    def since(self, record: int) -> tuple[Event, ...]:
        """Everything with a greater number, oldest first."""
        with self._lock:
            return tuple(event for event in self._events if event.record > record)

    def note_start(self, boot_id: str) -> None:
        """A boot began. If the one before left no mark of its end, that is told first.

        An agent that was only started again within the boot notes nothing.
        """
        last = self._last(_STARTED)
        if last is not None and last.properties == (boot_id,):
            return
        if last is not None and not any(event.event_id == _STOPPED for event in self.since(last.record)):
            self._add(_KERNEL_POWER, _POWER_LOST, _CRITICAL)
            self._add(_EVENT_LOG, _UNEXPECTED, _ERROR, last.time_utc)
        self._add(_EVENT_LOG, _STARTED, _INFORMATION, boot_id)

    def note_request(self, who: str, how: str) -> None:
        """Somebody asked for a stop; ``how`` is ``poweroff`` or ``reboot``."""
        self._add(_USER32, _REQUESTED, _INFORMATION, who, how)

    def note_xen_request(self, how: str) -> None:
        """Xen asked for it: what xenagent logs, and the request it then makes."""
        self._add(_XENAGENT, _XENAGENT_IDS[how], _INFORMATION)
        self.note_request("xenagent", how)

    def note_clean_stop(self) -> None:
        """The last thing before the disk is closed."""
        self._add(_EVENT_LOG, _STOPPED, _INFORMATION)

    def requested_in(self, boot_id: str) -> bool:
        """Whether a stop was asked for since this boot began."""
        start = self._last(_STARTED)
        if start is None or start.properties != (boot_id,):
            return False
        return any(event.event_id == _REQUESTED for event in self.since(start.record))

    def stops(self, record: int) -> StopEvents:
        """See ``GuestOperations.stop_events``."""
        found = [(event.provider, event.event_id) for event in self.since(record)]
        return StopEvents(
            requested=found.count((_USER32, _REQUESTED)),
            clean=found.count((_EVENT_LOG, _STOPPED)),
            unclean=found.count((_KERNEL_POWER, _POWER_LOST)) + found.count((_EVENT_LOG, _UNEXPECTED)),
            bugchecks=0,
        )

    def _last(self, event_id: int) -> Event | None:
        with self._lock:
            return next((event for event in reversed(self._events) if event.event_id == event_id), None)

    def _add(self, provider: str, event_id: int, level: int, *properties: str) -> None:
        with self._lock:
            record = self._events[-1].record + 1 if self._events else 1
            now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
            event = Event(record, provider, event_id, level, now, properties)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(json.dumps(asdict(event)).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            self._events.append(event)


def _read(path: Path) -> list[Event]:
    """What the file holds; a power cut may have left its last line unfinished, which is cut off."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    events: list[Event] = []
    good = 0
    for line in lines:
        try:
            fields = json.loads(line)
            events.append(Event(**{**fields, "properties": tuple(fields["properties"])}))
        except (ValueError, TypeError, KeyError):
            break
        good += len(line)
    if good < sum(map(len, lines)):
        with path.open("r+b") as file:
            file.truncate(good)
    return events
