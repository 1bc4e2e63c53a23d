"""Simulated Windows guests: what runs in the domains of the simulated lab.

``blank_disk`` makes the content of a template's system disk, ``make_guest`` the guest in front of
which a host puts a ``Machine``. The guest keeps nothing of its own over a reboot: all of it lies in
the file of its system disk and in ``Machine.private_folder``.
"""

from __future__ import annotations

from harness.lab import GuestTemplate
from harness.simlab.faults import Faults
from harness.simlab.guest.disk import blank_disk
from harness.simlab.guest.setup import AgentFor, GuestSetup
from harness.simlab.guest.windows import WindowsGuest
from harness.simlab.machine import SimulatedGuest
from harness.winrmd import ServerCertificate

__all__ = ["AgentFor", "blank_disk", "make_guest"]


def make_guest(
    template: GuestTemplate,
    password: str,
    faults: Faults,
    seed: int,
    certificate: ServerCertificate | None = None,
    *,
    agent_for: AgentFor | None = None,
) -> SimulatedGuest:
    """A guest of a template, powered off.

    ``certificate`` is the template's, for templates that speak HTTPS; one is made where it is missing.
    ``faults`` are the switches of ``FaultScope.GUEST``. ``agent_for`` gives, for each boot, what runs the
    harness's own process in the guest; without it the model answers the process's requests.
    """
    if certificate is None:
        certificate = ServerCertificate.make(template.name)
    return WindowsGuest(GuestSetup(template, password, faults, seed, certificate, agent_for))
