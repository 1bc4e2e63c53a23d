"""What xl and xm have in common: commands of the same names, whose work is read back from lists.

Exit codes are never the last word (``readback``).
"""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import ClassVar

from harness.errors import CommandFailed
from harness.host.area import home_of
from harness.host.domain import DiskSpec, DomainSpec
from harness.host.toolstack.protocol import (
    BlockDevice,
    DomainInfo,
    HostInfo,
    NetworkDevice,
    NoSuchDomain,
    Trigger,
    VcpuInfo,
)
from harness.host.toolstack.readback import GONE_S, ReadBack
from harness.host.toolstack.tables import (
    parse_block_list,
    parse_info,
    parse_list,
    parse_network_list,
    parse_uptime,
    parse_vcpu_list,
)
from harness.model import CommandResult

__all__ = ["SLOW_S", "CommandToolstack"]

# Seconds before the host's time factor; create, save and restore after osstest's ts-* limits.
_QUICK_S = 30
SLOW_S = 200
_LOG_BYTES = 4096
_DESTROYED = re.compile(r"(Domain (\d{1,9}) has been destroyed\.\n?)")


class CommandToolstack(ReadBack):
    """The shared part of ``Toolstack``. Its own files lie in the run's folder, where a sweep finds them."""

    program: ClassVar[str]
    device_s: ClassVar[float]  # how long plugging in and out may take
    absent: ClassVar[re.Pattern[str]]  # what it says of a domain that is not there

    # -- looking

    def info(self) -> HostInfo:
        """See ``Toolstack.info``."""
        return parse_info(self._read("info"))

    def dmesg(self) -> str:
        """See ``Toolstack.dmesg``."""
        return self._read("dmesg")

    def domains(self) -> tuple[DomainInfo, ...]:
        """See ``Toolstack.domains``."""
        return parse_list(self._read("list"))

    def disks(self, name: str) -> tuple[BlockDevice, ...]:
        """See ``Toolstack.disks``."""
        return parse_block_list(self._read("block-list", name))

    def nics(self, name: str) -> tuple[NetworkDevice, ...]:
        """See ``Toolstack.nics``."""
        return parse_network_list(self._read("network-list", name))

    def vcpus(self, name: str) -> tuple[VcpuInfo, ...]:
        """See ``Toolstack.vcpus``."""
        return parse_vcpu_list(self._read("vcpu-list", name))

    def uptime_s(self, name: str) -> int:
        """See ``Toolstack.uptime_s``."""
        return parse_uptime(self._read("uptime", name), name)

    def taken_away(self, name: str, domid: int) -> bool:
        """See ``Toolstack.taken_away``. What stays for each domain logs its end (xl_vmcontrol.c, 4.17)."""
        log = self._shell.run(["tail", "-c", str(_LOG_BYTES), f"/var/log/xen/{self.program}-{name}.log"])
        ends = _DESTROYED.findall(log.stdout)
        return bool(ends) and log.stdout.endswith(ends[-1][0]) and int(ends[-1][1]) >= domid

    # -- life and death

    def create(self, spec: DomainSpec, *, paused: bool = False) -> DomainInfo:
        """See ``Toolstack.create``."""
        path = self._file(spec.name, ".cfg")
        self._shell.put(self._render(spec).encode(), path)
        try:
            self._change("create", *(["-p"] if paused else []), path, timeout_s=SLOW_S)
        finally:
            self._shell.run(["rm", "-f", path])  # the toolstack keeps its own copy
        return self._required(spec.name)

    def destroy(self, name: str) -> None:
        """See ``Toolstack.destroy``."""
        result = self._shell.run([self.program, "destroy", name], timeout_s=GONE_S)
        if self.absent.search(result.stderr):
            raise NoSuchDomain(f"host {self._host}: {result.describe()}")
        # a domain that is going down by itself makes destroy fail ("Device Model already exited")
        self._gone(name, result)

    def pause(self, name: str) -> None:
        """See ``Toolstack.pause``."""
        self._change("pause", name)
        self._require_paused(name)

    def unpause(self, name: str) -> None:
        """See ``Toolstack.unpause``."""
        self._change("unpause", name)
        self._require_unpaused(name)

    def save(self, name: str, path: str) -> None:
        """See ``Toolstack.save``."""
        result = self._change("save", name, path, timeout_s=SLOW_S)
        self._gone(name, result)

    def restore(self, path: str, *, paused: bool = False) -> None:
        """See ``Toolstack.restore``."""
        self._change("restore", *(["-p"] if paused else []), path, timeout_s=SLOW_S)

    # -- processors and devices

    def set_vcpus(self, name: str, count: int) -> None:
        """See ``Toolstack.set_vcpus``."""
        self._change("vcpu-set", name, str(count))

    def attach_disk(self, name: str, disk: DiskSpec) -> None:
        """See ``Toolstack.attach_disk``."""
        with self._attaching_disk(name, disk.vdev):
            self._change("block-attach", name, *self._disk_words(disk), timeout_s=self.device_s)

    def detach_disk(self, name: str, vdev: str) -> None:
        """See ``Toolstack.detach_disk``."""
        with self._detaching_disk(name, vdev):
            self._change("block-detach", name, vdev, timeout_s=self.device_s)

    def close(self) -> None:  # nothing to end, in neither of them
        """See ``Toolstack.close``: commands hold nothing open."""

    # -- events

    def trigger(self, name: str, trigger: Trigger) -> None:
        """See ``Toolstack.trigger``."""
        self._change("trigger", name, trigger.value)

    # -- what differs

    @abstractmethod
    def _render(self, spec: DomainSpec) -> str:
        """The configuration file."""

    @abstractmethod
    def _disk_words(self, disk: DiskSpec) -> tuple[str, ...]:
        """A disk, as block-attach takes it."""

    def _failed(self, result: CommandResult) -> bool:
        """Whether a command did not do its work, as far as it says."""
        return not result.ok

    # -- for both

    def _read(self, *words: str) -> str:
        return self._checked(
            self._shell.run([self.program, *words], timeout_s=_QUICK_S, repeatable=True)
        ).stdout

    def _change(self, *words: str, timeout_s: float = _QUICK_S) -> CommandResult:
        return self._checked(self._shell.run([self.program, *words], timeout_s=timeout_s))

    def _checked(self, result: CommandResult) -> CommandResult:
        if self.absent.search(result.stderr) and "\n" not in result.stderr.strip():
            raise NoSuchDomain(f"host {self._host}: {result.describe()}")
        if self._failed(result):
            raise CommandFailed(f"host {self._host}: {self._complaint(result)}")
        return result

    def _complaint(self, result: CommandResult) -> str:
        """A failed command for people."""
        return result.describe()

    def _gone(self, name: str, result: CommandResult) -> None:
        listing = f"{self.program} list on host {self._host} after {self.program} {result.argv[1]}"
        self._wait_gone(name, listing=listing, told=result.describe())

    def _require_file(self, path: str) -> None:
        """Some versions take a CD's path for whatever it is, and say nothing."""
        self._shell.check(["ls", path], repeatable=True)

    def _file(self, domain: str, suffix: str) -> str:
        return str(home_of(self._shell, domain) / f"{domain}{suffix}")
