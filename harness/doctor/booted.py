"""A booted clone of a template: what its Windows is like, as far as tests depend on it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.doctor.check import Check, State, failed
from harness.errors import HarnessError
from harness.guest.guest import Guest, Login
from harness.guest.provision import make_guest, remove_guest
from harness.guest.transfer import FileServer, to_guest
from harness.host.area import RunArea
from harness.host.host import Host
from harness.lab import GuestTemplate
from harness.model import GuestKind
from harness.operations import GuestOperations, SecurityFacts, SystemFacts

__all__ = ["check_booted", "check_guest"]

_PROBE_FILES = {GuestKind.STAND_IN: "/tmp/pvhck-doctor.txt"}  # noqa: S108  # of a clone that is thrown away
_PROBE_FILE = r"C:\Windows\Temp\pvhck-doctor.txt"
_PREPARE = "run prepare.ps1 in the template (docs/prepare-windows.md)"


def check_booted(
    host: Host,
    template: GuestTemplate,
    login: Login,
    *,
    run_id: str,
    boot_s: float,
    report: Callable[[str], None],
) -> Iterator[Check]:
    """Clone the template, boot the clone, look at it, take it away."""
    subject = f"{template.name} on {host.name}"
    try:
        with contextlib.ExitStack() as stack:
            area = stack.enter_context(RunArea(host.shell, run_id))
            guest = make_guest(host, area, template, 1, login, report=report)
            stack.callback(remove_guest, guest, area)
            report(f"starting {guest.name} on {host.name}")
            guest.start()
            guest.wait_ready(guest.deadline(boot_s))
            yield from check_guest(guest)
    except HarnessError as error:
        yield failed(subject, "boot", error)


def check_guest(guest: Guest) -> Iterator[Check]:
    """What a booted guest says of itself."""
    subject = f"{guest.template.name} on {guest.host.name}"
    try:
        system = guest.operations.system_facts()
        security = guest.operations.security_facts()
    except HarnessError as error:
        yield failed(subject, "WinRM", error)
        yield Check(subject, "everything else", State.SKIPPED, "the guest does not answer")
        return
    yield Check(subject, "WinRM", State.OK, f"answers at {guest.address or 'its address'}: {system.os_name}")
    yield _check_architecture(subject, guest.template, system)
    if guest.kind is GuestKind.STAND_IN:
        yield Check(subject, "Windows settings", State.SKIPPED, "the stand-in is no Windows")
    else:
        yield from _check_windows(subject, system, security)
    yield _check_controller(subject, guest)


def _check_windows(subject: str, system: SystemFacts, security: SecurityFacts) -> Iterator[Check]:
    yield _check_powershell(subject, system)
    yield _check_token(subject, security)
    yield _check_firewall(subject, security)
    # the module is fed as text, which no policy forbids: for people to know
    yield Check(subject, "script policy", State.OK, f"{security.script_policy}; ours is not a script file")
    yield _check_secure_boot(subject, security)
    yield _check_test_signing(subject, security)
    yield _check_domain(subject, system)
    yield _check_defender(subject, security)
    yield Check(subject, "language", State.OK, system.locale)


def _check_architecture(subject: str, template: GuestTemplate, system: SystemFacts) -> Check:
    if system.architecture == template.arch:
        return Check(subject, "architecture", State.OK, f"{system.architecture}, {system.os_version}")
    found = f"{system.architecture}, but hosts.ini says {template.arch}: it would get the wrong drivers"
    return Check(subject, "architecture", State.FAIL, found, f"set arch = {system.architecture}")


def _check_powershell(subject: str, system: SystemFacts) -> Check:
    if system.shell_version.startswith("5.1"):
        return Check(subject, "PowerShell", State.OK, system.shell_version)
    mend = "install Windows Management Framework 5.1 (KB3191566 on Windows 7, KB3191564 on 8.1 and 2012 R2)"
    return Check(subject, "PowerShell", State.FAIL, f"{system.shell_version}, not 5.1", mend)


def _check_token(subject: str, security: SecurityFacts) -> Check:
    if security.full_token:
        return Check(subject, "full token", State.OK, "remote logons are full administrators")
    return Check(
        subject,
        "full token",
        State.FAIL,
        "remote logons of this user are filtered by UAC: drivers cannot be installed",
        r"reg add HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System "
        "/v LocalAccountTokenFilterPolicy /t REG_DWORD /d 1 /f",
    )


def _check_firewall(subject: str, security: SecurityFacts) -> Check:
    on = [profile.name for profile in security.firewall if profile.enabled]
    if "Public" not in on:
        return Check(subject, "firewall", State.OK, f"on for {', '.join(on) or 'no profile'}")
    # WinRM answers now, on the emulated adapter; which profiles its rule names cannot be seen here
    return Check(
        subject,
        "firewall",
        State.WARN,
        "on for Public, which a new PV adapter belongs to: is WinRM's rule for all profiles?",
        f"netsh advfirewall firewall show rule name=pvhck-winrm; if it is not there, {_PREPARE}",
    )


def _check_secure_boot(subject: str, security: SecurityFacts) -> Check:
    if not security.secure_boot:
        return Check(
            subject, "Secure Boot", State.OK, "off" if security.secure_boot is False else "not there"
        )
    found = "on: a test-signed build will be refused"
    mend = (
        "for test-signed builds, boot the template without it (other firmware variables, or firmware = bios)"
    )
    return Check(subject, "Secure Boot", State.WARN, found, mend)


def _check_test_signing(subject: str, security: SecurityFacts) -> Check:
    if not security.test_signing:
        return Check(subject, "test signing", State.OK, "off; switched on where a build needs it")
    found = "on in the template: what a build is signed with is not judged"
    return Check(subject, "test signing", State.WARN, found, "bcdedit /set testsigning off; restart")


def _check_domain(subject: str, system: SystemFacts) -> Check:
    if not system.domain_member:
        return Check(subject, "domain", State.OK, "no member")
    found = "member of a domain: its policies change what tests see, and clones share one account"
    return Check(subject, "domain", State.WARN, found, "take the template out of the domain")


def _check_defender(subject: str, security: SecurityFacts) -> Check:
    if not security.defender_realtime:
        state = "off" if security.defender_realtime is False else "not there"
        return Check(subject, "Defender", State.OK, f"real-time protection {state}")
    found = "real-time protection is on: it slows files down and shows in measurements"
    mend = "Set-MpPreference -DisableRealtimeMonitoring $true (tamper protection off first)"
    return Check(subject, "Defender", State.WARN, found, mend)


def _check_controller(subject: str, guest: Guest) -> Check:
    address = guest.host.spec.controller
    if not address:
        found = "guests cannot reach us (no `controller`): files go to them on a CD"
        return Check(subject, "controller", State.SKIPPED, found)
    try:
        with FileServer(address, towards=guest.host.spec.address) as server:
            _pull(guest.operations, server, _PROBE_FILES.get(guest.kind, _PROBE_FILE))
    except OSError as error:
        found = f"we cannot listen at {address}: {error.strerror or error}"
        mend = "set controller to an address of this machine that guests can reach"
        return Check(subject, "controller", State.FAIL, found, mend)
    except HarnessError as error:
        mend = f"let guests through to {address}: its firewall, the route; or leave `controller` out"
        return Check(subject, "controller", State.FAIL, error.found, error.mend or mend)
    return Check(subject, "controller", State.OK, f"the guest fetches files from {address}")


def _pull(operations: GuestOperations, server: FileServer, target: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "pvhck-doctor.txt"
        source.write_bytes(b"pvhck doctor\r\n")
        to_guest(operations, server, source, target)
    operations.remove_file(path=target)
