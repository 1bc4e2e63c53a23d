"""Lines in ``notes.txt`` of a folder of evidence: what is missing there, and why."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

__all__ = ["NOTES", "Notes"]

_log = logging.getLogger(__name__)

NOTES = "notes.txt"


class Notes:
    """Adds lines to the notes of a folder, which is made; others may have written there before."""

    def __init__(self, folder: Path, redact: Callable[[str], str]) -> None:
        self._folder = folder
        self._redact = redact
        self.files: tuple[str, ...] = ()

    def clean(self, text: str) -> str:
        """A text without secrets, as it may stand in another file of the folder."""
        return self._redact(text)

    def add(self, text: str) -> None:
        """Write a line at once: we may be killed."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / NOTES).open("a", encoding="utf-8", errors="backslashreplace") as notes:
                notes.write(f"{' '.join(self._redact(text).split())}\n")
        except OSError as error:
            _log.warning("notes of evidence cannot be written: %s", error)
        else:
            self.files = (NOTES,)
