"""Switches that spoil one thing and leave the rest of the guest well: xenstore-deaf, disk-stays, one-way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from guest_machine import bench

from harness.operations import OperationRefused


def test_with_xenstore_deaf_nothing_leaves_xeniface_and_nothing_reaches_it(tmp_path: Path) -> None:
    with bench(tmp_path, "xenstore-deaf") as one:
        one.start()
        box = one.install_all()
        assert set(one.problems().values()) == {0}

        assert one.ops.xenstore_write(path="data/a", value="1").value == "1"
        assert one.ops.xenstore_write(path="name", value="other").value == "other"
        assert (box.key("data/a"), box.key("name")) == ("", "win1")

        box.store.write(f"/local/domain/{box.domid}/data/b", "2")
        with pytest.raises(OperationRefused, match="no node"):
            one.ops.xenstore_read(path="data/b")
        assert not one.ops.xenstore_watch(path="data/b", seconds=0).fired


def test_with_xenstore_deaf_the_agent_hears_of_no_shutdown_and_xenbus_still_of_a_suspend(
    tmp_path: Path,
) -> None:
    with bench(tmp_path, "xenstore-deaf") as one:
        one.start()
        box = one.install_all()
        assert box.key("control/feature-poweroff") == "1"

        box.ask("poweroff")
        one.settle(box.pace.acknowledge)
        assert box.key("control/shutdown") == "poweroff"

        box.ask("suspend")
        one.until(lambda: box.key("control/shutdown") == "", "the suspend is acknowledged")


def test_with_disk_stays_an_unplugged_disk_is_still_listed_and_does_not_answer(tmp_path: Path) -> None:
    with bench(tmp_path, "disk-stays") as one:
        one.add_disk("xvdg", 51808, 6, 1 << 20)
        one.start()
        box = one.install_all()
        one.ops.write_pattern(target=6, seed=1, blocks=1, block_size=512)

        one.take_back("device/vbd/51808")
        one.settle()
        assert box.key("device/vbd/51808/state") == "6", "the driver lets go of it"
        del one.disks[-1]
        one.guest.devices_changed()
        one.settle()

        assert [disk.target for disk in one.ops.disks()] == [0, 6]
        assert sum("PVDISK" in device.instance_id for device in one.ops.pnp_devices(prefix="SCSI\\")) == 2
        with pytest.raises(OperationRefused, match="does not answer"):
            one.ops.read_pattern(target=6, blocks=1, block_size=512)

        one.reboot()
        assert [disk.target for disk in one.ops.disks()] == [0]


def test_with_disk_stays_a_disk_that_comes_back_answers_again(tmp_path: Path) -> None:
    with bench(tmp_path, "disk-stays") as one:
        one.add_disk("xvdg", 51808, 6, 1 << 20)
        one.start()
        one.install_all()
        wrote = one.ops.write_pattern(target=6, seed=1, blocks=1, block_size=512)
        disk = one.disks.pop()
        one.guest.devices_changed()
        one.settle()

        one.disks.append(disk)
        one.plug_disk(disk)
        one.guest.devices_changed()
        one.settle()

        assert [found.target for found in one.ops.disks()] == [0, 6]
        assert one.ops.read_pattern(target=6, blocks=1, block_size=512) == wrote


def _received(one: object, *arguments: str) -> float:
    job = one.ops.start_tool(path="iperf3", arguments=("-c", "x", "-J", "-t", "1", *arguments)).job
    return float(json.loads(one.run(job).stdout)["end"]["sum_received"]["bits_per_second"])


def test_with_one_way_the_pv_interface_sends_and_receives_nothing(tmp_path: Path) -> None:
    with bench(tmp_path, "one-way") as one:
        one.start()
        assert _received(one, "-R") > 0, "the emulated interface is well"

        one.install_all()

        assert _received(one) > 0
        assert _received(one, "-R") == 0
        assert _received(one, "-u", "-R") == 0
