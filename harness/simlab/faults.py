"""Fault switches: what a simulated host or guest can be told to do wrong.

A switch is written in ``hosts.ini`` as ``NAME`` or ``NAME:WORD``, for example
``winrm-401`` or ``device-code-10:xenvif``; ``NAME@STAGE`` is on from that stage of a run on
(``harness.simlab.stages``), for example ``winrm-drop@install`` or ``ssh-drop:list@scenario``.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from harness.errors import ConfigurationError
from harness.model import DriverName
from harness.simlab.stages import Stage

__all__ = ["FAULT_TABLE", "Fault", "FaultKind", "FaultScope", "Faults", "parse_faults"]


class FaultScope(StrEnum):
    """Where a switch can stand."""

    HOST = "host"
    GUEST = "guest"


class FaultKind(StrEnum):
    """The switches, by the name they have in hosts.ini."""

    SSH_DROP = "ssh-drop"
    COMMAND_HANG = "command-hang"
    DISK_FULL = "disk-full"
    NO_MEMORY = "no-memory"
    HOST_OOPS = "host-oops"
    LEAKS = "leaks"
    COMMAND_FAILS = "command-fails"
    SSHD_STOPPED = "sshd-stopped"
    HOST_SILENT = "host-silent"
    POWER_CUT = "power-cut"
    DOMAIN_DESTROYED = "domain-destroyed"
    DOMAIN_PAUSED = "domain-paused"
    MODEL_KILLED = "model-killed"
    CLONE_FAILS = "clone-fails"
    SETUP_HANGS = "setup-hangs"
    SETUP_LEAVES = "setup-leaves"
    BOOT_HANGS = "boot-hangs"
    WINRM_401 = "winrm-401"
    WINRM_400 = "winrm-400"
    WINRM_413 = "winrm-413"
    WINRM_DROP = "winrm-drop"
    WINRM_FREEZE = "winrm-freeze"
    SHELL_LOST = "shell-lost"
    BUGCHECK_INSTALL = "bugcheck-install"
    BUGCHECK_LOAD = "bugcheck-load"
    DEVICE_CODE_10 = "device-code-10"
    DEVICE_CODE_28 = "device-code-28"
    DEVICE_CODE_39 = "device-code-39"
    BALLOON_STUCK = "balloon-stuck"
    SHUTDOWN_IGNORED = "shutdown-ignored"
    SHUTDOWN_UNCLEAN = "shutdown-unclean"
    SLOW_NETWORK = "slow-network"
    CORRUPT_PAYLOAD = "corrupt-payload"
    NETWORK_LOST = "network-lost"
    SERVICES_MISSING = "services-missing"
    VERSION_MISMATCH = "version-mismatch"
    XENSTORE_DEAF = "xenstore-deaf"
    DISK_STAYS = "disk-stays"
    ONE_WAY = "one-way"
    UPGRADE_IGNORED = "upgrade-ignored"
    REMOVAL_REFUSED = "removal-refused"
    REBOOT_ASKED = "reboot-asked"
    XENSTORE_LENIENT = "xenstore-lenient"
    WATCH_NOISY = "watch-noisy"
    COUNTERS_STUCK = "counters-stuck"
    LOG_CLEAN = "log-clean"
    BUGCHECK = "bugcheck"
    NETWORK_CUT = "network-cut"
    RESTARTS = "restarts"
    POWERS_OFF = "powers-off"


@dataclass(frozen=True)
class _Entry:
    """A row of the table: ``word`` says what the word behind the colon is, empty for none."""

    scope: FaultScope
    meaning: str
    word: str = ""
    default: str = ""


_HOST, _GUEST = FaultScope.HOST, FaultScope.GUEST
_XL, _DRIVER, _SWITCH = "xl command", "driver", "guest switch"

FAULT_TABLE: dict[FaultKind, _Entry] = {
    FaultKind.SSH_DROP: _Entry(_HOST, "The SSH connection breaks when this xl command starts", _XL, "create"),
    FaultKind.COMMAND_HANG: _Entry(_HOST, "This xl command never ends", _XL, "create"),
    FaultKind.DISK_FULL: _Entry(_HOST, "Nothing more can be written below the storage path"),
    FaultKind.HOST_OOPS: _Entry(_HOST, "Dom0's kernel stumbles over the first domain and says so in its log"),
    FaultKind.COMMAND_FAILS: _Entry(_HOST, "This xl command says that it failed", _XL, "create"),
    FaultKind.SSHD_STOPPED: _Entry(_HOST, "SSH connections break, and new ones are closed at once"),
    FaultKind.HOST_SILENT: _Entry(_HOST, "Nothing is answered any more, and no connection breaks"),
    FaultKind.POWER_CUT: _Entry(_HOST, "The host is gone, with all that ran on it"),
    FaultKind.DOMAIN_DESTROYED: _Entry(_HOST, "Somebody destroys the domains that are there"),
    FaultKind.DOMAIN_PAUSED: _Entry(_HOST, "Somebody pauses the domains that are there"),
    FaultKind.MODEL_KILLED: _Entry(_HOST, "The device models of the domains that are there are killed"),
    FaultKind.LEAKS: _Entry(
        _HOST,
        "This stays of a domain that is gone",
        "process, store, device, loop, memory or file",
        "process",
    ),
    FaultKind.NO_MEMORY: _Entry(_HOST, "Xen has no memory for another domain"),
    FaultKind.CLONE_FAILS: _Entry(_HOST, "qemu-img create and cp fail with an input/output error"),
    FaultKind.SETUP_HANGS: _Entry(
        _HOST, "A Windows that is set up here comes to this stage, and no further", "stage", "specialize"
    ),
    FaultKind.SETUP_LEAVES: _Entry(
        _HOST, "A Windows that is set up here has this switch of a guest on", _SWITCH, "winrm-401"
    ),
    FaultKind.BOOT_HANGS: _Entry(
        _GUEST, "The guest never comes beyond its boot logo; with a driver: once it has that one", _DRIVER
    ),
    FaultKind.WINRM_401: _Entry(_GUEST, "WinRM refuses every login"),
    FaultKind.WINRM_400: _Entry(_GUEST, "WinRM answers HTTP 400"),
    FaultKind.WINRM_413: _Entry(_GUEST, "WinRM answers HTTP 413"),
    FaultKind.WINRM_DROP: _Entry(_GUEST, "WinRM closes the connection instead of answering"),
    FaultKind.WINRM_FREEZE: _Entry(_GUEST, "WinRM takes requests and never answers"),
    FaultKind.SHELL_LOST: _Entry(_GUEST, "The remote shell is lost behind the client's back"),
    FaultKind.BUGCHECK_INSTALL: _Entry(
        _GUEST, "Installing this driver ends in a bugcheck", _DRIVER, "xenbus"
    ),
    FaultKind.BUGCHECK_LOAD: _Entry(_GUEST, "This driver ends in a bugcheck under load", _DRIVER, "xenvif"),
    FaultKind.DEVICE_CODE_10: _Entry(_GUEST, "The device cannot start (code 10)", _DRIVER, "xenvif"),
    FaultKind.DEVICE_CODE_28: _Entry(_GUEST, "The device gets no driver (code 28)", _DRIVER, "xenvif"),
    FaultKind.DEVICE_CODE_39: _Entry(_GUEST, "The driver file cannot be loaded (code 39)", _DRIVER, "xenvif"),
    FaultKind.BALLOON_STUCK: _Entry(_GUEST, "The balloon never moves"),
    FaultKind.SHUTDOWN_IGNORED: _Entry(_GUEST, "The guest never takes a shutdown or reboot request"),
    FaultKind.SHUTDOWN_UNCLEAN: _Entry(
        _GUEST, "The guest acknowledges a request, then goes without a clean stop"
    ),
    FaultKind.SLOW_NETWORK: _Entry(_GUEST, "The network passes a twentieth of what it should"),
    FaultKind.CORRUPT_PAYLOAD: _Entry(_GUEST, "The PV network and disk change what they carry"),
    FaultKind.NETWORK_LOST: _Entry(_GUEST, "No network any more once the PV interface has taken over"),
    FaultKind.SERVICES_MISSING: _Entry(
        _GUEST, "The user services of this driver are not there", _DRIVER, "xeniface"
    ),
    FaultKind.VERSION_MISMATCH: _Entry(
        _GUEST, "The device shows another driver version than its INF", _DRIVER, "xenvif"
    ),
    FaultKind.XENSTORE_DEAF: _Entry(
        _GUEST, "What XENIFACE writes goes nowhere, it shows old values, its watches never fire"
    ),
    FaultKind.DISK_STAYS: _Entry(_GUEST, "A PV disk that was unplugged stays in the guest's list"),
    FaultKind.ONE_WAY: _Entry(_GUEST, "The PV interface sends and, under load, receives nothing"),
    FaultKind.UPGRADE_IGNORED: _Entry(
        _GUEST, "The device keeps its driver when a newer one comes", _DRIVER, "xenvif"
    ),
    FaultKind.REMOVAL_REFUSED: _Entry(_GUEST, "pnputil cannot remove this driver", _DRIVER, "xenvif"),
    FaultKind.REBOOT_ASKED: _Entry(
        _GUEST, "Each installation of this driver asks for a reboot", _DRIVER, "xenvif"
    ),
    FaultKind.XENSTORE_LENIENT: _Entry(
        _GUEST, "XENIFACE says yes to what xenstore refuses: no such node, no right to write"
    ),
    FaultKind.WATCH_NOISY: _Entry(_GUEST, "The guest's watches on xenstore fire when nothing has changed"),
    FaultKind.COUNTERS_STUCK: _Entry(_GUEST, "The adapters' counters stand still"),
    FaultKind.LOG_CLEAN: _Entry(_GUEST, "The guest's log tells of clean stops only"),
    FaultKind.BUGCHECK: _Entry(_GUEST, "The guest ends in a bugcheck, once"),
    FaultKind.NETWORK_CUT: _Entry(_GUEST, "The guest has no network any more, and is otherwise well"),
    FaultKind.RESTARTS: _Entry(_GUEST, "The guest restarts by itself, once"),
    FaultKind.POWERS_OFF: _Entry(_GUEST, "The guest shuts down by itself, once"),
}


@dataclass(frozen=True)
class Fault:
    """A switch that is on from ``stage`` on. ``word`` is what stands behind the colon, or the default."""

    kind: FaultKind
    word: str = ""
    stage: Stage = Stage.LEASE

    def __str__(self) -> str:
        word = f":{self.word}" if self.word else ""
        return f"{self.kind}{word}" + (f"@{self.stage.name.lower()}" if self.stage > Stage.LEASE else "")


class Faults:
    """The switches of one host or guest, and how far it has come. Thread-safe.

    ``struck`` are those that somebody has found on.
    """

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self.stage = Stage.LEASE
        self.struck: set[Fault] = set()
        self._faults = frozenset(faults)
        self._followers: list[Callable[[Stage], None]] = []
        self._lock = threading.Lock()

    def __contains__(self, kind: FaultKind) -> bool:
        return bool(self.words(kind))

    def hits(self, kind: FaultKind, word: str) -> bool:
        """Whether a switch is on for this word."""
        return bool(self._found(fault for fault in self._on() if fault.kind is kind and fault.word == word))

    def words(self, kind: FaultKind) -> frozenset[str]:
        """All words a switch is on for."""
        return frozenset(fault.word for fault in self._found(one for one in self._on() if one.kind is kind))

    def follow(self, follower: Callable[[Stage], None]) -> None:
        """Have it called whenever a stage begins."""
        self._followers.append(follower)

    def enter(self, stage: Stage) -> None:
        """A stage begins; one that is over does not begin again."""
        with self._lock:
            if stage <= self.stage:
                return
            self.stage = stage
        for follower in self._followers:
            follower(stage)

    def _on(self) -> list[Fault]:
        return [fault for fault in self._faults if fault.stage <= self.stage]

    def _found(self, faults: Iterable[Fault]) -> tuple[Fault, ...]:
        found = tuple(faults)
        self.struck.update(found)
        return found


def parse_faults(texts: Iterable[str], scope: FaultScope, owner: str) -> Faults:
    """The switches written in hosts.ini for ``owner`` ("host sim1").

    Raises:
        ConfigurationError: no such switch for a host (or guest), or a word that means nothing.
    """
    return Faults(_parse(text, scope, owner) for text in texts)


def _parse(text: str, scope: FaultScope, owner: str) -> Fault:
    text, at, place = text.partition("@")
    name, _, word = text.partition(":")
    known = {kind.value: kind for kind, entry in FAULT_TABLE.items() if entry.scope is scope}
    kind = known.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigurationError(
            f"{owner}: there is no fault switch {name!r} for a {scope}",
            mend=f"{hint}known: {', '.join(known)}",
        )
    entry = FAULT_TABLE[kind]
    if word and not entry.word:
        raise ConfigurationError(f"{owner}: fault switch {name} takes no word, got {word!r}", mend=name)
    if word and entry.word == _DRIVER and word not in set(DriverName):
        near = difflib.get_close_matches(word, list(DriverName), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigurationError(
            f"{owner}: fault switch {name} needs a driver, got {word!r}",
            mend=f"{hint}known: {', '.join(DriverName)}",
        )
    if word and entry.word == _SWITCH and word not in _switches_of_guests():
        raise ConfigurationError(
            f"{owner}: fault switch {name} needs a guest switch, got {word!r}",
            mend=f"known: {', '.join(_switches_of_guests())}",
        )
    return Fault(kind, word or entry.default, _stage(place, name, owner) if at else Stage.LEASE)


def _switches_of_guests() -> tuple[str, ...]:
    return tuple(kind.value for kind, entry in FAULT_TABLE.items() if entry.scope is FaultScope.GUEST)


def _stage(place: str, name: str, owner: str) -> Stage:
    known = {stage.name.lower(): stage for stage in Stage}
    if place not in known:
        raise ConfigurationError(
            f"{owner}: fault switch {name} begins at no stage {place!r}", mend=f"known: {', '.join(known)}"
        )
    return known[place]
