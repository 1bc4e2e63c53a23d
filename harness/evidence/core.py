"""A core dump of a guest by its toolstack, for a hang: what Windows itself cannot write any more.

On some versions ``xl dump-core`` writes its file and never returns (facts/nested-xen.md):
``Toolstack.dump_core`` knows.
"""

from __future__ import annotations

from pathlib import Path

from harness.errors import InfrastructureError
from harness.evidence.courier import whole_or_gone
from harness.evidence.notes import Notes
from harness.guest.guest import Guest
from harness.host.area import RunArea
from harness.host.space import space_of

__all__ = ["CORE", "dump_core"]

CORE = "guest.core"
_DUMP_S = 300  # before the host's time factor
_FETCH_S = 1800
_LARGEST = 4 << 30
_MIB = 1 << 20


def dump_core(guest: Guest, area: RunArea, folder: Path, notes: Notes) -> tuple[str, ...]:
    """Write it in the run's folder on the host and bring it here; gives the name of its file.

    The file on the host goes with it. What is too large, or does not fit there, is a line of the notes.

    Raises:
        InfrastructureError, WaitTimedOut: the toolstack or the host does not do it.
    """
    toolstack, shell = guest.host.toolstack, guest.host.shell
    domain = toolstack.find(guest.name)
    memory_mib = domain.memory_mib if domain is not None else 0
    free_mib = space_of(shell, area.folder).free_mib
    if domain is None or free_mib < memory_mib or memory_mib * _MIB > _LARGEST:
        notes.add(
            f"core dump: none made of {guest.name}: {memory_mib} MiB of memory, {free_mib} MiB free in "
            f"{area.folder} of host {guest.host.name}, at most {_LARGEST // _MIB} MiB are brought"
        )
        return ()
    path = area.path(f"{guest.name}.core")  # goes with the guest, whatever becomes of us
    try:
        size = toolstack.dump_core(guest.name, path, timeout_s=_DUMP_S)
        folder.mkdir(parents=True, exist_ok=True)
        with whole_or_gone(folder / CORE):
            shell.fetch(path, folder / CORE, timeout_s=_FETCH_S)
            if (folder / CORE).stat().st_size != size:
                raise InfrastructureError(
                    f"{path} of host {guest.host.name} came in another size than {size}"
                )
    finally:
        shell.run(["rm", "-f", path])
    return (CORE,)
