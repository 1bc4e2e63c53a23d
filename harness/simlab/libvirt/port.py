"""``LibvirtPort`` of a simulated host: libxl as libvirt drives it. Refusals are those that were recorded."""

from __future__ import annotations

from harness.libvirtport import LibvirtCode, LibvirtRefusal, PortDomain, PortEvent, PortState, ShutdownMode
from harness.simlab.host.domain import Domain
from harness.simlab.host.hypervisor import DOM0_KIB, DOM0_VCPUS
from harness.simlab.host.vdev import parse_vdev
from harness.simlab.libvirt.xml import XmlError, parse_device, parse_domain, show_domain
from harness.simlab.machine import StopReason
from harness.simlab.shell.process import CommandError, Process
from harness.simlab.xl.config import DiskConfig, NicConfig
from harness.simlab.xl.create import build_domain, disk_problem
from harness.simlab.xl.life import request_stop
from harness.simlab.xl.saving import read_token, suspend, write_saved

__all__ = ["SimulatedPort"]

_MAGIC = "libvirt-xml\n \0 \r"  # libxl_conf.h; what follows is ours
_SHUT_DOWN, _CRASHED = 1, 3  # virDomainShutoffReason
_UNKNOWN = "An error occurred, but the cause is unknown"


class SimulatedPort:
    """One call's view of the host: made anew for each."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._host = process.host

    def version(self) -> int:
        """See ``LibvirtPort.version``."""
        return self._host.version.major * 1_000_000 + self._host.version.minor * 1000

    def domains(self) -> tuple[PortDomain, ...]:
        """See ``LibvirtPort.domains``."""
        cpu = int(self._host.hypervisor.pass_cpu_time() * 1e9)
        dom0 = PortDomain("Domain-0", 0, PortState.RUNNING, 0, DOM0_KIB, DOM0_KIB, DOM0_VCPUS, cpu)
        return (dom0, *(_shown(domain) for domain in self._host.hypervisor.domains()))

    def xml(self, name: str) -> str:
        """See ``LibvirtPort.xml``."""
        return show_domain(self._find(name))

    def create(self, xml: str, *, paused: bool) -> None:
        """See ``LibvirtPort.create``."""
        try:
            config = parse_domain(xml, self._host.random_bytes(16))
        except XmlError as error:
            raise LibvirtRefusal(LibvirtCode.INVALID_ARG, str(error)) from error
        if self._host.hypervisor.find(config.name) is not None or config.name == "Domain-0":
            # a guess at the words
            text = f"operation failed: domain '{config.name}' already exists"
            raise LibvirtRefusal(LibvirtCode.OPERATION_FAILED, text)
        make = self._host.lifecycle.create
        try:
            domain = build_domain(self._process, config, lambda domid: make(config, domid))
        except CommandError as error:
            text = f"internal error: libxenlight failed to create new domain '{config.name}'"
            raise LibvirtRefusal(LibvirtCode.INTERNAL_ERROR, text) from error
        if not paused:
            self._host.lifecycle.unpause(domain)

    def destroy(self, name: str) -> None:
        """See ``LibvirtPort.destroy``."""
        self._host.lifecycle.destroy(self._find(name))

    def shutdown(self, name: str, mode: ShutdownMode) -> None:
        """See ``LibvirtPort.shutdown``."""
        domain = self._running(name)
        if domain.callback and mode is not ShutdownMode.ACPI:
            self._request(domain, "poweroff", "shutdown")
        elif mode is ShutdownMode.PARAVIRT:
            # recorded: stand-in-libvirt-9.0/lv417-nopv-shutdown-paravirt.txt
            raise LibvirtRefusal(LibvirtCode.NONE, _UNKNOWN)
        elif domain.guest is not None and domain.started:
            domain.guest.press_power()

    def reboot(self, name: str) -> None:
        """See ``LibvirtPort.reboot``."""
        domain = self._running(name)
        if not domain.callback:
            # recorded: stand-in-libvirt-9.0/lv417-nopv-reboot.txt
            raise self._internal(f"Failed to reboot domain '{domain.domid}' with libxenlight")
        self._request(domain, "reboot", "reboot")

    def pause(self, name: str) -> None:
        """See ``LibvirtPort.pause``. It looks at the state first, so pauses are not counted."""
        domain = self._running(name)
        if not domain.paused:
            self._host.lifecycle.pause(domain)

    def resume(self, name: str) -> None:
        """See ``LibvirtPort.resume``."""
        self._host.lifecycle.unpause(self._running(name))

    def set_memory(self, name: str, kib: int) -> None:
        """See ``LibvirtPort.set_memory``."""
        domain = self._running(name)
        if kib > domain.maxmem:
            # as recorded in libvirt-9.0-xen-4.17/err-virsh-setmem-over.txt
            text = "invalid argument: cannot set memory higher than max memory"
            raise LibvirtRefusal(LibvirtCode.INVALID_ARG, text)
        with self._host.hypervisor.lock:
            domain.limit = kib
        self._host.store.write(f"{domain.root}/memory/target", str(max(kib - domain.videoram, 0)))

    def set_vcpus(self, name: str, count: int) -> None:
        """See ``LibvirtPort.set_vcpus``."""
        domain = self._running(name)
        if not 1 <= count <= domain.config.vcpus:
            text = f"invalid argument: requested vcpus is greater than max allowable vcpus: {count}"
            raise LibvirtRefusal(LibvirtCode.INVALID_ARG, text)
        self._host.lifecycle.set_online(domain, count)

    def save(self, name: str, path: str) -> None:
        """See ``LibvirtPort.save``."""
        domain = self._running(name)
        if domain.paused:
            # facts/xen-peers.md 2.6: "rejects paused domain"
            text = f"Domain '{domain.domid}' has to be running because libxenlight will suspend it"
            raise LibvirtRefusal(LibvirtCode.OPERATION_INVALID, text)
        if not suspend(self._process, domain):
            raise self._internal(f"Failed to save domain '{domain.domid}' with libxenlight")
        try:
            write_saved(self._process, domain, path, _MAGIC)
        except OSError as error:
            self._host.lifecycle.resume(domain)
            text = f"Failed to create domain save file '{path}': {error.strerror}"
            raise LibvirtRefusal(LibvirtCode.OPERATION_FAILED, text) from error

    def restore(self, path: str, *, paused: bool) -> None:
        """See ``LibvirtPort.restore``."""
        token = read_token(self._process, path, _MAGIC)
        saved = self._host.lifecycle.saved(token) if token is not None else None
        if saved is None:
            text = f"Failed to open domain image file '{path}'"
            raise LibvirtRefusal(LibvirtCode.OPERATION_FAILED, text)
        with self._host.hypervisor.lock:
            domain = self._host.lifecycle.restore(token or "", self._host.hypervisor.new_domid())
        self._host.lifecycle.wake(domain, paused=paused)

    def attach(self, name: str, xml: str) -> None:
        """See ``LibvirtPort.attach``."""
        domain, device = self._running(name), parse_device(xml)
        if isinstance(device, DiskConfig):
            self._attach_disk(domain, device)
        else:
            self._attach_nic(domain, device)

    def detach(self, name: str, xml: str) -> None:
        """See ``LibvirtPort.detach``. A guest that keeps it loses it all the same."""
        domain, device = self._running(name), parse_device(xml)
        if isinstance(device, DiskConfig):
            vdev = parse_vdev(device.vdev)
            disk = domain.disks.get(vdev.number) if vdev else None
            if disk is None:
                raise LibvirtRefusal(LibvirtCode.OPERATION_FAILED, f"disk {device.vdev} not found")
            self._host.plug.close(domain, disk.paths)
            self._host.plug.drop_disk(domain, disk)
        else:
            nic = next((nic for nic in domain.nics.values() if nic.config.mac == device.mac), None)
            if nic is None:
                text = f"no device matching MAC address {device.mac}"
                raise LibvirtRefusal(LibvirtCode.OPERATION_FAILED, text)
            self._host.plug.close(domain, nic.paths)
            self._host.plug.drop_nic(domain, nic)
        self._host.plug.announce(domain)

    def events(self) -> tuple[PortEvent, ...]:
        """See ``LibvirtPort.events``. Each call is a connection of its own: it has seen nothing yet."""
        return ()

    def close(self) -> None:
        """See ``LibvirtPort.close``."""

    # -- inner parts

    def _attach_disk(self, domain: Domain, disk: DiskConfig) -> None:
        vdev = parse_vdev(disk.vdev)
        if vdev is None or disk_problem(self._process, disk):
            raise self._internal(f"libxenlight failed to attach disk '{disk.vdev}'")
        if vdev.number in domain.disks:
            raise LibvirtRefusal(
                LibvirtCode.OPERATION_FAILED, f"operation failed: target {disk.vdev} already exists"
            )
        self._host.plug.add_disk(domain, disk, vdev, at_boot=False)
        self._host.plug.announce(domain)

    def _attach_nic(self, domain: Domain, nic: NicConfig) -> None:
        index = max(domain.nics, default=-1) + 1
        self._host.plug.add_nic(domain, nic, index, at_boot=False)
        if nic.bridge not in self._host.bridges or nic.model is not None:
            # recorded: stand-in-libvirt-9.0/lv417-all-attach-interface.txt; the vif is left behind
            raise self._internal("libxenlight failed to attach network device")
        self._host.plug.announce(domain)

    def _request(self, domain: Domain, request: str, verb: str) -> None:
        if not request_stop(self._process, domain, request):
            raise self._internal(f"Failed to {verb} domain '{domain.domid}' with libxenlight")

    def _find(self, name: str) -> Domain:
        domain = self._host.hypervisor.find(name) if not name.isdigit() else None
        if domain is None:
            raise LibvirtRefusal(
                LibvirtCode.NO_DOMAIN, f"Domain not found: no domain with matching name '{name}'"
            )
        return domain

    def _running(self, name: str) -> Domain:
        domain = self._find(name)
        if domain.shutdown not in {None, StopReason.CRASH}:
            text = "Requested operation is not valid: domain is not running"
            raise LibvirtRefusal(LibvirtCode.OPERATION_INVALID, text)
        return domain

    @staticmethod
    def _internal(text: str) -> LibvirtRefusal:
        return LibvirtRefusal(LibvirtCode.INTERNAL_ERROR, f"internal error: {text}")


def _shown(domain: Domain) -> PortDomain:
    """A domain that has stopped is shut off, with its number still there, until it is gone."""
    state, reason = PortState.RUNNING, 1
    if domain.shutdown is not None:
        state = PortState.SHUTOFF
        reason = _CRASHED if domain.shutdown is StopReason.CRASH else _SHUT_DOWN
    elif domain.paused:
        state = PortState.PAUSED
    return PortDomain(
        domain.name, domain.domid, state, reason, domain.maxmem, domain.memory, domain.online,
        int(domain.cpu_s * 1e9),
    )  # fmt: skip
