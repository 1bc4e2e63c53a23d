"""Values every layer speaks of. No I/O, no logic beyond what the words mean."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

__all__ = [
    "INSTALL_ORDER",
    "Arch",
    "Area",
    "Change",
    "CommandResult",
    "DriverName",
    "FailureKind",
    "GuestKind",
    "Measurement",
    "Outcome",
    "ToolstackName",
    "XenVersion",
]


class DriverName(StrEnum):
    """The five driver packages, by the folder name their builds use."""

    XENBUS = "xenbus"
    XENIFACE = "xeniface"
    XENVIF = "xenvif"
    XENNET = "xennet"
    XENVBD = "xenvbd"


# Children appear when xenbus is active (win-xenbus INSTALL.md; facts/pv-drivers.md 1.3).
INSTALL_ORDER: tuple[DriverName, ...] = (
    DriverName.XENBUS,
    DriverName.XENIFACE,
    DriverName.XENVIF,
    DriverName.XENNET,
    DriverName.XENVBD,
)


class Arch(StrEnum):
    """Architecture of a guest or of a driver package."""

    X86 = "x86"
    X64 = "x64"


class Area(StrEnum):
    """Scenario areas; each is a folder below ``scenarios/``."""

    INSTALL = "install"
    NETWORK = "network"
    STORAGE = "storage"
    BALLOON = "balloon"
    POWER = "power"
    INTERFACE = "interface"


class Change(StrEnum):
    """What a test does to a guest that cannot be taken back; an adopted guest's owner has to name it."""

    INSTALL = "install"  # puts drivers in or takes them out
    REBOOT = "reboot"
    POWER = "power"  # shuts it down, or takes its power away, and starts it again
    DUMP = "dump"  # ends a hang by an NMI, at which the guest writes its memory down and crashes


class GuestKind(StrEnum):
    """What a guest really is. Shown wherever a result is shown."""

    WINDOWS = "windows"
    STAND_IN = "stand-in"
    SIMULATED = "simulated"


class ToolstackName(StrEnum):
    """Toolstacks a host can be driven with."""

    XL = "xl"
    XM = "xm"
    LIBVIRT = "libvirt"


class Outcome(StrEnum):
    """What became of a test."""

    PASSED = "passed"
    FAILED = "failed"
    BROKEN = "broken"
    SKIPPED = "skipped"
    EXPECTED = "expected"


class FailureKind(StrEnum):
    """Why a test failed; only for ``Outcome.FAILED``."""

    ASSERTION = "assertion"
    CRASH = "crash"
    HANG = "hang"
    REGRESSION = "regression"


@dataclass(frozen=True, order=True)
class XenVersion:
    """Version of a hypervisor, as far as capabilities depend on it."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


SIGNALLED = -1  # of a command that has no exit code, as paramiko gives it
_NOT_FOUND = 127  # POSIX, Shell Command Language, 2.8.2


@dataclass(frozen=True)
class CommandResult:
    """A finished command. ``stdout`` and ``stderr`` are text; undecodable bytes are replaced.

    ``rc`` is ``SIGNALLED`` for one that somebody killed.
    """

    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str
    duration_s: float

    @property
    def ok(self) -> bool:
        """Whether the exit code was 0. Several xl commands exit 0 on failure: read back."""
        return self.rc == 0

    @property
    def not_found(self) -> bool:
        """Whether the shell found no such program."""
        return self.rc == _NOT_FOUND

    def describe(self) -> str:
        """One line for people: the command, its exit code, its last words."""
        words = (self.stderr.strip() or self.stdout.strip()).splitlines()
        ended = "ended by a signal" if self.rc == SIGNALLED else f"exit code {self.rc}"
        return f"{shlex.join(self.argv)}: {ended}" + (f": {words[-1]}" if words else "")


@dataclass(frozen=True)
class Measurement:
    """One number with the parameters it was taken under and the samples it stands for."""

    metric: str
    value: float
    unit: str
    better: Literal["higher", "lower"]
    params: Mapping[str, str | int | float] = field(default_factory=dict)
    samples: tuple[float, ...] = ()
    tool: str = ""
    tool_version: str = ""
