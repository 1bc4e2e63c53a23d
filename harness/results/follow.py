"""Reading events.jsonl while others write it."""

from __future__ import annotations

from pathlib import Path

from harness.results.events import Event, read_events
from harness.results.recorder import EVENTS

__all__ = ["EventTail"]


class EventTail:
    """What is added to a run's events from now on, each time it is asked. Not safe for several threads."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / EVENTS
        self._at = self._path.stat().st_size

    def read(self) -> tuple[Event, ...]:
        """The events whose lines are whole by now, each once."""
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        whole, newline, _ = data.rpartition(b"\n")
        self._at += len(whole) + len(newline)
        # not splitlines(): texts within a line may hold U+2028 and the like
        return tuple(read_events(whole.decode("utf-8", errors="replace").split("\n")))
