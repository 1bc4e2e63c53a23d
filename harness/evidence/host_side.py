"""What hosts tell of a domain. Which files: facts/xen-peers.md 2.5 (osstest), pv-drivers.md 7."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from harness.deadline import Deadline
from harness.errors import CommandFailed
from harness.evidence.collector import Collector, Put, Scene, Side
from harness.evidence.host_state import STATE_COLLECTORS
from harness.evidence.picture import ppm_to_png
from harness.host.toolstack.libvirt import LibvirtToolstack
from harness.host.toolstack.protocol import DomainInfo, NoSuchDomain
from harness.libvirtport import PortEvent

__all__ = ["HOST_COLLECTORS", "backends", "store_of"]

# In the order of virDomainEventType in libvirt-domain.h.
_EVENTS = (
    "defined",
    "undefined",
    "started",
    "suspended",
    "resumed",
    "stopped",
    "shut down",
    "suspended by power management",
    "crashed",
)
_BACKEND = re.compile(
    r'^/local/domain/\d+/(?:device|console)\S*/backend = "(/local/domain/[^"\s]+)"', re.MULTILINE
)


def backends(tree: str) -> tuple[str, ...]:
    """Paths of a domain's back ends, from its subtree as ``xenstore-ls -f`` shows it, each once."""
    return tuple(dict.fromkeys(_BACKEND.findall(tree)))


def _screen(scene: Scene, _deadline: Deadline, put: Put) -> None:
    put("screen.png", ppm_to_png(scene.host.toolstack.screen_dump(scene.domain)))


def _domains(scene: Scene, _deadline: Deadline, put: Put) -> None:
    toolstack = scene.host.toolstack
    rows = [_row(domain) for domain in toolstack.domains()]
    info = toolstack.info()
    head = f"Xen {info.version_text}, {info.free_mib} of {info.total_mib} MiB free"
    put("domains.txt", "\n".join([head, "   ID      MiB VCPUs state       cpu s  name", *rows, ""]))


def _row(domain: DomainInfo) -> str:
    flags = (domain.running, domain.blocked, domain.paused, domain.shutdown, domain.dying)
    state = "".join(letter if flag else "-" for letter, flag in zip("rbpsd", flags, strict=True))
    figures = f"{domain.domid:>5} {domain.memory_mib:>8} {domain.vcpus:>5} {state}{domain.reason or '-'}"
    return f"{figures} {domain.cpu_s:>12.1f}  {domain.name}"


def _config(scene: Scene, _deadline: Deadline, put: Put) -> None:
    config = scene.host.toolstack.config(scene.domain)
    put("domain-config.txt", config.text)


def _xenstore(scene: Scene, deadline: Deadline, put: Put) -> None:
    if scene.before:
        put("xenstore-before.txt", scene.before)
    put("xenstore.txt", store_of(scene, deadline))


def store_of(scene: Scene, deadline: Deadline) -> str:
    """What xenstore has of a domain: its own folder, its back ends', and the toolstack's.

    Raises:
        NoSuchDomain: there is no such domain.
    """
    domain = scene.host.toolstack.find(scene.domain)
    if domain is None:
        raise NoSuchDomain(f"host {scene.host.name}: there is no domain {scene.domain}")
    own = _tree(scene, f"/local/domain/{domain.domid}", deadline)
    others = [*backends(own), f"/libxl/{domain.domid}"]
    return own + "".join(_tree(scene, path, deadline) for path in others)


def _tree(scene: Scene, path: str, deadline: Deadline) -> str:
    for argv in (["xenstore-ls", "-f", "-p", path], ["xenstore-ls", "-f", path]):
        result = scene.run(argv, deadline)
        if result.ok:
            return result.stdout
    return f"[pvhck: {result.describe()}]\n"


def _hypervisor(scene: Scene, _deadline: Deadline, put: Put) -> None:
    put("hypervisor.txt", scene.host.toolstack.dmesg())


def _logs(scene: Scene, deadline: Deadline, put: Put) -> None:
    scene.tails(_log_files(scene.domain), deadline, put)


def _log_files(domain: str) -> list[tuple[str, str]]:
    return [
        ("xl.txt", f"/var/log/xen/xl-{domain}.log"),
        ("qemu-dm.txt", f"/var/log/xen/qemu-dm-{domain}.log"),
        ("xend.txt", "/var/log/xen/xend.log"),
        ("libvirt.txt", f"/var/log/libvirt/libxl/{domain}.log"),
    ]


def _console(scene: Scene, deadline: Deadline, put: Put) -> None:
    serial = scene.guest.domain.console_log if scene.guest else ""
    files = [("console.txt", serial)] if serial else []
    # xenconsoled keeps the PV console there when it was started with --log
    files.append(("console-pv.txt", f"/var/log/xen/console/guest-{scene.domain}.log"))
    scene.tails(files, deadline, put)


def _kernel(scene: Scene, deadline: Deadline, put: Put) -> None:
    result = scene.run(["dmesg"], deadline)
    if not result.ok:
        raise CommandFailed(f"host {scene.host.name}: {result.describe()}")
    put("dom0-kernel.txt", result.stdout)


def _events(scene: Scene, _deadline: Deadline, put: Put) -> None:
    toolstack = scene.host.toolstack
    if isinstance(toolstack, LibvirtToolstack):
        lines = [_event(event) for event in toolstack.history(scene.domain)]
        put("libvirt-events.txt", "".join(lines) or "no event has come\n")


def _event(event: PortEvent) -> str:
    when = datetime.fromtimestamp(event.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    word = _EVENTS[event.event] if 0 <= event.event < len(_EVENTS) else str(event.event)
    return f"{when} {word}, detail {event.detail}\n"


HOST_COLLECTORS: Iterable[Collector] = (
    # what changes soonest first
    Collector("screen dump", Side.HOST, _screen),
    Collector("domains", Side.HOST, _domains, of_domain=False),
    Collector("domain configuration", Side.HOST, _config),
    Collector("xenstore", Side.HOST, _xenstore),
    Collector("hypervisor log", Side.HOST, _hypervisor, of_domain=False),
    Collector("toolstack and qemu-dm logs", Side.HOST, _logs),
    Collector("libvirt events", Side.HOST, _events),
    Collector("guest console", Side.HOST, _console),
    Collector("dom0 kernel log", Side.HOST, _kernel, of_domain=False),
    *STATE_COLLECTORS,
)
