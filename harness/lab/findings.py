"""Mistakes in a file a person wrote: all of them at once, each with its place and what is allowed there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigurationError

__all__ = ["Finding", "LabFileError", "ProfileError", "nearest"]


@dataclass(frozen=True)
class Finding:
    """One mistake. ``line`` counts from 1; 0 and empty texts mean: not known or not applicable.

    ``found`` and ``allowed`` are words for people. ``found`` never holds what may be a secret.
    """

    file: Path
    line: int
    section: str
    key: str
    found: str
    allowed: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        subject = " ".join(part for part in (f"[{self.section}]" if self.section else "", self.key) if part)
        words = f"found {self.found}; allowed: {self.allowed}"
        return f"{place}: {subject}: {words}" if subject else f"{place}: {words}"


class _MistakesInFile(ConfigurationError):
    """A file that cannot be used, with everything that is wrong in it, by line."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(sorted(findings, key=lambda finding: finding.line))
        count = "1 mistake" if len(self.findings) == 1 else f"{len(self.findings)} mistakes"
        lines = "".join(f"\n  {finding}" for finding in self.findings)
        super().__init__(f"{self.findings[0].file}: {count}{lines}")


class LabFileError(_MistakesInFile):
    """``hosts.ini`` cannot be used."""


class ProfileError(_MistakesInFile):
    """A profile cannot be used."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The start of a hint, ``"did you mean 'port'? "``, or nothing when no known word is near."""
    folded = {candidate.casefold(): candidate for candidate in known}
    matches = difflib.get_close_matches(word.casefold(), folded, n=1)
    return f"did you mean {folded[matches[0]]!r}? " if matches else ""
