"""Disks as xend and xl 4.1 read them: what is behind them, their name, how they are used.

``file:`` and ``tap:`` hold a path, ``tap:qcow2:`` a qcow2 image (tools/blktap/drivers/tapdisk.h of
3.4.0-rc3 and stable-4.0; tools/libxl/xl_cmdimpl.c of stable-4.1, ``parse_disk_config``), ``phy:`` a block
device (tools/hotplug/Linux/block of 3.4.0-rc3).
"""

from __future__ import annotations

from harness.errors import ConfigurationError
from harness.host.domain import DiskSpec

__all__ = ["legacy_words"]


def legacy_words(disk: DiskSpec) -> tuple[str, str, str]:
    """The three words of a disk; joined by commas they stand in a configuration.

    Raises:
        ConfigurationError: the path has a comma, which nothing can escape.
    """
    if "," in disk.path:
        raise ConfigurationError(
            f"the disk {disk.path!r} cannot be given to this Xen: a comma ends the path", mend="rename it"
        )
    behind = "tap:qcow2" if disk.image_format == "qcow2" else "phy" if disk.is_device else "file"
    name = f"{disk.vdev}:cdrom" if disk.cdrom else disk.vdev
    return (
        f"{behind}:{disk.path}" if disk.path else "",
        name,
        "r" if disk.cdrom or disk.read_only else "w",
    )
