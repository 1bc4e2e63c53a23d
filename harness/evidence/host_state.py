"""How a host itself is: commands whose answer is kept as it is, under the words that gave it.

Which ones: facts/xen-peers.md 2.5 (osstest's ts-logs-capture). Its debug keys are left out: Xen stands
still while it writes their answer to a serial console.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from harness.deadline import Deadline
from harness.errors import CommandFailed
from harness.evidence.collector import Collector, Put, Scene, Side
from harness.model import ToolstackName

__all__ = ["STATE_COLLECTORS", "Look"]

_ONLY_XM = (ToolstackName.XM,)
_NOT_XM = (ToolstackName.XL, ToolstackName.LIBVIRT)
_ANY = tuple(ToolstackName)
_VCPUS = "guest-vcpus.txt"


@dataclass(frozen=True)
class Look:
    """A command that changes nothing, where it is asked, and the file that keeps its answer."""

    file: str
    argv: tuple[str, ...]
    toolstacks: tuple[ToolstackName, ...] = _ANY


_LOOKS = (
    Look("state-info.txt", ("xl", "info", "-n"), _NOT_XM),
    Look("state-domains.txt", ("xl", "list", "-l"), _NOT_XM),
    Look("state-vcpus.txt", ("xl", "vcpu-list"), _NOT_XM),
    Look("state-info.txt", ("xm", "info"), _ONLY_XM),
    Look("state-domains.txt", ("xm", "list", "--long"), _ONLY_XM),
    Look("state-vcpus.txt", ("xm", "vcpu-list"), _ONLY_XM),
    Look(
        "state-capabilities.txt", ("virsh", "-c", "xen:///system", "capabilities"), (ToolstackName.LIBVIRT,)
    ),
    Look("state-xenstore.txt", ("xenstore-ls", "-f", "-p")),
    Look("state-processes.txt", ("ps", "-eo", "pid,ppid,stat,etime,time,pcpu,pmem,wchan:25,args")),
    Look("state-links.txt", ("ip", "-d", "addr")),
    Look("state-routes.txt", ("ip", "route")),
    Look("state-bridges.txt", ("brctl", "show")),
    Look("state-volumes.txt", ("lvs",)),
    Look("state-loops.txt", ("losetup", "-a")),
    Look("state-space.txt", ("df", "-Pk")),
    Look("state-partitions.txt", ("cat", "/proc/partitions")),
    Look("state-memory.txt", ("cat", "/proc/meminfo")),
    Look("state-processors.txt", ("cat", "/proc/cpuinfo")),
    Look("state-modules.txt", ("cat", "/proc/modules")),
    Look("state-pci.txt", ("lspci", "-v")),
    Look("state-cores.txt", ("ls", "-l", "/var/core", "/var/lib/xen", "/var/lib/xen/dump", "/tmp")),  # noqa: S108
    Look("state-journal.txt", ("journalctl", "-n", "2000", "--no-pager")),
)

# Logs of the host that are no domain's: name here, path there.
_LOGS = (
    ("log-kern.txt", "/var/log/kern.log"),
    ("log-syslog.txt", "/var/log/syslog"),
    ("log-messages.txt", "/var/log/messages"),
    ("log-daemon.txt", "/var/log/daemon.log"),
    ("log-hotplug.txt", "/var/log/xen/xen-hotplug.log"),
    ("log-xend-debug.txt", "/var/log/xen/xend-debug.log"),
    ("log-domain-builder.txt", "/var/log/xen/domain-builder-ng.log"),
    ("log-xenstored.txt", "/var/log/xenstored.log"),
    ("log-hypervisor.txt", "/var/log/xen/console/hypervisor.log"),
    ("log-libvirtd.txt", "/var/log/libvirt/libvirtd.log"),
    ("log-libxl.txt", "/var/log/libvirt/libxl/libxl-driver.log"),
)


def _answer(look: Look, scene: Scene, deadline: Deadline, put: Put) -> None:
    if scene.host.toolstack.name not in look.toolstacks:
        return
    result = scene.run(look.argv, deadline)
    if result.not_found:
        raise CommandFailed(f"host {scene.host.name} has no {look.argv[0]}")
    ended = f" (ended with {result.rc})" if result.rc else ""
    put(look.file, f"$ {shlex.join(look.argv)}{ended}\n{result.stdout}{result.stderr}")


def _logs(scene: Scene, deadline: Deadline, put: Put) -> None:
    scene.tails(_LOGS, deadline, put)


def _vcpus(scene: Scene, deadline: Deadline, put: Put) -> None:
    """Registers of a domain's processors, twice: where both are the same, it stands still."""
    program, domain = scene.host.private_program("xenctx"), scene.host.toolstack.find(scene.domain)
    if not program or domain is None:
        raise CommandFailed(
            f"host {scene.host.name} has no {'xenctx' if domain else f'domain {scene.domain}'}"
        )
    words = [program, "-C", str(domain.domid)]
    looks = [scene.run(words, deadline) for _ in range(2)]
    put(_VCPUS, "".join(f"$ {shlex.join(words)}\n{look.stdout}{look.stderr}" for look in looks))


STATE_COLLECTORS: Iterable[Collector] = (
    Collector("processors of the guest", Side.HOST, _vcpus),
    *(
        Collector(shlex.join(look.argv), Side.HOST, partial(_answer, look), of_domain=False)
        for look in _LOOKS
    ),
    Collector("host logs", Side.HOST, _logs, of_domain=False),
)
