"""What a new template has to pass before it is one: a clone of it boots, answers, and has no bad past."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.doctor.booted import check_guest
from harness.doctor.check import Check, State, failed
from harness.errors import GuestError, HarnessError
from harness.guest.guest import Guest, Login
from harness.guest.probe import Transcript, probe
from harness.guest.provision import make_guest, remove_guest
from harness.host.area import RunArea
from harness.host.host import Host
from harness.image.follow import keep_screen
from harness.lab import GuestTemplate, Redactor, Secret

__all__ = ["Gate", "GateFailed", "pass_gate"]

_BOOT_S = 900  # the first start of a clone looks for its hardware
_GATE_NUMBER = 2  # the domain's, beside the one that was set up
_NO_ANSWER = "unanswered"


class GateFailed(GuestError):
    """The image is no template: a clone of it does not do what tests need."""


@dataclass(frozen=True)
class Gate:
    """Where a clone is made, and who logs in. ``folder`` takes the probe's transcript, or a picture."""

    host: Host
    area: RunArea
    login: Login
    folder: Path
    report: Callable[[str], None]
    patience: float = 1.0


def pass_gate(gate: Gate, template: GuestTemplate) -> tuple[Check, ...]:
    """Boot a clone of a template's image and look at it; the clone is taken away in any case.

    Raises:
        GateFailed: with everything that was wrong.
        InfrastructureError: the host is at fault.
    """
    gate.folder.mkdir(parents=True, exist_ok=True)
    checks = []
    for check in _checks(gate, template):
        gate.report(f"gate: {check.state.value:<7} {check.name}: {check.found}")
        checks.append(check)
    wrong = [check for check in checks if check.state is State.FAIL]
    if wrong:
        raise GateFailed(
            f"template {template.name} is not registered: "
            + "; ".join(f"{check.name}: {check.found}" for check in wrong),
            mend=next((check.mend for check in wrong if check.mend), ""),
        )
    return tuple(checks)


def _checks(gate: Gate, template: GuestTemplate) -> Iterator[Check]:
    with contextlib.ExitStack() as stack:
        guest = make_guest(gate.host, gate.area, template, _GATE_NUMBER, gate.login, report=gate.report)
        stack.callback(remove_guest, guest, gate.area)
        try:
            guest.start()
            # Identify, the certificate by its fingerprint, and a first operation
            guest.wait_ready(guest.deadline(_BOOT_S * gate.patience))
        except HarnessError as error:
            gate.report(keep_screen(gate.host, guest.name, gate.folder))
            yield failed(template.name, "WinRM", error)
            return
        yield from check_guest(guest)
        yield from _probe(guest, gate)
        yield _past(guest)


def _probe(guest: Guest, gate: Gate) -> Iterator[Check]:
    """Every reading operation has an answer."""
    redactor = Redactor()
    redactor.add(Secret(gate.login.password))
    try:
        transcript = probe(
            guest.channel(),
            user=gate.login.user,
            redact=redactor.clean,
            report=lambda _: None,
            time_factor=guest.host.spec.time_factor,
        )
    except HarnessError as error:
        yield failed(guest.template.name, "probe", error)
        return
    transcript.write(gate.folder / "probe.json")
    yield _answered(guest.template.name, transcript)


def _answered(subject: str, transcript: Transcript) -> Check:
    silent = sorted(
        {asked.op for asked in transcript.operations if asked.error and asked.error["kind"] == _NO_ANSWER}
    )
    if silent:
        return Check(subject, "probe", State.FAIL, f"no answer to {', '.join(silent)}")
    return Check(subject, "probe", State.OK, f"{len(transcript.operations)} questions have an answer")


def _past(guest: Guest) -> Check:
    """The event log from the installation on: no crash, no power cut."""
    subject = guest.template.name
    try:
        stops = guest.operations.stop_events(record=0)
        dumps = guest.operations.dump_files()
    except HarnessError as error:
        return failed(subject, "event log", error)
    found = f"{stops.clean} clean stops, {stops.unclean} unclean, {stops.bugchecks} bugchecks"
    if stops.unclean or stops.bugchecks or dumps:
        files = f", {len(dumps)} crash dumps" if dumps else ""
        return Check(subject, "event log", State.FAIL, f"{found}{files} since it was installed")
    return Check(subject, "event log", State.OK, found)
