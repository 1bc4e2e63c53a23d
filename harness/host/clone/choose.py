"""Which strategy a host has for an image."""

from __future__ import annotations

from harness.host.clone.fullcopy import FullCopy
from harness.host.clone.lvm import LvmSnapshot
from harness.host.clone.overlay import Overlay
from harness.host.clone.reflink import Reflink, can_reflink
from harness.host.clone.strategy import CloneStrategy
from harness.host.host import Host
from harness.host.volumes import find_volume, is_device
from harness.lab import CloneMethod
from harness.model import ToolstackName

__all__ = ["choose_strategy"]


def choose_strategy(host: Host, image: str, target: str) -> CloneStrategy:
    """The strategy of the host's section; ``auto`` takes the first that this image and its place allow.

    A reflink before an overlay: it hangs on no other file, and a raw image stays one that blkback serves.
    """
    shell = host.shell
    match host.spec.clone:
        case CloneMethod.LVM:
            return LvmSnapshot(shell)
        case CloneMethod.REFLINK:
            return Reflink(shell)
        case CloneMethod.OVERLAY:
            return Overlay(shell)
        case CloneMethod.COPY:
            return FullCopy(shell)
        case CloneMethod.AUTO:
            return _first_possible(host, image, target)


def _first_possible(host: Host, image: str, target: str) -> CloneStrategy:
    shell = host.shell
    if is_device(image) and find_volume(shell, image) is not None:
        return LvmSnapshot(shell)
    if not is_device(image) and can_reflink(shell, image, target):
        return Reflink(shell)
    return Overlay(shell) if _has_qemu_img(host) else FullCopy(shell)


def _has_qemu_img(host: Host) -> bool:
    """Not beside xend: qemu-img of that time knows neither ``-F`` nor ``--output=json``."""
    if host.toolstack.name is ToolstackName.XM:
        return False
    return not host.shell.run(["qemu-img", "--version"], repeatable=True).not_found
