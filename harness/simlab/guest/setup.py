"""What a guest is told when it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.lab import GuestTemplate, WinRmTransport
from harness.simlab.faults import Faults
from harness.winrmd import CommandRunner, ServerCertificate, WinRmSettings

if TYPE_CHECKING:
    from harness.simlab.guest.system import System

__all__ = ["AgentFor", "GuestSetup"]

# Runs the harness's own process in one boot of a guest; made anew for each.
AgentFor = Callable[["System"], CommandRunner]

_HTTP, _HTTPS = 5985, 5986
_SECURE = {WinRmTransport.HTTPS_NTLM, WinRmTransport.HTTPS_BASIC}
_BASIC = {WinRmTransport.HTTPS_BASIC, WinRmTransport.HTTP_BASIC}


@dataclass(frozen=True)
class GuestSetup:
    """Template, login, switches and seed; the certificate is the template's.

    Without ``agent_for`` the model answers the harness's process by itself.
    """

    template: GuestTemplate
    password: str = field(repr=False)
    faults: Faults
    seed: int
    certificate: ServerCertificate | None = None
    agent_for: AgentFor | None = None

    @property
    def secure(self) -> bool:
        """Whether WinRM is HTTPS."""
        return self.template.transport in _SECURE

    @property
    def port(self) -> int:
        """WinRM's port for the transport."""
        return _HTTPS if self.secure else _HTTP

    @property
    def winrm(self) -> WinRmSettings:
        """Only the template's login; plain text only over plain HTTP with Basic, which cannot do better."""
        basic = self.template.transport in _BASIC
        return WinRmSettings(basic=basic, negotiate=not basic, allow_unencrypted=self.secure or basic)
