"""What is left of domains that are gone: processes, paths in xenstore, network devices. Pure.

Each belongs to a run by the name of its domain where that is written, else by the domain's number, which
a host gives once. All of them go by themselves a moment after their domain, or are forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.host.devicemodel import served_by

__all__ = ["Gone", "ports_of", "processes_of", "store_paths_of"]

# QEMU and the old ioemu, blktap 2 and 3, qemu-nbd; xl stays for each domain to restart it (xl_vmcontrol.c)
_PROGRAMS = re.compile(r"qemu\S*|\S*-qemu-\S*|tapdisk\S*|blktap\S*|xl|xm")
_PROCESS = re.compile(r"\s*(?P<pid>\d{1,9})\s+(?P<words>.+)")
_PORT = re.compile(r"(?:vif|tap)(?P<domid>\d{1,9})\.\d+(?:-emu)?")
_NAMED = re.compile(r"(?P<folder>/local/domain/(?P<domid>\d{1,9})|/vm/[^/]+)/name")
# libxl 4.17: /libxl/ID, its back ends' folders by front end, the device model's
_NUMBERED = re.compile(
    r"(?P<folder>/libxl/(?P<a>\d{1,9})|/local/domain/(?P<b>[1-9]\d{0,8})"
    r"|/local/domain/0/(?:backend/[^/]+|device-model)/(?P<c>\d{1,9}))(?:/|$)"
)


@dataclass(frozen=True)
class Gone:
    """Which domains are meant. ``ours`` tells of a name whether it is one of this run.

    ``names`` finds in a command line what may be a name, ``listed`` are domains that are there now,
    ``domids`` are numbers that domains of this run had and none has now.
    """

    ours: Callable[[str], bool]
    names: re.Pattern[str]
    listed: frozenset[str]
    domids: frozenset[int]

    def named(self, name: str) -> bool:
        """Whether a name is that of a domain which is gone."""
        return self.ours(name) and name not in self.listed


def processes_of(gone: Gone, listing: str) -> tuple[tuple[str, str], ...]:
    """Number, and words for people, of each process; the listing is that of ``ps -o pid= -o args=``."""
    found = []
    for line in listing.splitlines():
        match = _PROCESS.fullmatch(line)
        if match is None:
            continue
        program = PurePosixPath(match["words"].partition(" ")[0]).name
        if _PROGRAMS.fullmatch(program) and (of := _domain_of(gone, match["words"])):
            found.append((match["pid"], f"{program} of {of}"))
    return tuple(found)


def _domain_of(gone: Gone, words: str) -> str:
    names = {match.group() for match in gone.names.finditer(words)}
    if names & gone.listed:
        return ""
    numbers = served_by(words) & gone.domids
    found = [*filter(gone.named, sorted(names)), *(f"domain {number}" for number in sorted(numbers))]
    return found[0] if found else ""


def store_paths_of(gone: Gone, tree: Mapping[str, str]) -> tuple[str, ...]:
    """Folders in xenstore, sorted, none of which lies in another."""
    found = set()
    for path, value in tree.items():
        named, numbered = _NAMED.fullmatch(path), _NUMBERED.match(path)
        if named and gone.named(value):
            found.add(named["folder"])
        elif numbered and int(numbered["a"] or numbered["b"] or numbered["c"]) in gone.domids:
            found.add(numbered["folder"])
    return tuple(sorted(found))


def ports_of(gone: Gone, devices: Iterable[str]) -> tuple[str, ...]:
    """Names of dom0's network devices that served a domain, sorted."""
    matches = (_PORT.fullmatch(name) for name in devices)
    return tuple(sorted(match.group() for match in matches if match and int(match["domid"]) in gone.domids))
