"""How fast the PV disk is: each order and access, with the block sizes and depths of the profile."""

from itertools import product

import pytest

from harness.scenario import (
    Access,
    DataDisks,
    DiskLoad,
    DriverName,
    GuestTools,
    Order,
    Record,
    Requirement,
    StorageParams,
    ToolName,
    drivers,
    exclusive,
    hck,
    requires,
)


@exclusive
@drivers("xenvbd")
@requires(Requirement(drivers=(DriverName.XENVBD,), any_tool=(ToolName.DISKSPD, ToolName.FIO)))
@hck("Disk Stress (LOGO)")
@pytest.mark.parametrize("work", list(product(Order, Access)), ids="-".join)
def test_disk_speed(
    data_disks: DataDisks,
    tools: GuestTools,
    storage: StorageParams,
    record: Record,
    work: tuple[Order, Access],
) -> None:
    order, access = work
    tool = tools.find(ToolName.DISKSPD, ToolName.FIO)
    disk = data_disks.attach(storage.disk_mib, seconds=storage.attach_s)
    disk.fill()

    for block_kib in storage.block_sizes_kib:
        for depth in storage.depths:
            load = DiskLoad(access, order, block_kib, depth, storage.seconds)
            found = disk.measure(tool, load, repeats=storage.repeats)
            record(found)

            operations = next(m.value for m in found if m.metric == "disk_operations")
            assert operations > 0, f"no {order} {access} of {block_kib} KiB, {depth} at a time, was done"
