"""How far a Windows setup has come, by the lines it writes to the serial port. Pure.

The answer file and the scripts on the setup CD write ``pvhck stage NAME`` when a stage begins,
``pvhck stage failed: WHY`` when it ends badly, and ``pvhck section LINE`` for each line that
prepare.ps1 prints. Whatever else firmware and boot loaders write is passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["FIRMWARE_S", "STAGES", "Heard", "Said", "Stage", "StageFacts", "parse_stages", "stage_line"]

_LINE = re.compile(r"pvhck (?P<what>stage|section) (?P<text>[^\r\n]*)\r*\n")
_STAGE = re.compile(r"(?P<name>[a-z][a-z-]*)(?:: (?P<more>.*))?")
_FAILED = "failed"


class Stage(StrEnum):
    """The stages, in their order. ``copied`` is no line: its host sees Windows PE restart."""

    WINDOWS_PE = "windows-pe"
    COPIED = "copied"
    SPECIALIZE = "specialize"
    FIRST_LOGON = "first-logon"
    UPDATES = "updates"
    WINRM = "winrm"
    SETTINGS = "settings"
    TEST_SIGNING = "test-signing"
    CLEAN_UP = "clean-up"
    DONE = "done"


@dataclass(frozen=True)
class StageFacts:
    """A stage for people, and how long it may take until the next one is heard of, in seconds.

    The times are ours, for a host whose time factor is 1; nobody has measured a real Windows here.
    """

    title: str
    limit_s: float


STAGES: dict[Stage, StageFacts] = {
    Stage.WINDOWS_PE: StageFacts("Windows Setup copies Windows to the disk", 3600),
    Stage.COPIED: StageFacts("Windows starts from its disk for the first time", 1800),
    Stage.SPECIALIZE: StageFacts("Windows finds its hardware, then makes the account", 2400),
    Stage.FIRST_LOGON: StageFacts("the first logon", 900),
    Stage.UPDATES: StageFacts("an update is installed", 3600),
    Stage.WINRM: StageFacts("WinRM, certificate, firewall rule (prepare.ps1)", 900),
    Stage.SETTINGS: StageFacts("crash dumps, sleep, updates, network profile", 900),
    Stage.TEST_SIGNING: StageFacts("test signing", 300),
    Stage.CLEAN_UP: StageFacts("answer file, automatic logon and scripts are removed", 300),
    Stage.DONE: StageFacts("Windows shuts down", 600),
}

FIRMWARE_S = 900  # from power on to the first line


@dataclass(frozen=True)
class Said:
    """A stage that was heard of; ``more`` is what stood behind the colon."""

    stage: Stage
    more: str = ""


@dataclass(frozen=True)
class Heard:
    """All that a console said: stages as they came, the section for hosts.ini, why it failed if it did."""

    stages: tuple[Said, ...] = ()
    section: str = ""
    failure: str = ""

    @property
    def last(self) -> Stage | None:
        """The newest stage."""
        return self.stages[-1].stage if self.stages else None


def stage_line(stage: Stage) -> str:
    """What is to be written to the serial port when a stage begins."""
    return f"pvhck stage {stage.value}"


def parse_stages(text: str) -> Heard:
    """What a console's text says. A last line without its end is not read yet, unknown stages are none."""
    stages: list[Said] = []
    section: list[str] = []
    failure = ""
    for match in _LINE.finditer(text):
        if match["what"] == "section":
            section.append(match["text"].rstrip())
            continue
        word = _STAGE.fullmatch(match["text"].rstrip())
        if word is None:
            continue
        if word["name"] == _FAILED:
            failure = failure or word["more"] or "it does not say why"
        elif word["name"] in set(Stage):
            stages.append(Said(Stage(word["name"]), word["more"] or ""))
    return Heard(tuple(stages), "".join(f"{line}\n" for line in section), failure)
