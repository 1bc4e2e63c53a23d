"""results.json, schema 1, as frozen values. What a person or a script reads later stands here, nothing else.

The file is ``RunResults`` written field by field, in this order. Times are UTC, ISO 8601, to the
second, with a trailing ``Z``; durations are seconds; evidence paths are relative to the run's folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from harness.model import Arch, Area, DriverName, FailureKind, GuestKind, Measurement, Outcome

__all__ = [
    "SCHEMA",
    "AttemptResult",
    "DriverBuildFacts",
    "DriverFound",
    "DriverSheet",
    "GuestFacts",
    "Overall",
    "PackageFacts",
    "Run",
    "RunEnd",
    "RunFacts",
    "RunResults",
    "SheetVerdict",
    "TestFacts",
    "TestResult",
    "Verdict",
]

SCHEMA = 1


class RunEnd(StrEnum):
    """How a run came to its end."""

    FINISHED = "finished"
    INTERRUPTED = "interrupted"  # Ctrl-C or SIGTERM: it still wrote its results
    KILLED = "killed"  # it wrote none: they are made from events.jsonl
    RUNNING = "running"  # it still holds its events.jsonl


class Overall(StrEnum):
    """A run in one word."""

    PASSED = "passed"
    FAILED = "failed"
    BROKEN = "broken"
    NOTHING_RAN = "nothing ran"
    INTERRUPTED = "interrupted"


class SheetVerdict(StrEnum):
    """A driver in one word."""

    PASSED = "passed"
    FAILED = "failed"
    BROKEN = "broken"
    EXPECTED = "expected"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class PackageFacts:
    """One driver package of the build: the version its INF gives, the SHA-256 the build room gives it."""

    name: DriverName
    version: str
    sha256: str
    arch: Arch | None = None


@dataclass(frozen=True)
class DriverBuildFacts:
    """The driver build under test. ``synthetic``: made by us, no driver is in it."""

    path: str
    packages: tuple[PackageFacts, ...]
    synthetic: bool = False


@dataclass(frozen=True)
class RunFacts:
    """What is known when a run begins. Without ``driver_build`` the templates' own drivers are judged.

    ``environment`` are further lines for people, such as ``{"seed": "1", "python": "3.11.2"}``.
    """

    id: str
    started: str
    profile: str
    argv: tuple[str, ...]
    harness_version: str
    driver_build: DriverBuildFacts | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """``RunFacts`` and how the run ended; ``finished`` is empty if it did not say.

    ``not_run`` are the tests that were collected and neither ran nor were skipped; ``warnings`` what
    people should know of the results besides, in order: an expired certificate, a guest that was kept.
    """

    id: str
    started: str
    finished: str
    end: RunEnd
    profile: str
    argv: tuple[str, ...]
    harness_version: str
    driver_build: DriverBuildFacts | None
    environment: Mapping[str, str]
    not_run: tuple[str, ...]
    warnings: tuple[str, ...] = ()  # results from before 2026-11-26 say none


@dataclass(frozen=True)
class GuestFacts:
    """The guest of a test. ``kind`` is shown wherever a result is shown."""

    template: str
    os: str
    arch: Arch
    kind: GuestKind
    adopted: str = (
        ""  # the domain's name, if it was there before the run and stays; results from before say none
    )


@dataclass(frozen=True)
class TestFacts:
    """What is known of a test when it is collected."""

    __test__ = False  # not a test class, whatever its name begins with

    id: str
    area: Area
    drivers: tuple[DriverName, ...]
    guest: GuestFacts | None
    hck: tuple[str, ...] = ()


@dataclass(frozen=True)
class AttemptResult:
    """One attempt at a test. ``host`` is empty when none was leased.

    ``nested``: the host is itself a guest (nested Xen), so that its speed means nothing. ``signature`` names
    the crash of an attempt that failed by one, as ``0xD1 in xenvif.sys``: equal for crashes alike.
    """

    number: int
    outcome: Outcome
    kind: FailureKind | None = None
    reason: str = ""
    started: str = ""
    duration_s: float = 0.0
    host: str = ""
    toolstack: str = ""
    xen_version: str = ""
    nested: bool = False
    evidence: tuple[str, ...] = ()
    signature: str = ""  # results from before 2026-11-26 say none


@dataclass(frozen=True)
class TestResult:
    """A test and what became of it: the attempt that decided, and all attempts.

    ``signature`` is that of the attempt that decided.
    """

    __test__ = False

    id: str
    area: Area
    drivers: tuple[DriverName, ...]
    outcome: Outcome
    kind: FailureKind | None
    reason: str
    duration_s: float
    host: str
    toolstack: str
    xen_version: str
    nested: bool
    guest: GuestFacts | None
    measurements: tuple[Measurement, ...]
    hck: tuple[str, ...]
    attempts: tuple[AttemptResult, ...]
    evidence: tuple[str, ...]
    signature: str = ""


@dataclass(frozen=True)
class DriverFound:
    """What a driver was found to be in a guest: ``state`` in words, such as ``verified``."""

    driver: DriverName
    version: str
    state: str
    host: str
    template: str


@dataclass(frozen=True)
class DriverSheet:
    """The verdict sheet of one driver.

    ``worst`` is the worst outcome among ``tests``, those that name the driver; ``deciding`` are
    the ones that can fail for this driver alone. ``note`` says why a sheet is not judged.
    """

    name: DriverName
    version: str
    state: str
    verdict: SheetVerdict
    worst: Outcome | None
    tests: tuple[str, ...]
    deciding: tuple[str, ...]
    guests: tuple[GuestKind, ...]
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """What the run says. ``counts`` has every outcome, ``kinds`` every kind of failure."""

    overall: Overall
    counts: Mapping[Outcome, int]
    kinds: Mapping[FailureKind, int]
    drivers: tuple[DriverSheet, ...]


@dataclass(frozen=True)
class RunResults:
    """All of results.json."""

    schema: int
    run: Run
    tests: tuple[TestResult, ...]
    verdict: Verdict

    def test(self, test_id: str) -> TestResult:
        """A test by its id.

        Raises:
            KeyError: there is none.
        """
        for test in self.tests:
            if test.id == test_id:
                return test
        raise KeyError(test_id)
