"""Names and numbers of virtual disks (docs/man/xen-vbd-interface.7 of Xen)."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Vdev", "parse_vdev"]

_NAME = re.compile(r"(?P<kind>xvd|hd|sd)(?P<letters>[a-z]{1,2})")
_LETTERS = 26
_SHORT_FORM = 16  # xvd disks with a number below it have one of the old kind
_IDE_DRIVES = 4


@dataclass(frozen=True)
class Vdev:
    """``number`` is the vbd's in xenstore, ``target`` what the drivers call its target id."""

    name: str
    number: int
    target: int
    can_emulate: bool  # QEMU shows a twin of it to an HVM guest that boots with it


def parse_vdev(name: str) -> Vdev | None:
    """A disk's name, None if it is none: xvda 51712, xvdz 268441856, hda 768, hdc 5632."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    target = 0
    for letter in match["letters"]:
        target = target * _LETTERS + ord(letter) - ord("a") + 1
    target -= 1
    if match["kind"] == "xvd":
        number = (202 << 8) | (target << 4) if target < _SHORT_FORM else (1 << 28) | (target << 8)
        return Vdev(name, number, target, can_emulate=target < _IDE_DRIVES)
    if match["kind"] == "hd":
        if target >= _IDE_DRIVES:
            return None
        number = ((3, 22)[target // 2] << 8) | ((target % 2) << 6)
        return Vdev(name, number, target, can_emulate=True)
    if target >= _SHORT_FORM:
        return None
    return Vdev(name, (8 << 8) | (target << 4), target, can_emulate=True)
