"""What is wrong with a driver build: typed, with its severity, the thing, and the mend."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.errors import ConfigurationError

__all__ = ["BuildError", "BuildFinding", "FindingKind", "Severity"]


class Severity(StrEnum):
    """An error means that the build is corrupt or incomplete; a warning is shown in reports."""

    ERROR = "error"
    WARNING = "warning"


class FindingKind(StrEnum):
    """What can be wrong."""

    NOTHING_THERE = "nothing-there"
    AMBIGUOUS = "ambiguous"
    NO_INF = "no-inf"
    BAD_INF = "bad-inf"
    WRONG_ARCH = "wrong-arch"
    FILE_MISSING = "file-missing"
    BAD_PE = "bad-pe"
    VERSION_MISMATCH = "version-mismatch"
    NO_CATALOG = "no-catalog"
    BAD_CATALOG = "bad-catalog"
    UNSIGNED = "unsigned"
    NOT_IN_CATALOG = "not-in-catalog"
    NOT_VALID_NOW = "not-valid-now"
    NO_ROOT = "no-root"
    OTHER_SYMBOLS = "other-symbols"
    MIXED_VERSIONS = "mixed-versions"
    MIXED_VENDORS = "mixed-vendors"
    MIXED_REVISIONS = "mixed-revisions"
    UNKNOWN_PACKAGE = "unknown-package"


@dataclass(frozen=True)
class BuildFinding:
    """One problem. ``subject`` names the package or file (``xenvif x64 xenvif.sys``)."""

    kind: FindingKind
    severity: Severity
    subject: str
    found: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.found}" + (f" ({self.mend})" if self.mend else "")


class BuildError(ConfigurationError):
    """A driver build that cannot be used, with every error found in it."""

    def __init__(self, path: Path, findings: Iterable[BuildFinding]) -> None:
        self.findings = tuple(findings)
        if len(self.findings) == 1:
            only = self.findings[0]
            super().__init__(f"driver build {path}: {only.subject}: {only.found}", mend=only.mend)
        else:
            lines = "".join(f"\n  {finding}" for finding in self.findings)
            super().__init__(f"driver build {path}: {len(self.findings)} problems{lines}")
