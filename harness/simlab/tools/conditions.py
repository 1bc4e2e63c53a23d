"""What a played program finds around it, and what comes of running it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["DiskFound", "ToolConditions", "ToolRun", "refusal", "wobble"]


@dataclass(frozen=True)
class DiskFound:
    """A raw disk of the guest: PV or emulated, its size in bytes."""

    pv: bool
    size: int


@dataclass(frozen=True)
class ToolConditions:
    r"""The guest a program runs in.

    ``disks`` are by number, as in ``\\.\PhysicalDrive1``. ``ports`` are those that servers listen
    on at the host now (``ToolRun.listens``). ``turn`` counts the programs this boot has run before:
    the same arguments in another turn give slightly other figures. With ``one_way`` nothing arrives in
    the guest but what a tool needs to talk to its peer.
    """

    seed: int
    pv_network: bool
    disks: Mapping[int, DiskFound] = field(default_factory=dict)
    ports: Collection[int] = frozenset()
    slow_network: bool = False
    one_way: bool = False
    processors: int = 2
    turn: int = 0


@dataclass(frozen=True)
class ToolRun:
    """A program's end. ``seconds`` is how long a real one would take, before the lab's pace.

    A server runs on until it is ended: ``listens`` is its port, ``stdout`` what it says at
    once, and ``seconds`` is infinite.
    """

    exit_code: int
    stdout: str
    stderr: str
    seconds: float
    listens: int | None = None


def refusal(text: str) -> ToolRun:
    """A program that ends at once with an error text and exit code 1."""
    return ToolRun(1, "", text, 0.0)


def wobble(conditions: ToolConditions, words: Sequence[str], spread: float = 0.03) -> float:
    """A factor near 1 that depends on nothing but the guest, the turn and ``words``."""
    text = "/".join([str(conditions.seed), str(conditions.turn), *words])
    share = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 0xFFFFFFFF
    return 1 + spread * (2 * share - 1)
