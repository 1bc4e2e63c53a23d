"""Commands and scripts of the setup CD, played: no cmd.exe and no PowerShell run here.

What a script writes to the serial port is taken from the script itself, so that a stage it does not have
is never heard of. That it gets there is a guess.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from harness.simlab.setup.answers import WouldAsk
from harness.simlab.setup.cd import Cd

__all__ = ["Kit", "bypassed", "kit_of", "said"]

_ECHO = re.compile(r"(?:cmd(?:\.exe)? /c )?echo (?P<text>[^>]*?)\s*>\s*COM1\s*", re.IGNORECASE)
_LAB = re.compile(
    r"reg(?:\.exe)? add HKLM\\SYSTEM\\Setup\\LabConfig /v (?P<name>\w+) .*/d 1\b.*", re.IGNORECASE
)
_SEARCH = re.compile(
    r"cmd(?:\.exe)? /c for %(?P<variable>\w) in \((?P<drives>[A-Z ]+)\) "
    r"do if exist %(?P=variable):\\(?P<path>\S+) call %(?P=variable):\\(?P=path)",
    re.IGNORECASE,
)
_STAGE = re.compile(r"Write-Stage -Name '([a-z-]+)'")
_OPTIONAL = "test-signing"


@dataclass(frozen=True)
class Kit:
    """What lies in the folder of the script that the first logon starts.

    ``begin`` are the lines of that script, ``stages`` those of setup.ps1 in their order.
    """

    begin: tuple[str, ...]
    updates: tuple[str, ...]
    stages: tuple[str, ...]
    name: str
    user: str
    test_signing: bool


def said(command: str) -> str | None:
    """What a command writes to the serial port, None for one that does something else."""
    match = _ECHO.fullmatch(command)
    return match["text"] if match else None


def bypassed(command: str) -> str:
    """The check of Setup that a command switches off, "" for none."""
    match = _LAB.fullmatch(command)
    return match["name"] if match else ""


def kit_of(command: str, drives: dict[str, Cd]) -> Kit | None:
    """The scripts that a command of the first logon starts from a CD; None if it finds none."""
    match = _SEARCH.fullmatch(command)
    if match is None:
        return None
    for drive in match["drives"].split():
        script = drives[drive].read(match["path"]) if drive in drives else None
        if script is not None:
            folder = match["path"].rpartition("\\")[0]
            return _kit(script.decode("ascii"), drives[drive], folder)
    return None


def _kit(script: str, cd: Cd, folder: str) -> Kit:
    def needed(name: str) -> str:
        data = cd.read(f"{folder}\\{name}")
        if data is None:
            raise WouldAsk(f"{name} is not on the CD")
        return data.decode("ascii")

    lines = (said(line.strip()) for line in script.splitlines())
    begin = tuple(line for line in lines if line is not None and "failed" not in line)
    wanted = json.loads(needed("setup.json"))
    needed("prepare.ps1")
    needed("go-on.cmd")
    names = (cd.read(f"{folder}\\updates.txt") or b"").decode("ascii").split()
    for name in names:
        needed(f"updates\\{name}")
    signing = bool(wanted["test_signing"])
    stages = tuple(stage for stage in _STAGE.findall(needed("setup.ps1")) if signing or stage != _OPTIONAL)
    return Kit(begin, tuple(names), stages, wanted["name"], wanted["user"], signing)
