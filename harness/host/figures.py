"""Figures of a whole host that must be the same when domains have come and gone; what leaks without a name.

Memory that no domain has, domains that Xen cannot let go of, dom0's event channels, files where toolstacks
leave them. Grants show in these: one that somebody in dom0 never unmapped keeps its domain as a zombie, and
its memory. They are not counted one by one: only `xl debug-keys g` tells of them, by pages of lines in Xen's
log, which is a ring, and would lose what guests said of their crashes.

After osstest's ts-leak-check, as facts/xen-peers.md 2.1 and 2.5 have it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from harness.errors import HarnessError
from harness.host.host import Host

__all__ = ["HostFigures", "differences", "event_channels_of", "read_figures"]

# What xl shows for a domain whose pages somebody still maps (xl_list.c: its name is gone from xenstore).
_ZOMBIE = "(null)"
_PLACES = ("/var/lib/xen", "/var/lib/xen/dump", "/var/lib/xen/save", "/var/core", "/tmp")  # noqa: S108  # dom0's
_MEMORY_MIB = 32  # xenheap and shadow pools breathe by some MiB (seen on nested 4.17)
_CHANNELS = 4  # programs of dom0 come and go
_CHANNEL = re.compile(r"\s*\d+: VCPU \d+:", re.MULTILINE)
# What toolstacks and systems keep there on purpose, and why nothing follows from it.
_ALLOWED = (
    re.compile(r"/tmp/(?:\.|systemd-private-|ssh-|tmux-|screen)"),  # noqa: S108  # of sessions of dom0
    re.compile(r"/var/lib/xen/userdata-"),  # libxl's notes on a domain that is there (libxl_dom.c)
    re.compile(r"/var/lib/xen/(?:dump|save|xenpaging|xl-disk-images)$"),  # folders made when first needed
    re.compile(r"/var/lib/xen/(?:qemu-|run|ovmf|debug|images)"),  # QEMU's sockets and resume files go last
)


@dataclass(frozen=True)
class HostFigures:
    """A host at a moment. ``lost_mib`` is memory that is neither free nor any domain's.

    ``channels`` is None where nothing counts dom0's event channels.
    """

    domains: frozenset[str]
    zombies: int
    lost_mib: int
    channels: int | None
    files: frozenset[str]


def read_figures(host: Host) -> HostFigures:
    """Take the figures now.

    Raises:
        InfrastructureError: the host does not answer.
    """
    info, domains = host.toolstack.info(), host.toolstack.domains()
    names = [domain.name for domain in domains]
    return HostFigures(
        domains=frozenset(names),
        zombies=names.count(_ZOMBIE),
        lost_mib=info.total_mib - info.free_mib - sum(domain.memory_mib for domain in domains),
        channels=_channels(host),
        files=frozenset(_files(host)),
    )


def differences(before: HostFigures, after: HostFigures) -> tuple[str, ...]:
    """What has leaked in between, in words. Pure."""
    found = []
    if after.zombies > before.zombies:
        found.append(f"{after.zombies - before.zombies} domain(s) that Xen cannot let go of")
    lost = after.lost_mib - before.lost_mib
    if lost > _MEMORY_MIB:
        found.append(f"{lost} MiB of memory that no domain has")
    # others' domains have channels, too
    comparable = after.domains == before.domains and None not in {before.channels, after.channels}
    more = (after.channels or 0) - (before.channels or 0)
    if comparable and more > _CHANNELS:
        found.append(f"{more} event channels of dom0")
    new = sorted(after.files - before.files)
    found += [f"file {path}" for path in new if not any(known.match(path) for known in _ALLOWED)]
    return tuple(found)


def event_channels_of(text: str) -> int:
    """How many lines of ``lsevtchn`` are of a channel (tools/xcutils/lsevtchn.c)."""
    return len(_CHANNEL.findall(text))


def _channels(host: Host) -> int | None:
    with contextlib.suppress(HarnessError):
        program = host.private_program("lsevtchn")
        result = host.shell.run([program, "0"], repeatable=True) if program else None
        return event_channels_of(result.stdout) if result is not None and result.ok else None
    return None


def _files(host: Host) -> Iterator[str]:
    """Names alone: whether a place is there at all differs from host to host."""
    for place in _PLACES:
        for name in host.shell.run(["ls", "-1A", place], repeatable=True).stdout.splitlines():
            yield f"{place}/{name}"
