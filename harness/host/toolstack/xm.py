"""xm and xend (Xen 3.4 and 4.0, and 4.1 to 4.4 where xend runs) over a host's shell.

None of this has met a real xend: there is none to be had. It was read from tools/python/xen of
3.4.0-rc3 and stable-4.0, and runs against the simulated lab only.

``xm shutdown`` has two edges: a guest without PV drivers loses its power at once, and the exit code
is 0 (xend/XendDomainInfo.py, ``shutdown``). So it is only used on guests whose PV drivers show.
"""

from __future__ import annotations

import re

from harness.errors import CommandFailed
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.numbers import whole_number
from harness.host.toolstack.command import CommandToolstack
from harness.host.toolstack.legacy_disk import legacy_words
from harness.host.toolstack.protocol import (
    BlockDevice,
    Description,
    Fallback,
    NetworkDevice,
    RequestAnswer,
    Trigger,
    Unsupported,
)
from harness.host.toolstack.pvsigns import shows_pv
from harness.host.toolstack.tables import parse_block_list, parse_network_list, parse_sxp_description
from harness.host.toolstack.xm_config import nic_words, render
from harness.model import CommandResult, ToolstackName

__all__ = ["XmToolstack"]


class XmToolstack(CommandToolstack):
    """``Toolstack`` by xm."""

    name = ToolstackName.XM
    program = "xm"
    device_s = 120.0  # xend waits 100 s for hotplug scripts and for devices to go (server/DevController.py)
    absent = re.compile(r"omain '.*' does not exist")
    restart_gap_s = 60.0  # MINIMUM_RESTART_TIME (xend/XendConstants.py): else "restarting too fast"

    # -- looking

    def config(self, name: str) -> Description:
        """See ``Toolstack.config``."""
        return parse_sxp_description(self._read("list", "--long", name), name)

    def disks(self, name: str) -> tuple[BlockDevice, ...]:
        """See ``Toolstack.disks``. Where there are none there is no header either."""
        text = self._read("block-list", name)
        return parse_block_list(text) if text.strip() else ()

    def nics(self, name: str) -> tuple[NetworkDevice, ...]:
        """See ``Toolstack.nics``. Where there are none there is no header either."""
        text = self._read("network-list", name)
        return parse_network_list(text) if text.strip() else ()

    # -- requests

    def shutdown(self, name: str, fallback: Fallback = Fallback.NONE) -> RequestAnswer:
        """See ``Toolstack.shutdown``. A guest that shows no PV drivers is not asked: xend would kill it."""
        if self._shows_pv(name):
            return _answer(self._change("shutdown", name))
        if fallback is Fallback.ACPI:
            return _answer(self._change("trigger", name, Trigger.POWER.value))
        return _refusal(name)

    def reboot(self, name: str, fallback: Fallback = Fallback.NONE) -> RequestAnswer:
        """See ``Toolstack.reboot``. There is no ACPI event for it, so no fallback either."""
        del fallback
        return _answer(self._change("reboot", name)) if self._shows_pv(name) else _refusal(name)

    # -- memory

    def set_memory(self, name: str, mib: int) -> int:
        """See ``Toolstack.set_memory``.

        ``memory/static-max`` is written first: XENBUS' balloon does not move without it, and xend
        never writes it (facts/pv-drivers.md 3).
        """
        folder = f"/local/domain/{self._required(name).domid}/memory"
        if self._store.find(f"{folder}/static-max") is None:
            self._store.write(f"{folder}/static-max", str(self.config(name).max_memory_mib * 1024))
        self._change("mem-set", name, str(mib))
        return whole_number(self._store.read(f"{folder}/target"), "memory/target")

    # -- devices

    def attach_nic(self, name: str, nic: NicSpec) -> None:
        """See ``Toolstack.attach_nic``."""
        self._plugged(
            name,
            nic.mac,
            lambda: self._change("network-attach", name, *nic_words(nic), timeout_s=self.device_s),
            lambda: self._change(
                "network-detach", name, self._index_of(name, nic.mac), "-f", timeout_s=self.device_s
            ),
        )

    def detach_nic(self, name: str, mac: str) -> None:
        """See ``Toolstack.detach_nic``. By number: 3.4 knows no other way."""
        self._change("network-detach", name, self._index_of(name, mac), timeout_s=self.device_s)
        self._unplugged(name, mac)

    def insert_cd(self, name: str, vdev: str, path: str) -> None:
        """See ``Toolstack.insert_cd``."""
        self._required(name)
        self._require_file(path)
        self._change("block-configure", name, *legacy_words(DiskSpec(path, vdev, cdrom=True)))

    def eject_cd(self, name: str, vdev: str) -> None:
        """See ``Toolstack.eject_cd``."""
        self._change("block-configure", name, *legacy_words(DiskSpec("", vdev, cdrom=True)))

    # -- evidence

    def dump_core(self, name: str, path: str, *, timeout_s: float) -> int:
        """See ``Toolstack.dump_core``. The domain is paused meanwhile (xend/XendDomain.py)."""
        self._change("dump-core", name, path, timeout_s=timeout_s)
        size = self._shell.check(["stat", "-c", "%s", path], repeatable=True)
        return whole_number(size, "the size of a dump")

    def screen_dump(self, name: str) -> bytes:
        """See ``Toolstack.screen_dump``: xend has no way."""
        self._required(name)
        raise Unsupported(
            f"host {self._host}: xm cannot ask the device model for the screen", mend="look by VNC"
        )

    # -- inner parts

    def _render(self, spec: DomainSpec) -> str:
        return render(spec, self.version)

    def _disk_words(self, disk: DiskSpec) -> tuple[str, ...]:
        return legacy_words(disk)

    def _shows_pv(self, name: str) -> bool:
        return shows_pv(self._store, self._required(name).domid)

    def _index_of(self, name: str, mac: str) -> str:
        for device in self.nics(name):
            if device.mac == mac.lower():
                return str(device.index)
        raise CommandFailed(f"host {self._host}: network-detach: {name} has no interface {mac}")


def _answer(result: CommandResult) -> RequestAnswer:
    return RequestAnswer(refused=False, text=result.stdout + result.stderr, duration_s=result.duration_s)


def _refusal(name: str) -> RequestAnswer:
    words = f"{name} shows no PV drivers: xend would take its power away and exit with 0"
    return RequestAnswer(refused=True, text=words, duration_s=0.0)
