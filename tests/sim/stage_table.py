"""Each switch at each stage it can strike: what becomes of the test, and in which words.

The scenario is that of ``stage_runs``; without a switch it passes. Struck on the simulated lab.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from stage_runs import StageSpec

from harness.model import FailureKind, Outcome
from harness.simlab.stages import Stage

__all__ = ["ENDURED", "STRIKES", "Strike", "spec_of", "table"]

_CRASH, _HANG = FailureKind.CRASH, FailureKind.HANG
_FROM_BOOT = ("boot", "deliver", "install", "reboot", "verify", "scenario", "teardown")
_ALL = ("lease", "clone", *_FROM_BOOT)

# What a host tells whatever happened, and what is there besides of a guest that has a domain.
_OF_HOST = frozenset({"hypervisor.txt", "domains.txt", "state-processes.txt"})
_OF_GUEST = _OF_HOST | {"channel.jsonl", "xenstore.txt", "domain-config.txt", "screen.png", "xl.txt"}
_GONE = _OF_HOST | {"channel.jsonl", "xl.txt"}  # of a domain that is not there any more
_NONE: frozenset[str] = frozenset()  # the host itself does not answer


@dataclass(frozen=True)
class Strike:
    """A switch that comes on at a stage. ``words`` is a pattern for the reason of the first attempt.

    A broken test of a host's switch passes on the other host.
    """

    switch: str
    stage: str
    of_host: bool
    outcome: Outcome
    kind: FailureKind | None
    words: str
    evidence: frozenset[str]

    @property
    def text(self) -> str:
        """As hosts.ini has it."""
        return self.switch if self.stage == "lease" else f"{self.switch}@{self.stage}"

    @property
    def told(self) -> str:
        """What becomes of the test, for people."""
        return f"{self.outcome}, {self.kind}" if self.kind else str(self.outcome)


def _broken(switch: str, stages: Iterable[str], words: str, evidence: frozenset[str]) -> Iterator[Strike]:
    """A host's fault: the lab's."""
    for stage in stages:
        yield Strike(
            switch, stage, of_host=True, outcome=Outcome.BROKEN, kind=None, words=words, evidence=evidence
        )


def _of_host(
    switch: str, stages: Iterable[str], kind: FailureKind, words: str, evidence: frozenset[str]
) -> Iterator[Strike]:
    """What befalls a guest from its host, and cannot be told from a fault of its own."""
    for stage in stages:
        yield Strike(
            switch, stage, of_host=True, outcome=Outcome.FAILED, kind=kind, words=words, evidence=evidence
        )


def _of_guest(
    switch: str, stages: Iterable[str], kind: FailureKind | None, words: str, evidence: frozenset[str]
) -> Iterator[Strike]:
    outcome = Outcome.FAILED if kind else Outcome.BROKEN
    for stage in stages:
        yield Strike(switch, stage, of_host=False, outcome=outcome, kind=kind, words=words, evidence=evidence)
