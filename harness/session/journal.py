"""What tests say and leave while they run: to the run's events, to the evidence folders."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from harness.dump import Crash
from harness.errors import HarnessError
from harness.evidence import Scene, WantedDumps, collect, provoke_dump
from harness.guest.guest import Guest
from harness.host.host import Host
from harness.lab import Redactor
from harness.model import FailureKind, Outcome
from harness.results import AttemptResult, DriverFound, utc
from harness.results.recorder import EventWriter
from harness.session.aftermath import (
    Aftermath,
    came_down,
    crash_heard,
    domid_of,
    keep_all_symbols,
    kept_core,
    look_after,
)
from harness.session.attempt import Attempt
from harness.session.lab_session import LabSession
from harness.session.options import Keep
from harness.session.state import lab_of, planned_key

__all__ = ["SYMBOLS", "Gathered", "Journal"]

_log = logging.getLogger(__name__)

SYMBOLS = "symbols"  # a symbol store in the run's folder, once a guest has crashed


class Gathered(NamedTuple):
    """Evidence, as paths relative to the run's folder, and the crash it tells of."""

    evidence: Sequence[str] = ()
    crash: Crash | None = None


class Journal:
    """What one process that runs tests says of them. ``redactor`` knows the secrets it has used."""

    def __init__(self, writer: EventWriter, redactor: Redactor) -> None:
        self.redactor = redactor
        self._writer = writer
        self._worst: set[Outcome] = set()
        self._of_the_lost: dict[str, Gathered] = {}  # of guests that no test got, by name

    @property
    def has_failures(self) -> bool:
        """Whether a test failed or is broken so far."""
        return bool(self._worst & {Outcome.FAILED, Outcome.BROKEN})

    def say(self, text: str) -> None:
        """A line for people who watch."""
        self._writer.message(self.redactor.clean(text))

    def warn(self, text: str) -> None:
        """What people should know of the results, now and when they read the report."""
        self._writer.warning(self.redactor.clean(text))

    def test_started(self, item: pytest.Item, attempt: Attempt) -> None:
        """An attempt begins."""
        self._writer.test_started(item.nodeid, attempt.number)

    def attempt_finished(self, item: pytest.Item, attempt: Attempt) -> None:
        """An attempt has ended, with its teardown."""
        judgement = attempt.judgement
        self._worst.add(judgement.outcome)
        where = _where(attempt)
        result = AttemptResult(
            number=attempt.number,
            outcome=judgement.outcome,
            kind=judgement.kind,
            reason=self.redactor.clean(judgement.reason),
            started=utc(attempt.started),
            duration_s=round(attempt.duration_s, 3),
            evidence=tuple(attempt.evidence),
            signature=attempt.crash.signature if attempt.crash is not None else "",
            host=where.host,
            toolstack=where.toolstack,
            xen_version=where.xen_version,
            nested=where.nested,
        )
        self._writer.attempt_finished(item.nodeid, result, attempt.measurements)

    def driver_found(self, found: DriverFound) -> None:
        """What an install or a look at a guest found of a driver."""
        self._writer.driver_found(found)

    def gather(self, item: pytest.Item, attempt: Attempt) -> Gathered:
        """Evidence of an attempt that went wrong."""
        if attempt.host is None:
            return Gathered()
        guest = attempt.guest
        if guest is None and attempt.leased is not None:
            guest = attempt.leased.keeper.lost(item.stash[planned_key].template)
            if guest is not None and guest.name in self._of_the_lost:
                return self._of_the_lost[guest.name]  # taken from it when it was lost
        found = self._collect(item, attempt, attempt.host, guest)
        if guest is not None and attempt.guest is None:
            self._of_the_lost[guest.name] = found
        return found

    def _collect(self, item: pytest.Item, attempt: Attempt, host: Host, guest: Guest | None) -> Gathered:
        name = f"{_safe(item.nodeid)}-{attempt.number}"
        folder = self._writer.folder / "evidence" / name
        self.say(f"gathering evidence of {item.nodeid}")
        started = time.monotonic()
        crash = None
        try:
            scene = Scene(host, guest, before=attempt.store_before)
            found = collect(scene, folder, redact=self.redactor.clean)
            if guest is not None:
                after = self._after(lab_of(item.config), attempt, guest, folder)
                found += after.files
                crash = after.crash
        except HarnessError as error:
            self.warn(f"no evidence of {item.nodeid}: {error}")
            return Gathered()
        _log.info("evidence of %s took %.1f s", item.nodeid, time.monotonic() - started)
        return Gathered([f"evidence/{name}/{path}" for path in sorted(set(found))], crash)

    def _after(self, lab: LabSession, attempt: Attempt, guest: Guest, folder: Path) -> Aftermath:
        """What is done with a guest that crashed or hangs once its evidence is there."""
        kind = attempt.judgement.kind
        if kind not in {FailureKind.CRASH, FailureKind.HANG}:
            return Aftermath()
        if kind is FailureKind.HANG and not guest.may_be_dumped:
            self.say(f"{guest.name} is let hang: nobody has allowed an NMI")
            return Aftermath()
        builds = (lab.build, lab.older_build)
        trouble = keep_all_symbols(builds, guest.template.arch, self._writer.folder / SYMBOLS)
        if trouble:
            self.warn(trouble)
        files: tuple[str, ...] = ()
        if kind is FailureKind.HANG:
            before = domid_of(guest)
            files = self._end_hang(lab, attempt, guest, folder)
            if not came_down(guest, before):
                return Aftermath(files)  # it wrote no dump
        # what ends a hang is our own NMI, which says nothing of it
        told = crash_heard(guest, attempt.watch) if kind is FailureKind.CRASH else None
        wanted = WantedDumps(
            whole=lab.options.full_dumps,
            expected=told is not None or kind is FailureKind.HANG,
            before=attempt.watch.dumps_before if attempt.watch is not None else None,
            since=guest.boot_id,
        )
        self.say(f"fetching the dumps of {guest.name}")
        may_reset = lab.options.keep is Keep.NEVER and lab.options.adoption is None
        after = look_after(guest, folder, told, wanted, may_reset=may_reset, redact=self.redactor.clean)
        return Aftermath((*files, *after.files), after.crash)

    def _end_hang(self, lab: LabSession, attempt: Attempt, guest: Guest, folder: Path) -> tuple[str, ...]:
        core: tuple[str, ...] = ()
        if lab.options.core_dumps and attempt.leased is not None:
            self.say(f"writing a core dump of {guest.name}")
            core = kept_core(guest, attempt.leased.area, folder, redact=self.redactor.clean)
        return (*core, *provoke_dump(guest, folder, redact=self.redactor.clean))


@dataclass(frozen=True)
class _Where:
    """The host of an attempt, as far as it could be asked."""

    host: str = ""
    toolstack: str = ""
    xen_version: str = ""
    nested: bool = False


def _where(attempt: Attempt) -> _Where:
    host = attempt.host
    if host is None:
        return _Where()
    if attempt.leased is None:
        return _Where(host.name)
    try:
        return _Where(host.name, host.toolstack.name.value, str(host.info.version), host.nested)
    except HarnessError:
        return _Where(host.name)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name.removeprefix("scenarios/"))
