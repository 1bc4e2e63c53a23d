"""How a template's image becomes a guest's disk: one strategy a file, and the choice among them."""

from harness.host.clone.choose import choose_strategy
from harness.host.clone.fullcopy import FullCopy
from harness.host.clone.lvm import LvmSnapshot
from harness.host.clone.overlay import Overlay
from harness.host.clone.reflink import Reflink, can_reflink
from harness.host.clone.strategy import ClonedDisk, CloneStrategy

__all__ = [
    "CloneStrategy",
    "ClonedDisk",
    "FullCopy",
    "LvmSnapshot",
    "Overlay",
    "Reflink",
    "can_reflink",
    "choose_strategy",
]
