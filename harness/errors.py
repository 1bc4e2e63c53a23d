"""Errors, sorted by whose fault they are.

The tree decides the outcome of a test (``harness.model.Outcome``) and the exit
code of ``pvhck``::

    HarnessError                        what was found, whose fault, what to do
    +-- ConfigurationError              the person's input: hosts.ini, profile, build, options  -> exit 2
    +-- InfrastructureError             SSH, host, storage, tools of the lab                    -> broken
    |   +-- HostUnreachable             no SSH connection to the host
    |   +-- HostAuthFailed              the host refuses our key or password
    |   +-- HostKeyProblem              the host's key is unknown or has changed
    |   +-- HostBusy                    somebody else has the host, or it is not to be used
    |   +-- CommandFailed               a command on the host failed
    |   +-- CommandTimedOut             a command on the host did not finish in time
    |   +-- OutputNotUnderstood         a parser met text it cannot read
    |   +-- ProvisioningFailed          a clone or a domain could not be made
    |   +-- ToolMissing                 a program the work needs is not there
    +-- GuestError                      the guest, a driver or its speed                        -> failed
    |   +-- GuestCrashed                bugcheck, panic, triple fault
    |   +-- GuestHung                   silent although its host answers
    |   +-- OperationFailed             an operation ran in the guest and reported an error
    +-- ChannelError                    the way to the guest; ``harness.guest.lifecycle`` decides
        +-- GuestUnreachable            no TCP connection, or it broke
        +-- GuestAuthFailed             WinRM refuses the credentials                           -> broken
        +-- ChannelBroken               HTTP 400/413 or an answer that makes no sense
        +-- ShellGone                   the remote shell does not exist any more
        +-- QuotaExceeded               too many shells or operations for this user
        +-- AnswerTimedOut              the request was sent, no answer came in time

A waiting error (``harness.deadline.WaitTimedOut``) belongs to no branch by
itself: what was awaited decides whose fault it is.
"""

from __future__ import annotations

__all__ = [
    "AnswerTimedOut",
    "ChannelBroken",
    "ChannelError",
    "CommandFailed",
    "CommandTimedOut",
    "ConfigurationError",
    "GuestAuthFailed",
    "GuestCrashed",
    "GuestError",
    "GuestGone",
    "GuestHung",
    "GuestUnreachable",
    "HarnessError",
    "HostAuthFailed",
    "HostBusy",
    "HostKeyProblem",
    "HostUnreachable",
    "InfrastructureError",
    "OperationFailed",
    "OutputNotUnderstood",
    "ProvisioningFailed",
    "QuotaExceeded",
    "ShellGone",
    "ToolMissing",
]


class HarnessError(Exception):
    """Something a person has to know: what was found and, where known, the mend.

    ``found`` names the thing and what was seen; ``mend`` is one sentence or a
    command that puts it right, empty when nobody can know it here.
    """

    def __init__(self, found: str, *, mend: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.found} ({self.mend})" if self.mend else self.found


class ConfigurationError(HarnessError):
    """The person's input cannot be used."""


class InfrastructureError(HarnessError):
    """The lab is at fault, not the guest: the test is broken and runs once more."""


class HostUnreachable(InfrastructureError):
    """No SSH connection to the host, or it broke."""


class HostAuthFailed(InfrastructureError):
    """The host refuses our key or password."""


class HostBusy(InfrastructureError):
    """Somebody else has the host, or it is not to be used now."""


class HostKeyProblem(InfrastructureError):
    """The host's key is unknown or differs from the one recorded."""


class CommandFailed(InfrastructureError):
    """A command on the host failed; ``found`` carries its argv, exit code and last words."""


class CommandTimedOut(InfrastructureError):
    """A command on the host did not finish before its deadline."""


class OutputNotUnderstood(InfrastructureError):
    """A parser met text it cannot read; ``text`` is what it was given."""

    def __init__(self, found: str, *, text: str, mend: str = "") -> None:
        super().__init__(f"{found}; the text was: {_excerpt(text)}", mend=mend)
        self.text = text


class ProvisioningFailed(InfrastructureError):
    """A clone or a domain could not be made."""


class ToolMissing(InfrastructureError):
    """A program the work needs is not there."""


class GuestError(HarnessError):
    """The guest, one of its drivers or its speed is at fault: the test failed."""


class GuestCrashed(GuestError):
    """The guest crashed: bugcheck, panic or triple fault."""


class GuestGone(GuestCrashed):
    """Its domain is not there any more, or is another one: it went, and nobody asked it to."""


class GuestHung(GuestError):
    """The guest is silent although its host answers."""


class OperationFailed(GuestError):
    """An operation ran in the guest and reported an error.

    ``kind`` is the module's own word for it (``not-found``, ``access-denied``,
    ``bad-parameter``, ``command-failed``), ``detail`` the guest's text.
    """

    def __init__(self, operation: str, kind: str, detail: str) -> None:
        super().__init__(f"guest operation {operation}: {kind}: {detail}")
        self.operation = operation
        self.kind = kind
        self.detail = detail


class ChannelError(HarnessError):
    """The way to the guest failed; whose fault that is depends on what else is alive."""


class GuestUnreachable(ChannelError):
    """No connection to the guest's WinRM, or it broke."""


class GuestAuthFailed(ChannelError):
    """WinRM refuses the credentials."""


class ChannelBroken(ChannelError):
    """HTTP 400 or 413, or an answer that makes no sense: drop the connection."""


class ShellGone(ChannelError):
    """The remote shell does not exist any more, as after a reboot."""


class QuotaExceeded(ChannelError):
    """Too many shells or operations for this user on the guest."""


class AnswerTimedOut(ChannelError):
    """The request reached the guest, no answer came before the deadline."""


def _excerpt(text: str, limit: int = 400) -> str:
    shown = text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
    return repr(shown)
