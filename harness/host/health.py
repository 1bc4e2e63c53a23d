"""What this machine knows of a host's health, over runs, and the cheap look before a run takes it."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.errors import InfrastructureError
from harness.host.host import Host
from harness.host.space import space_of
from harness.host.state import moment, read_note, state_path
from harness.host.volumes import find_volume, is_device, room_for
from harness.lab import HostKind, HostSpec

__all__ = ["Health", "HealthNote", "health_of", "look_at", "note_health"]

_NOTE = "health.json"
_LEAST_FREE_MIB = 512  # for an overlay's first writes; doctor asks for more


class Health(StrEnum):
    """Whether runs may use a host."""

    GOOD = "good"  # a test has passed on it
    UNKNOWN = "unknown"
    BAD = "bad"  # a run took it out, or it could not be looked at; a look that finds nothing makes it unknown
    MAINTENANCE = "maintenance"  # a person said so, and only a person ends it


@dataclass(frozen=True)
class HealthNote:
    """A host's health since a time, in seconds since 1970, and why."""

    health: Health = Health.UNKNOWN
    since: float = 0.0
    reason: str = ""


def health_of(spec: HostSpec, folder: Path | None = None) -> HealthNote:
    """What is known of a host; unknown if nobody has written anything down, or nothing that can be read."""
    try:
        fields = read_note(state_path(spec, _NOTE, folder).read_text(encoding="utf-8"))
        return HealthNote(Health(fields["health"]), moment(fields["since"]), str(fields["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        return HealthNote()


def note_health(spec: HostSpec, health: Health, reason: str, folder: Path | None = None) -> None:
    """Write a host's health down; that of a simulated host dies with it. The same health keeps its time."""
    if spec.kind is HostKind.SIMULATED:
        return
    if health is health_of(spec, folder).health is not Health.MAINTENANCE:
        return
    path = state_path(spec, _NOTE, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    passing = path.with_name(f".{path.name}.part")
    passing.write_text(
        json.dumps({"health": health.value, "since": time.time(), "reason": reason}) + "\n", encoding="utf-8"
    )
    passing.replace(path)


def look_at(host: Host, images: Iterable[str] = ()) -> None:
    """A cheap look: it answers, its toolstack works, guests' disks have some room.

    ``images`` are those of the templates it may be given: logical volumes among them have room of their own.

    Raises:
        InfrastructureError: what is wrong.
    """
    info = host.toolstack.info()
    if info.total_mib <= 0:
        raise InfrastructureError(f"host {host.name}: its toolstack knows of no memory", mend="pvhck doctor")
    storage = host.spec.storage
    space = space_of(host.shell, storage)
    if space.free_mib < _LEAST_FREE_MIB:
        raise InfrastructureError(
            f"host {host.name}: {space.free_mib} MiB free in {storage}, less than {_LEAST_FREE_MIB}",
            mend=f"df -h {shlex.quote(storage)}; pvhck lab sweep {host.name}",
        )
    for image in images:
        _look_at_volume(host, image)


def _look_at_volume(host: Host, image: str) -> None:
    """What is no volume, or not there, is no reason here: the test that wants to clone it will say so."""
    volume = find_volume(host.shell, image) if is_device(image) else None
    room = room_for(host.shell, volume) if volume is not None else None
    if room is not None and room.full:
        raise InfrastructureError(
            f"host {host.name}: {room}: too little for a snapshot of {image}",
            mend=f"vgs; lvs; pvhck lab sweep {host.name}",
        )
