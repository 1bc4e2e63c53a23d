"""A setup that runs on a host, followed by what it writes to its serial port."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.deadline import Deadline, Done, NotYet, WaitTimedOut, wait_until
from harness.errors import GuestError, HarnessError
from harness.evidence.picture import ppm_to_png
from harness.host.host import Host
from harness.host.toolstack.protocol import DomainInfo
from harness.image.stages import FIRMWARE_S, STAGES, Heard, Said, Stage, parse_stages
from harness.lab import without_found_secrets

__all__ = ["Console", "Follower", "SetupFailed", "keep_screen"]

_POLL_S = 2.0

# What the host was asked of a domain, None for one that is gone: True when the wait is over.
Ended = Callable[[DomainInfo | None], bool]


class SetupFailed(GuestError):
    """Windows could not be set up: a stage says so, hangs, or the guest went away in it."""


class Console:
    """A domain's serial port, read again and again.

    QEMU empties the file when a domain starts anew (chardev of type file, without ``append``): what was
    heard before is kept here.
    """

    def __init__(self) -> None:
        self.text = ""
        self._before = ""

    def hear(self, now: str) -> Heard:
        """All that was ever heard, with the file's content as it is now."""
        if not now.startswith(self.text[len(self._before) :]):
            self._before = self.text
        self.text = self._before + now
        return parse_stages(self.text)


@dataclass
class Follower:
    """Waits for a domain's stages and tells ``report`` of each. ``patience`` stretches every limit.

    ``folder`` takes a picture of the screen and the console when something goes wrong.
    """

    host: Host
    domain: str
    console_log: str
    folder: Path
    report: Callable[[Said], None]
    patience: float = 1.0
    check_ours: Callable[[], None] = lambda: None
    console: Console = field(default_factory=Console)
    heard: Heard = field(default_factory=Heard)
    stage: Stage | None = None  # the newest one

    def saw(self, said: Said) -> None:
        """A stage has begun: by a line, or because the host saw it."""
        self.stage = said.stage
        self.report(said)

    def until(self, ended: Ended) -> None:
        """Follow the stages until the domain has come to an end that ``ended`` knows.

        Raises:
            SetupFailed: a stage failed, or took too long; or the domain crashed.
        """
        while not self._next(ended):
            pass

    def fail(self, why: str, mend: str = "") -> SetupFailed:
        """The error for what went wrong now, with the screen and the console written down."""
        stage = self.stage
        where = f"stage {stage} ({STAGES[stage].title})" if stage else "before Windows Setup began"
        kept = self._keep_evidence()
        return SetupFailed(f"{self.domain}: {where}: {why}; {kept}", mend=mend)

    # -- inner parts

    def _next(self, ended: Ended) -> bool:
        """Wait for one more stage, or the end; True for the end."""
        seconds = (STAGES[self.stage].limit_s if self.stage else FIRMWARE_S) * self.patience
        factor = self.host.spec.time_factor
        try:
            return wait_until(
                lambda: self._look(ended),
                subject=f"{self.domain} gets on with its setup",
                deadline=Deadline.after(seconds * factor),
                interval_s=_POLL_S * factor,
            )
        except WaitTimedOut as error:
            mend = "look at the picture; --patience 2 gives every stage twice the time"
            raise self.fail(f"nothing more came in {error.seconds:.0f} s", mend) from error

    def _look(self, ended: Ended) -> Done[bool] | NotYet:
        self.check_ours()
        # the domain first: what it wrote before it went is then in the console for sure
        domain = self.host.toolstack.find(self.domain)
        before = len(self.heard.stages)
        self.heard = self.console.hear(self._read())
        new = self.heard.stages[before:]
        for said in new:
            self.saw(said)
        if self.heard.failure:
            raise self.fail(self.heard.failure)
        if domain is not None and domain.crashed:
            raise self.fail("the guest crashed")
        if ended(domain):
            return Done(value=True)
        return Done(value=False) if new else NotYet(self.console.text[-200:].strip())

    def _read(self) -> str:
        return self.host.shell.run(["cat", self.console_log], repeatable=True).stdout

    def _keep_evidence(self) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "console.txt"
        log.write_text(without_found_secrets(self.console.text), encoding="utf-8")
        return f"{keep_screen(self.host, self.domain, self.folder)}, its console: {log}"


def keep_screen(host: Host, domain: str, folder: Path) -> str:
    """Write a picture of a domain's screen into a folder; says where, or why there is none."""
    picture = folder / "screen.png"
    try:
        picture.write_bytes(ppm_to_png(host.toolstack.screen_dump(domain)))
    except HarnessError as error:
        return f"no picture of its screen: {error.found}"
    return f"its screen: {picture}"
