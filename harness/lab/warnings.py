"""What a lab allows itself that people should know about: not mistakes, but not to be forgotten."""

from __future__ import annotations

from harness.lab.match import cannot_carry
from harness.lab.spec import GuestTemplate, Lab, WinRmTransport

__all__ = ["lab_warnings"]

_WEAKER = {
    WinRmTransport.HTTPS_BASIC: "the password goes to whoever holds the pinned certificate",
    WinRmTransport.HTTP_NTLM: "no certificate proves who answers; the exchange lets the password be guessed",
    WinRmTransport.HTTP_BASIC: "the password and everything else can be read on the network",
}


def lab_warnings(lab: Lab) -> tuple[str, ...]:
    """Weak transports and SSH, played faults, templates that no host can carry; one line each."""
    warnings = []
    for host in lab.hosts.values():
        if host.legacy_ssh:
            warnings.append(f"host {host.name}: legacy_ssh allows SHA-1 and ssh-rsa, which are weak")
        if host.faults:
            warnings.append(f"host {host.name}: plays faults: {', '.join(host.faults)}")
    for template in lab.templates.values():
        warnings += _warnings_of(template, lab)
    return tuple(warnings)


def _warnings_of(template: GuestTemplate, lab: Lab) -> list[str]:
    warnings = []
    if template.transport in _WEAKER:
        why = _WEAKER[template.transport]
        warnings.append(f"template {template.name}: transport {template.transport} is weak: {why}")
    if template.legacy_tls:
        warnings.append(
            f"template {template.name}: legacy_tls allows TLS 1.0 and old ciphers, which are weak"
        )
    if template.faults:
        warnings.append(f"template {template.name}: plays faults: {', '.join(template.faults)}")
    reasons = [(host.name, cannot_carry(host, template)) for host in lab.hosts.values()]
    if all(why for _, why in reasons):
        shown = "; ".join(f"{name}: {why[0]}" for name, why in reasons)
        warnings.append(f"template {template.name}: no host can carry it: {shown}")
    return warnings
