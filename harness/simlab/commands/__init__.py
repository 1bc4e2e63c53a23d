"""The programs of a simulated dom0, by name."""

from collections.abc import Mapping

from harness.model import XenVersion
from harness.simlab.commands import (
    disks,
    files,
    images,
    listing,
    lvm,
    mounts,
    network,
    store,
    system,
    text,
    tools,
)
from harness.simlab.host.simhost import SimHost
from harness.simlab.libvirt import program as libvirt
from harness.simlab.shell.process import Command
from harness.simlab.xl import program as xl
from harness.simlab.xm import program as xm

__all__ = ["dom0_commands"]

_FIRST_XL, _FIRST_WITHOUT_XM = XenVersion(4, 1), XenVersion(4, 5)


def dom0_commands(host: SimHost) -> Mapping[str, Command]:
    """All commands a shell on a host finds. xl of 4.0, which can do next to nothing, is left out."""
    known: dict[str, Command] = {}
    for room in (disks, files, images, listing, lvm, mounts, network, store, system, text, tools):
        known |= room.COMMANDS
    if host.version >= _FIRST_XL:
        known |= xl.COMMANDS
        known |= libvirt.COMMANDS
    if host.version < _FIRST_WITHOUT_XM:
        known |= xm.COMMANDS
    return known
