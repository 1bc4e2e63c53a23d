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
_NO_MODEL = _OF_GUEST - {"screen.png", "domain-config.txt"}  # its device model is asked for these
_HUNG = _OF_GUEST | {"nmi.txt"}
_NO_LISTS = frozenset({"hypervisor.txt", "state-processes.txt"})
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


def _of_guest(
    switch: str, stages: Iterable[str], kind: FailureKind | None, words: str, evidence: frozenset[str]
) -> Iterator[Strike]:
    outcome = Outcome.FAILED if kind else Outcome.BROKEN
    for stage in stages:
        yield Strike(switch, stage, of_host=False, outcome=outcome, kind=kind, words=words, evidence=evidence)


_LOST = r"host sim-a: (?:no SSH connection to|connection lost during|no channel)"

STRIKES: tuple[Strike, ...] = (
    # -- the host, or the way to it, is gone
    *_broken("sshd-stopped", _ALL, _LOST, _NONE),
    *_broken("host-silent", _ALL, rf"{_LOST}|host sim-a: .* did not end in \d+ s", _NONE),
    *_broken("power-cut", _ALL, _LOST, _NONE),
    *_broken("ssh-drop:list", _ALL, _LOST, _NONE),
    # -- the toolstack
    *_broken("command-hang:list", _ALL, r"host sim-a: xl list did not end in \d+ s", _NO_LISTS),
    *_broken("command-fails:list", _ALL, "host sim-a: xl list: exit code 1", _NO_LISTS),
    *_broken("command-fails:create", ("boot",), "host sim-a: xl create .*: exit code 1", _OF_HOST),
    # -- what the host has no more of
    *_broken("disk-full", ("clone",), "host sim-a: cannot clone .* No space left on device", _OF_HOST),
    *_broken("clone-fails", ("clone",), "host sim-a: cannot clone .*Input/output error", _OF_HOST),
    *_broken("no-memory", ("boot",), "host sim-a: xl create .*Out of memory", _OF_HOST),
    # -- somebody else is at work there
    *_broken("domain-destroyed", ("boot",), "host sim-a: there is no domain", _OF_HOST),
    *_broken("domain-destroyed", _FROM_BOOT[1:], r"host sim-a: somebody destroyed pvhck-\S+", _GONE),
    *_broken("domain-paused", _FROM_BOOT, r"host sim-a: somebody paused pvhck-\S+", _OF_GUEST),
    # what a guest has by PV goes on
    *_broken("model-killed", _FROM_BOOT[:-1], r"host sim-a: the device model of pvhck-\S+ \(", _NO_MODEL),
    # -- WinRM: the lab's fault until the guest has answered once, and whenever it refuses the login
    *_of_guest("winrm-401", _FROM_BOOT, None, "refuses user Administrator", _OF_GUEST),
    *_of_guest("winrm-400", ("boot",), None, "answers by WinRM; last seen: .* HTTP 400", _OF_GUEST),
    *_of_guest("winrm-400", _FROM_BOOT[1:], _HANG, "HTTP 400", _HUNG),
    *_of_guest("winrm-413", ("boot",), None, "answers by WinRM; last seen: .* HTTP 413", _OF_GUEST),
    *_of_guest("winrm-413", _FROM_BOOT[1:-1], _HANG, "HTTP 413", _HUNG),
    *_of_guest("winrm-drop", ("boot",), None, "answers by WinRM; last seen: .*closed connection", _OF_GUEST),
    *_of_guest("winrm-drop", _FROM_BOOT[1:], _HANG, "is silent although its host|does not come back", _HUNG),
    # it lets the first question of a boot through
    *_of_guest("winrm-freeze", _FROM_BOOT, _HANG, "is silent although its host|does not come back", _HUNG),
    *_of_guest("network-cut", ("boot",), None, r"answers by WinRM; last seen: \S+ has no address", _OF_GUEST),
    *_of_guest("network-cut", _FROM_BOOT[1:], _HANG, "is silent although its host|does not come back", _HUNG),
    # -- the guest itself
    *_of_guest("bugcheck", _FROM_BOOT[3:], _CRASH, "crashed|bugcheck", _OF_GUEST),
    # without XENBUS it restarts, and nobody hears of a bugcheck: while it boots nobody misses it
    *_of_guest("bugcheck", ("deliver", "install"), _CRASH, "though nobody|is gone from", _OF_HOST),
    *_of_guest(
        "restarts",
        ("deliver", "install", "verify", "scenario"),
        _CRASH,
        "though nobody|is gone from",
        _OF_HOST,
    ),
    *_of_guest("powers-off", ("boot",), None, "last seen: the domain is not there", _OF_HOST),
    *_of_guest("powers-off", _FROM_BOOT[1:-1], _CRASH, "though nobody|is gone from its host", _GONE),
)

# What the harness gets over: the test passes at its first attempt.
ENDURED = tuple(f"shell-lost@{stage}" for stage in _FROM_BOOT)

# Where time limits of the harness itself are waited for, they are cut short.
_TIME_FACTORS = {"winrm-freeze": 0.1}
_TOGETHER = {"winrm-freeze": 2, "winrm-400": 3, "winrm-413": 3, "winrm-drop": 3, "network-cut": 3}
_BOOTS_S = {"winrm-401": 10, "winrm-freeze": 80, "restarts": 10, "shell-lost": 10, "bugcheck": 8}
_BOOT_S, _FACTOR = 5, 0.15


@cache
def _together(text: str) -> tuple[str, ...]:
    """Those of the same switch that are run together: fewer where each takes long."""
    switch = text.partition("@")[0]
    all_of_it = tuple(strike.text for strike in STRIKES if strike.switch == switch) or ENDURED
    size = _TOGETHER.get(switch, len(all_of_it))
    start = all_of_it.index(text) // size * size
    return all_of_it[start : start + size]


def spec_of(switch: str, text: str) -> StageSpec:
    """The run in which ``text``, which is ``switch`` at a stage, strikes; guests' ones share it."""
    if any(strike.of_host and strike.switch == switch for strike in STRIKES):
        return StageSpec(host=(text,), hosts=2, time_factor=_FACTOR)
    boot_s = _BOOTS_S.get(switch, _BOOT_S)
    return StageSpec(
        switches=_together(text),
        time_factor=_TIME_FACTORS.get(switch, 1.0),
        profile={"install": {"boot_s": boot_s}},
    )


def table(pairs: Iterable[tuple[str, str, str]]) -> str:
    """Switches by stages as Markdown: what becomes of the test, and a dash where nothing is to be struck.

    ``pairs`` are switch, stage and what becomes of it.
    """
    told: dict[str, dict[str, str]] = {}
    for switch, stage, outcome in pairs:
        told.setdefault(switch, {}).setdefault(stage, outcome)
    stages = [stage.name.lower() for stage in Stage]
    rows = [["switch", *stages], ["---"] * (len(stages) + 1)]
    rows += [[f"`{switch}`", *(found.get(stage, "") for stage in stages)] for switch, found in told.items()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
