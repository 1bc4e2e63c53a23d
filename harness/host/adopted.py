"""A domain of somebody else's that a run works on: what it was like, and how the host is put back.

The note lies in the run's folder before anything is changed. When the run dies, a sweep finds by it the
disks of that folder that are still plugged in, and the memory target that was there before. What lies in
the guest itself a sweep cannot reach: it has no password.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from harness.host.ssh import SshShell
from harness.host.toolstack.protocol import NoSuchDomain, Toolstack
from harness.host.xenstore import Xenstore
from harness.model import ToolstackName

__all__ = [
    "DISK",
    "TARGET",
    "AdoptedNote",
    "changes_left",
    "note_path",
    "our_disks",
    "put_back",
    "target_mib",
    "write_note",
]

DISK, TARGET = "attached disk", "memory target"  # kinds of leftovers
_NOTE = "adopted.json"
_BETWEEN = " of "
_XVDA, _STEP = 202 << 8, 16


@dataclass(frozen=True)
class AdoptedNote:
    """A domain, and its memory target when the run took it: what has to be set to have it again."""

    domain: str
    target_mib: int


def note_path(folder: str) -> str:
    """Where the note of a run lies; ``folder`` is the run's."""
    return f"{folder}/{_NOTE}"


def write_note(shell: SshShell, folder: str, note: AdoptedNote) -> None:
    """Say, for whoever comes after us, what we are going to change."""
    shell.put((json.dumps(asdict(note)) + "\n").encode(), note_path(folder))


def target_mib(toolstack: Toolstack, store: Xenstore, domid: int) -> int:
    """What a domain's memory target was set to; libxl takes video memory off before it writes it down.

    Source: libxl_mem.c of 4.17, libxl_set_memory_target; xend takes nothing off.
    """
    memory = f"/local/domain/{domid}/memory"
    video = 0 if toolstack.name is ToolstackName.XM else int(store.find(f"{memory}/videoram") or 0)
    return (int(store.read(f"{memory}/target")) + max(0, video)) // 1024


def our_disks(shell: SshShell, toolstack: Toolstack, domain: str, folder: str) -> tuple[str, ...]:
    """Names of a domain's disks that lie in a run's folder: those that the run has plugged in."""
    store = Xenstore(shell)
    found = []
    with contextlib.suppress(NoSuchDomain):
        for disk in toolstack.disks(domain):
            params = store.find(f"{disk.backend_path}/params") or ""
            if f"{folder}/" in params and disk.vdev >= _XVDA:
                found.append(f"xvd{chr(ord('a') + (disk.vdev - _XVDA) // _STEP)}")
    return tuple(found)


def changes_left(shell: SshShell, toolstack: Toolstack, folder: str) -> Iterator[tuple[str, str]]:
    """What a run has not put back of the domain it had adopted: kinds and names of leftovers."""
    note = _read(shell.run(["cat", note_path(folder)], repeatable=True).stdout)
    domain = toolstack.find(note.domain) if note is not None else None
    if note is None or domain is None:
        return
    for vdev in our_disks(shell, toolstack, note.domain, folder):
        yield DISK, f"{vdev}{_BETWEEN}{note.domain}"
    if target_mib(toolstack, Xenstore(shell), domain.domid) != note.target_mib:
        yield TARGET, f"{note.target_mib} MiB{_BETWEEN}{note.domain}"


def put_back(toolstack: Toolstack, kind: str, name: str) -> None:
    """Undo one change; a domain that has gone meanwhile needs nothing."""
    what, _, domain = name.partition(_BETWEEN)
    with contextlib.suppress(NoSuchDomain):
        if kind == DISK:
            toolstack.detach_disk(domain, what)
        else:
            toolstack.set_memory(domain, int(what.split()[0]))


def _read(text: str) -> AdoptedNote | None:
    try:
        fields = json.loads(text)
        return AdoptedNote(str(fields["domain"]), int(fields["target_mib"]))
    except (ValueError, KeyError, TypeError):
        return None
