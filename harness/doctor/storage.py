"""A host's storage folder: is it there, can we write to it, is there room?"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterator

from harness.doctor.check import Check, State, failed
from harness.errors import InfrastructureError
from harness.host.host import Host
from harness.host.space import Space, parse_space

__all__ = ["check_storage"]

# Ours: an overlay grows by what its guest writes, and Windows writes some GiB when drivers go in.
_ROOM_PER_GUEST_MIB = 2048
_LEAST_MIB = 256


def check_storage(host: Host) -> Iterator[Check]:
    """Existence, space and a probe file, which is removed again."""
    folder = host.spec.storage
    there = host.shell.run(["df", "-P", "-k", folder], repeatable=True)
    if not there.ok:
        mend = f"mkdir -p {shlex.quote(folder)}"
        yield Check(host.name, "storage", State.FAIL, f"there is no {folder}", mend)
        return
    space = parse_space(there.stdout)
    yield _check_writable(host)
    yield _check_room(host, space)


def _check_writable(host: Host) -> Check:
    folder = host.spec.storage
    probe = f"{folder}/pvhck-doctor-{secrets.token_hex(8)}"
    try:
        host.shell.put(b"pvhck doctor\n", probe)
    except InfrastructureError as error:
        return failed(host.name, "storage", error)
    finally:
        host.shell.run(["rm", "-f", probe])
    return Check(host.name, "storage", State.OK, f"{folder} can be written to")


def _check_room(host: Host, space: Space) -> Check:
    wanted = _ROOM_PER_GUEST_MIB * host.spec.max_guests
    found = f"{space.free_mib} of {space.total_mib} MiB free on {space.mounted}"
    if space.free_mib >= wanted:
        return Check(host.name, "space", State.OK, found)
    guests = "guest needs" if host.spec.max_guests == 1 else f"{host.spec.max_guests} guests need"
    return Check(
        host.name,
        "space",
        State.FAIL if space.free_mib < _LEAST_MIB else State.WARN,
        f"{found}; overlays of {guests} about {wanted}",
        f"pvhck lab sweep {host.name}; then look: du -xsm {shlex.quote(host.spec.storage)}/* | sort -n",
    )
