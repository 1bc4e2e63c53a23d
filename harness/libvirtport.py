"""The narrow port behind which libvirt lies: what the toolstack asks of it, in libvirt's own numbers.

Three things stand behind it: libvirt-python (``harness.host.toolstack.libvirt_binding``), the simulated
lab, and, as a test of the binding alone, libvirt's own ``test:///default``. States, reasons and error codes
are those of libvirt's headers (include/libvirt/libvirt-domain.h, virterror.h, libvirt 9.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Protocol

__all__ = [
    "LibvirtCode",
    "LibvirtPort",
    "LibvirtRefusal",
    "PortDomain",
    "PortEvent",
    "PortState",
    "ShutdownMode",
]


class PortState(IntEnum):
    """virDomainState."""

    NOSTATE = 0
    RUNNING = 1
    BLOCKED = 2
    PAUSED = 3
    SHUTDOWN = 4
    SHUTOFF = 5
    CRASHED = 6
    PMSUSPENDED = 7


class LibvirtCode(IntEnum):
    """virErrorNumber, as far as somebody asks. ``NONE``: a call failed and libvirt does not say why."""

    NONE = 0
    INTERNAL_ERROR = 1
    NO_SUPPORT = 3
    INVALID_ARG = 8
    OPERATION_FAILED = 9
    NO_DOMAIN = 42
    OPERATION_INVALID = 55
    ARGUMENT_UNSUPPORTED = 74
    OPERATION_UNSUPPORTED = 84


class ShutdownMode(StrEnum):
    """How a guest is asked to stop (virDomainShutdownFlagValues)."""

    PARAVIRT = "paravirt"
    ACPI = "acpi"
    PARAVIRT_OR_ACPI = "paravirt-or-acpi"


class LibvirtRefusal(Exception):  # it is no fault yet: the toolstack decides whose it is
    """libvirt says no."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True)
class PortDomain:
    """A domain. ``id`` is -1 for one that is defined and does not run; memory in KiB.

    ``reason`` belongs to the state: of ``SHUTOFF`` 3 is crashed, 1 shut down.
    """

    name: str
    id: int
    state: int
    reason: int
    max_memory: int
    memory: int
    vcpus: int
    cpu_ns: int


@dataclass(frozen=True)
class PortEvent:
    """A lifecycle event: virDomainEventType and its detail.

    Never the last word: during a reboot Started comes before Stopped (facts/nested-xen.md).
    """

    domain: str
    event: int
    detail: int
    at: float  # time.time() when it arrived


class LibvirtPort(Protocol):
    """One connection. Every method may raise ``LibvirtRefusal``; it is gone or hung: ``ConnectionError``."""

    def version(self) -> int:
        """The hypervisor's version as libvirt counts: 4017000 for 4.17.0."""

    def domains(self) -> tuple[PortDomain, ...]:
        """All that run, dom0 first."""

    def xml(self, name: str) -> str:
        """The full description of a domain that runs."""

    def create(self, xml: str, *, paused: bool) -> None:
        """Make and start a domain that is gone once it has stopped."""

    def destroy(self, name: str) -> None:
        """Take it away at once."""

    def shutdown(self, name: str, mode: ShutdownMode) -> None:
        """Ask the guest to stop."""

    def reboot(self, name: str) -> None:
        """Ask the guest, through its PV drivers, to reboot."""

    def pause(self, name: str) -> None:
        """Stop its processors (virDomainSuspend)."""

    def resume(self, name: str) -> None:
        """Let them run (virDomainResume)."""

    def set_memory(self, name: str, kib: int) -> None:
        """Set the memory target of a domain that runs."""

    def set_vcpus(self, name: str, count: int) -> None:
        """Set the number of processors on line."""

    def save(self, name: str, path: str) -> None:
        """Save it to a file of the host; it is gone afterwards."""

    def restore(self, path: str, *, paused: bool) -> None:
        """Bring it back."""

    def attach(self, name: str, xml: str) -> None:
        """Plug a device into a domain that runs."""

    def detach(self, name: str, xml: str) -> None:
        """Unplug one."""

    def events(self) -> tuple[PortEvent, ...]:
        """Lifecycle events since this was last asked; the connection gathers them from its beginning."""

    def close(self) -> None:
        """End the connection."""
