"""Disks and interfaces of a domain: put in and taken out, as libxl does it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.simlab.host.domain import Domain, DomainDisk, DomainNic
from harness.simlab.host.layout import DiskPaths, NicPaths, disk_nodes, nic_nodes
from harness.simlab.host.vdev import Vdev
from harness.simlab.host.xend_layout import xend_disk_nodes, xend_nic_nodes
from harness.simlab.xl.config import DiskConfig, NicConfig

if TYPE_CHECKING:
    from harness.simlab.host.simhost import SimHost

__all__ = ["Plug"]

_CLOSING, _CLOSED = "5", "6"


class Plug:
    """Plugs devices into the domains of one host."""

    def __init__(self, host: SimHost) -> None:
        self._host = host

    # -- disks

    def add_disk(self, domain: Domain, config: DiskConfig, vdev: Vdev, *, at_boot: bool) -> None:
        """Put a disk in. Its file is there; only disks a domain is made with are emulated too."""
        host = self._host
        # raw files go through a loop device, QEMU serves all else: xen-4.17/xenstore-ls-f-backend-2disks.txt
        raw = bool(config.path) and config.image_format == "raw" and not config.cdrom
        device = raw and config.path.startswith("/dev/")
        kind = "vbd" if raw or (host.xend and config.image_format == "raw") else host.image_backend
        paths = DiskPaths(domain.domid, vdev.number, kind)
        loop = host.loops.attach(config.path) if raw and not device else ""
        disk = DomainDisk(config, vdev, paths, at_boot and vdev.can_emulate, loop)
        size = host.files.images.of(host.files.real(config.path)).virtual_size if config.path else 0
        detail = {
            "params": config.path if kind == "vbd" else _params(config),
            "domain": domain.name,
            "mode": "r" if config.read_only else "w",
            "device-type": "cdrom" if config.cdrom else "disk",
            "node": loop,
            "physical-device": f"7:{loop.removeprefix('/dev/loop')}"
            if loop
            else host.volumes.number_of(config.path),
        }
        with host.hypervisor.lock:
            domain.disks[vdev.number] = disk
        nodes = xend_disk_nodes if host.xend else disk_nodes
        for path, value, permissions in nodes(paths, vdev.name, size, detail):
            host.store.put(path, value, permissions)

    def drop_disk(self, domain: Domain, disk: DomainDisk) -> None:
        """Take a disk away for good."""
        with self._host.hypervisor.lock:
            domain.disks.pop(disk.vdev.number, None)
        self._host.loops.detach(disk.loop)
        self._forget(disk.paths)

    def change_cd(self, domain: Domain, disk: DomainDisk, path: str) -> None:
        """Another disc in a drive, or none."""
        config = replace(disk.config, path=path)
        with self._host.hypervisor.lock:
            domain.disks[disk.vdev.number] = replace(disk, config=config)
        params = config.path if self._host.xend else _params(config)
        for folder in (disk.paths.backend,) if self._host.xend else (disk.paths.backend, disk.paths.libxl):
            self._host.store.write(f"{folder}/params", params)
        if domain.guest is not None:
            domain.guest.devices_changed()

    # -- interfaces

    def add_nic(self, domain: Domain, config: NicConfig, index: int, *, at_boot: bool) -> DomainNic:
        """Put an interface in; one that comes later has no emulated twin."""
        paths = NicPaths(domain.domid, index)
        nic = DomainNic(config, index, paths, at_boot and config.model is not None)
        with self._host.hypervisor.lock:
            domain.nics[index] = nic
        nodes = (
            xend_nic_nodes(paths, config.mac, config.bridge, domain=domain.name)
            if self._host.xend
            else nic_nodes(paths, config.mac, config.bridge, emulated=config.model is not None)
        )
        for path, value, permissions in nodes:
            self._host.store.put(path, value, permissions)
        self._host.strays.plugged(domain.domid, index)
        return nic

    def drop_nic(self, domain: Domain, nic: DomainNic) -> None:
        """Take an interface away for good."""
        with self._host.hypervisor.lock:
            domain.nics.pop(nic.index, None)
        self._host.strays.unplugged(domain.domid, nic.index)
        self._forget(nic.paths)

    # -- both

    def announce(self, domain: Domain) -> None:
        """Tell the guest that something was plugged in or is being unplugged."""
        if domain.guest is not None and domain.started:
            domain.guest.devices_changed()

    def close(self, domain: Domain, paths: DiskPaths | NicPaths) -> bool:
        """Ask for a device back and wait; gives whether the guest has let go of it in time.

        libxl_device.c: online 0, state Closing, then ten seconds for Closed.
        """
        host, state = self._host, f"{paths.backend}/state"
        watch = host.store.watch(state)
        try:
            host.store.write(f"{paths.backend}/online", "0")
            if host.store.get(state) != _CLOSED:
                host.store.write(state, _CLOSING)
            if not domain.runs and isinstance(paths, DiskPaths) and paths.kind == "qdisk":
                return True  # QEMU's disk of a stopped domain is just closed (LIBXL_QEMU_BODGE_TIMEOUT)
            self.announce(domain)
            limit = host.pace.of(host.pace.unplug_without_driver)
            return watch.until(lambda: host.store.get(state) in {_CLOSED, ""}, limit)
        finally:
            host.store.unwatch(watch)

    def _forget(self, paths: DiskPaths | NicPaths) -> None:
        for path in (paths.frontend, paths.backend, paths.libxl):
            if self._host.store.exists(path):
                self._host.store.remove(path)


def _params(config: DiskConfig) -> str:
    if not config.path:
        return ""
    image_format = "aio" if config.image_format == "raw" else config.image_format
    return f"{image_format}:{config.path}"
