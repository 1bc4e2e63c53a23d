"""What one attempt at a test gathers while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from harness.dump import Crash
from harness.guest.crash import CrashWatch
from harness.guest.guest import Guest
from harness.host.figures import HostFigures
from harness.host.host import Host
from harness.model import FailureKind, Measurement, Outcome
from harness.session.lab_session import LeasedHost
from harness.session.outcome import PASSED, Judgement, worse

__all__ = ["Attempt"]


@dataclass
class Attempt:
    """One attempt at one test. ``avoid`` are hosts an earlier attempt broke on."""

    number: int
    avoid: frozenset[str] = frozenset()
    started: float = field(default_factory=time.time)
    began: float = field(default_factory=time.monotonic)
    host: Host | None = None  # chosen, whether or not it could be leased
    leased: LeasedHost | None = None
    guest: Guest | None = None
    watch: CrashWatch | None = None
    figures: HostFigures | None = None  # of the host before a test that has it alone
    store_before: str = ""  # what xenstore had of the guest when the test got it
    judgement: Judgement = PASSED
    measurements: list[Measurement] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    crash: Crash | None = None  # what the guest came down by

    @property
    def duration_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    def add(self, judgement: Judgement) -> None:
        """Take a phase's judgement into account; the graver one stays."""
        self.judgement = worse(self.judgement, judgement)

    def take(self, evidence: Iterable[str], crash: Crash | None) -> None:
        """Take what was gathered; a crash is named in the reason, if that does not name it by itself."""
        self.evidence += evidence
        if crash is None or self.judgement.kind is not FailureKind.CRASH:
            return
        self.crash = crash
        if str(crash) not in self.judgement.reason:
            self.judgement = replace(self.judgement, reason=f"{self.judgement.reason}; {crash}")

    def measure(
        self,
        metric: str,
        value: float | None,
        unit: str,
        *,
        better: Literal["higher", "lower"],
        samples: tuple[float, ...] = (),
        **params: str | float,
    ) -> None:
        """See ``harness.scenario.Measure``."""
        if value is not None:
            self.measurements.append(Measurement(metric, value, unit, better, params, samples or (value,)))

    @property
    def spoilt(self) -> bool:
        """Whether the guest of this attempt must not serve another test."""
        return self.judgement.outcome in {Outcome.FAILED, Outcome.BROKEN}
