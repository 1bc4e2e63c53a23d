"""How many guests of a run go on a host at once. Pure.

A slot is room for one guest with its scenario: one worker drives it. A host has as many as its share of
memory, vCPUs and disk holds of the largest template that is planned there, and at most ``max_guests``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.lab import GuestTemplate, HostSpec

__all__ = ["Slot", "room_for", "slots_of"]


@dataclass(frozen=True, order=True)
class Slot:
    """Room for one guest. ``number`` is the slot's in the run, from 1; its things on the host bear it."""

    number: int
    host: str

    def run_id(self, run_id: str) -> str:
        """As it stands in the names of this slot's domains and files: a dead worker's are told apart."""
        return f"{run_id}-s{self.number}"


def room_for(host: HostSpec, templates: Iterable[GuestTemplate]) -> int:
    """How many guests a host carries at once, whichever of the templates they are made from; 0 for none."""
    planned = tuple(templates)
    if not planned:
        return 0
    rooms = [
        host.max_guests,
        host.memory_mib // max(template.memory_mib for template in planned),
        host.vcpus // max(template.vcpus for template in planned),
    ]
    if host.disk_mib:
        rooms.append(host.disk_mib // max(template.disk_mib for template in planned))
    return min(rooms)


def slots_of(
    hosts: Iterable[HostSpec], planned: Mapping[str, Iterable[GuestTemplate]], *, most: int | None = None
) -> tuple[Slot, ...]:
    """The slots of some hosts for what is planned there, by the name of the host.

    They are dealt out host by host in turn, so that ``most`` of them still spread over all hosts.
    """
    room = {host.name: room_for(host, planned.get(host.name, ())) for host in hosts}
    turns = max(room.values(), default=0)
    dealt = [name for turn in range(turns) for name, number in room.items() if turn < number]
    return tuple(Slot(number, name) for number, name in enumerate(dealt[:most], start=1))
