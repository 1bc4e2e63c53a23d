"""libvirt's libxl driver (Xen 4.6 and later) through its port; xl for what that driver lacks.

Domains are made transient: libvirt forgets them when they stop, as xl does. What the driver does not
have, or does not do: lists of devices with their states, triggers, screen dumps, figures of the host; and
``virsh dump`` hangs and takes the whole connection with it (facts/nested-xen.md). All that goes through xl.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from harness.errors import CommandFailed, HostUnreachable
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.numbers import whole_number
from harness.host.ssh import SshShell
from harness.host.toolstack.libvirt_xml import (
    HostPrograms,
    disk_of,
    disk_xml,
    domain_xml,
    nic_of,
    nic_xml,
    parse_xml_description,
)
from harness.host.toolstack.protocol import (
    BlockDevice,
    Description,
    DomainInfo,
    Fallback,
    HostInfo,
    NetworkDevice,
    NoSuchDomain,
    RequestAnswer,
    Trigger,
    VcpuInfo,
)
from harness.host.toolstack.pvsigns import shows_pv
from harness.host.toolstack.readback import ReadBack
from harness.host.toolstack.xl import XlToolstack
from harness.libvirtport import (
    LibvirtCode,
    LibvirtPort,
    LibvirtRefusal,
    PortDomain,
    PortEvent,
    PortState,
    ShutdownMode,
)
from harness.model import ToolstackName, XenVersion

__all__ = ["LibvirtToolstack"]

_T = TypeVar("_T")
_CRASHED = 3  # virDomainShutoffReason
_STARTED, _STOPPED, _DESTROYED = 2, 5, 1  # virDomainEventType, virDomainEventStoppedDetailType


class LibvirtToolstack(ReadBack):
    """``Toolstack`` by libvirt. A connection that was lost is opened anew by the next call.

    ``connect`` opens one; ``programs`` finds out where the host has hvmloader and QEMU.
    """

    name = ToolstackName.LIBVIRT
    restart_gap_s = 0.0

    def __init__(
        self,
        shell: SshShell,
        version: XenVersion,
        *,
        connect: Callable[[], LibvirtPort],
        programs: Callable[[], HostPrograms],
    ) -> None:
        super().__init__(shell, version)
        self._connect = connect
        self._open: LibvirtPort | None = None
        self._events: list[PortEvent] = []
        self._programs = programs
        self._xl = XlToolstack(shell, version)

    # -- looking

    def info(self) -> HostInfo:
        """See ``Toolstack.info``. By xl."""
        return self._xl.info()

    def dmesg(self) -> str:
        """See ``Toolstack.dmesg``. By xl."""
        return self._xl.dmesg()

    def domains(self) -> tuple[DomainInfo, ...]:
        """See ``Toolstack.domains``."""
        return tuple(_info(domain) for domain in self._looked("list", "", lambda port: port.domains()))

    def config(self, name: str) -> Description:
        """See ``Toolstack.config``."""
        return parse_xml_description(self._xml(name), name)

    def disks(self, name: str) -> tuple[BlockDevice, ...]:
        """See ``Toolstack.disks``. By xl."""
        return self._xl.disks(name)

    def nics(self, name: str) -> tuple[NetworkDevice, ...]:
        """See ``Toolstack.nics``. By xl."""
        return self._xl.nics(name)

    def vcpus(self, name: str) -> tuple[VcpuInfo, ...]:
        """See ``Toolstack.vcpus``. By xl."""
        return self._xl.vcpus(name)

    def uptime_s(self, name: str) -> int:
        """See ``Toolstack.uptime_s``. By xl."""
        return self._xl.uptime_s(name)

    # -- life and death

    def create(self, spec: DomainSpec, *, paused: bool = False) -> DomainInfo:
        """See ``Toolstack.create``."""
        xml = domain_xml(spec, self._programs())
        with self._asked("create", spec.name):
            self._port.create(xml, paused=paused)
        return self._required(spec.name)

    def destroy(self, name: str) -> None:
        """See ``Toolstack.destroy``."""
        with self._asked("destroy", name):
            try:
                self._port.destroy(name)
            except LibvirtRefusal as refusal:
                if refusal.code != LibvirtCode.OPERATION_INVALID:  # "domain is not running": it just went
                    raise
        self._gone(name)

    def shutdown(self, name: str, fallback: Fallback = Fallback.NONE) -> RequestAnswer:
        """See ``Toolstack.shutdown``."""
        mode = ShutdownMode.PARAVIRT_OR_ACPI if fallback is Fallback.ACPI else ShutdownMode.PARAVIRT
        return self._request("shutdown", name, lambda: self._port.shutdown(name, mode))

    def reboot(self, name: str, fallback: Fallback = Fallback.NONE) -> RequestAnswer:
        """See ``Toolstack.reboot``. There is no ACPI event for it, so no fallback either."""
        del fallback
        return self._request("reboot", name, lambda: self._port.reboot(name))

    def pause(self, name: str) -> None:
        """See ``Toolstack.pause``."""
        with self._asked("suspend", name):
            self._port.pause(name)
        self._require_paused(name)

    def unpause(self, name: str) -> None:
        """See ``Toolstack.unpause``."""
        with self._asked("resume", name):
            self._port.resume(name)
        self._require_unpaused(name)

    def save(self, name: str, path: str) -> None:
        """See ``Toolstack.save``."""
        with self._asked("save", name):
            self._port.save(name, path)
        self._gone(name)

    def restore(self, path: str, *, paused: bool = False) -> None:
        """See ``Toolstack.restore``."""
        with self._asked("restore", path):
            self._port.restore(path, paused=paused)

    # -- memory and processors

    def set_memory(self, name: str, mib: int) -> int:
        """See ``Toolstack.set_memory``."""
        domid = self._required(name).domid
        with self._asked("mem-set", name):  # the word that xl and xm have for it
            self._port.set_memory(name, mib * 1024)
        return whole_number(self._store.read(f"/local/domain/{domid}/memory/target"), "memory/target")

    def set_vcpus(self, name: str, count: int) -> None:
        """See ``Toolstack.set_vcpus``."""
        with self._asked("setvcpus", name):
            self._port.set_vcpus(name, count)

    # -- devices

    def attach_disk(self, name: str, disk: DiskSpec) -> None:
        """See ``Toolstack.attach_disk``."""
        with self._attaching_disk(name, disk.vdev):
            there = self._shell.run(["ls", disk.path], repeatable=True)
            if not there.ok:  # seen on libvirt 9.0: it takes a path that does not exist, and says nothing
                raise CommandFailed(f"host {self._host}: block-attach to {name}: {there.describe()}")
            with self._asked("block-attach", name):
                self._port.attach(name, disk_xml(disk))

    def detach_disk(self, name: str, vdev: str) -> None:
        """See ``Toolstack.detach_disk``."""
        xml = disk_of(self._xml(name), vdev)
        if xml is None:
            raise CommandFailed(f"host {self._host}: block-detach: {name} has no disk {vdev}")
        with self._detaching_disk(name, vdev), self._asked("block-detach", name):
            self._port.detach(name, xml)

    def attach_nic(self, name: str, nic: NicSpec) -> None:
        """See ``Toolstack.attach_nic``."""

        def plug() -> None:
            with self._asked("network-attach", name):
                self._port.attach(name, nic_xml(nic))

        # seen on libvirt 9.0: rc 1, and the vif is there (facts/nested-xen.md)
        self._plugged(name, nic.mac, plug, lambda: self._xl.detach_nic(name, nic.mac))

    def detach_nic(self, name: str, mac: str) -> None:
        """See ``Toolstack.detach_nic``."""
        xml = nic_of(self._xml(name), mac)
        if xml is None:
            raise CommandFailed(f"host {self._host}: network-detach: {name} has no interface {mac}")
        with self._asked("network-detach", name):
            self._port.detach(name, xml)
        self._unplugged(name, mac)

    def insert_cd(self, name: str, vdev: str, path: str) -> None:
        """See ``Toolstack.insert_cd``. By xl, which knows of a QEMU that dies of it."""
        self._xl.insert_cd(name, vdev, path)

    def eject_cd(self, name: str, vdev: str) -> None:
        """See ``Toolstack.eject_cd``. By xl."""
        self._xl.eject_cd(name, vdev)

    # -- events and evidence

    def trigger(self, name: str, trigger: Trigger) -> None:
        """See ``Toolstack.trigger``. By xl: the driver has none."""
        self._xl.trigger(name, trigger)

    def dump_core(self, name: str, path: str, *, timeout_s: float) -> int:
        """See ``Toolstack.dump_core``. By xl: after a ``virsh dump`` that hangs the whole driver hangs."""
        return self._xl.dump_core(name, path, timeout_s=timeout_s)

    def taken_away(self, name: str, domid: int) -> bool:
        """See ``Toolstack.taken_away``. Of the last life that libvirt tells of: its events have no number."""
        del domid
        ends = [event for event in self.history(name) if event.event in {_STARTED, _STOPPED}]
        return bool(ends) and (ends[-1].event, ends[-1].detail) == (_STOPPED, _DESTROYED)

    def screen_dump(self, name: str) -> bytes:
        """See ``Toolstack.screen_dump``. By xl: the driver has none."""
        return self._xl.screen_dump(name)

    def history(self, name: str) -> tuple[PortEvent, ...]:
        """What libvirt told of a domain since the connection was opened, oldest first: evidence, no more."""
        with self._asked("events"):
            self._events += self._port.events()
        return tuple(event for event in self._events if event.domain == name)

    def close(self) -> None:
        """See ``Toolstack.close``."""
        if self._open is not None:
            opened, self._open = self._open, None
            opened.close()

    # -- inner parts

    @property
    def _port(self) -> LibvirtPort:
        if self._open is None:
            self._open = self._connect()
        return self._open

    @contextmanager
    def _asked(self, verb: str, subject: str = "") -> Iterator[None]:
        """What libvirt says no to, as our error."""
        words = f"host {self._host}: libvirt {verb} {subject}".rstrip()
        try:
            yield
        except LibvirtRefusal as refusal:
            if refusal.code == LibvirtCode.NO_DOMAIN:
                raise NoSuchDomain(f"{words}: {refusal.text}") from refusal
            raise CommandFailed(f"{words}: {refusal.text}") from refusal
        except ConnectionError as error:
            self.close()
            raise HostUnreachable(
                f"{words}: {error}", mend="is libvirtd running there? systemctl restart libvirtd"
            ) from error

    def _request(self, verb: str, name: str, ask: Callable[[], None]) -> RequestAnswer:
        started = time.monotonic()
        with self._asked(verb, name):
            try:
                ask()
            except LibvirtRefusal as refusal:
                # without PV drivers it says next to nothing: no code for a shutdown, an internal error for
                # a reboot (recorded: stand-in-libvirt-9.0/lv417-nopv-shutdown-paravirt, lv417-nopv-reboot)
                blank = refusal.code in {LibvirtCode.NONE, LibvirtCode.INTERNAL_ERROR}
                if not blank or shows_pv(self._store, self._required(name).domid):
                    raise
                return RequestAnswer(refused=True, text=refusal.text, duration_s=time.monotonic() - started)
        return RequestAnswer(refused=False, text="", duration_s=time.monotonic() - started)

    def _looked(self, verb: str, subject: str, look: Callable[[LibvirtPort], _T]) -> _T:
        """Ask for what changes nothing: when the connection is lost meanwhile, once more."""
        try:
            with self._asked(verb, subject):
                return look(self._port)
        except HostUnreachable:
            with self._asked(verb, subject):
                return look(self._port)

    def _xml(self, name: str) -> str:
        return self._looked("dumpxml", name, lambda port: port.xml(name))

    def _gone(self, name: str) -> None:
        self._wait_gone(name, listing=f"libvirt's list on host {self._host}")


def _info(domain: PortDomain) -> DomainInfo:
    crashed = domain.state == PortState.CRASHED or (
        domain.state == PortState.SHUTOFF and domain.reason == _CRASHED
    )
    return DomainInfo(
        name=domain.name,
        domid=domain.id,
        memory_mib=domain.memory // 1024,
        vcpus=domain.vcpus,
        running=domain.state == PortState.RUNNING,
        blocked=domain.state == PortState.BLOCKED,
        paused=domain.state == PortState.PAUSED,
        shutdown=domain.state in {PortState.SHUTDOWN, PortState.SHUTOFF, PortState.CRASHED},
        dying=False,
        reason="c" if crashed else "",
        cpu_s=domain.cpu_ns / 1e9,
    )
