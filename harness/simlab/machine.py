"""The seam between a simulated host and the guest in one of its domains.

The host makes a ``Machine`` for each life of a domain (each domid) and hands it to the guest's
``power_on``; from then on each side only knows the other by these two protocols. What a guest keeps over
reboots lies in its system disk: a file that begins with qcow2's magic and whose content is the guest's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from harness.simlab.clock import Clock, Pace
from harness.simlab.host.store import Store

__all__ = ["QCOW2_MAGIC", "Machine", "MachineDisk", "MachineNic", "SimulatedGuest", "StopReason"]

QCOW2_MAGIC = b"QFI\xfb"


class StopReason(StrEnum):
    """Why a guest stops its domain; the letters are those of ``xl list`` (xl_info.c, Xen 4.17)."""

    POWEROFF = "-"
    REBOOT = "r"
    SUSPEND = "s"
    CRASH = "c"


@dataclass(frozen=True)
class MachineDisk:
    """A disk of a domain. ``file`` lies on this machine, None in an empty CD drive.

    ``target`` is the Xen target id (xvda and hda are 0). ``emulated`` disks have a twin that QEMU
    shows until it is unplugged; ``pv`` ones have a vbd front end in xenstore.
    """

    vdev: str
    number: int  # the vbd's number in xenstore: 51712 for xvda, 768 for hda
    target: int
    file: Path | None
    size: int
    emulated: bool
    pv: bool
    cdrom: bool = False
    read_only: bool = False


@dataclass(frozen=True)
class MachineNic:
    """An interface of a domain; ``model`` is the emulated twin's, None for a PV interface alone."""

    index: int
    mac: str
    model: str | None


class Machine(Protocol):
    """The virtual hardware of a domain, as the guest in it finds it. Made by the host. Thread-safe."""

    name: str
    domid: int
    maxmem_kib: int
    videoram_kib: int
    vcpus: int
    store: Store
    clock: Clock
    pace: Pace
    seed: int

    @property
    def paused(self) -> bool:
        """Whether its processors are stopped: nothing a guest does happens meanwhile."""

    @property
    def disks(self) -> tuple[MachineDisk, ...]:
        """Disks plugged in now, by number; emulated twins that were unplugged say ``emulated=False``."""

    @property
    def nics(self) -> tuple[MachineNic, ...]:
        """Interfaces plugged in now; the model is None once the twin was unplugged."""

    @property
    def host_ports(self) -> frozenset[int]:
        """Ports that iperf3 servers listen on at the host now (``harness.simlab.tools.ToolRun.listens``)."""

    def private_folder(self) -> Path:
        """A folder of this machine for the files of the guest on its system disk.

        It stays over reboots and saves, is copied with the disk, and goes with it. Not part of
        the host's file system.
        """

    def lease(self, mac: str) -> str:
        """Ask the host's DHCP server for an address (a loopback address only this interface has)."""

    def console(self, text: str) -> None:
        """Write to the serial port, if it leads anywhere."""

    def hypervisor_line(self, text: str) -> None:
        """A line of the guest's in ``xl dmesg`` (port 0xE9): shown as ``(dN) text``."""

    def set_memory(self, kib: int) -> bool:
        """Give memory back or take it: all the domain has now, video memory included.

        False when there is none to take: the host has no more, or the domain would pass its limit.
        """

    def set_callback(self, *, active: bool) -> None:
        """HVM_PARAM_CALLBACK_IRQ: set once XENBUS is active; ``xl shutdown`` looks at nothing else."""

    def unplug(self, *, disks: bool, nics: bool) -> None:
        """Take emulated twins away until the domain's next life (the unplug protocol, port 0x10)."""

    def stop(self, reason: StopReason) -> None:
        """SCHEDOP_shutdown: the domain has stopped itself. The guest does nothing more after it."""


class SimulatedGuest(Protocol):
    """What runs in a domain, as the host handles it. Calls come from any thread and return at once."""

    def power_on(self, machine: Machine) -> None:
        """Begin to boot on this hardware."""

    def resume(self, machine: Machine) -> None:
        """Go on after a save and restore, on new hardware."""

    def cut(self) -> None:
        """The power is gone (destroy, reset, the end of a life): no clean stop happened now."""

    def pause_changed(self) -> None:
        """``machine.paused`` has another value."""

    def devices_changed(self) -> None:
        """A disk or an interface was plugged in or is being unplugged (backend state 5), or a CD changed."""

    def press_power(self) -> None:
        """The ACPI power button."""

    def nmi(self) -> None:
        """A non-maskable interrupt: Windows writes a dump and crashes (NMICrashDump)."""

    def screen(self) -> bytes:
        """The picture on the screen, as PPM."""
