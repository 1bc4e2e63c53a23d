"""Disks, interfaces and CDs plugged into running guests and out again, as both sides see it."""

from __future__ import annotations

import pytest

from harness.deadline import Done, NotYet, wait_until
from harness.errors import CommandFailed, OperationFailed
from harness.guest.guest import Guest, mac_for
from harness.guest.provision import add_disk, remove_disk
from harness.host.domain import NicSpec

_XVDG, _XVDG_TARGET = 51808, 6
_CONNECTED = 4


def targets(guest: Guest) -> set[int]:
    return {disk.target for disk in guest.operations.disks()}


def until(guest: Guest, condition, subject: str) -> None:
    wait_until(
        lambda: Done(None) if condition() else NotYet("not yet"),
        subject=subject,
        deadline=guest.deadline(60),
        interval_s=0.2,
    )


def test_a_disk_is_plugged_in_used_and_plugged_out(full_guest: Guest, contract_lab):
    toolstack = full_guest.host.toolstack
    disk = add_disk(full_guest, contract_lab.area, "xvdg", 16)

    until(full_guest, lambda: _XVDG_TARGET in targets(full_guest), "the guest sees the disk")
    until(
        full_guest,
        lambda: {disk.vdev: disk.state for disk in toolstack.disks(full_guest.name)}[_XVDG] == _CONNECTED,
        "the disk is connected",
    )
    (found,) = (one for one in full_guest.operations.disks() if one.target == _XVDG_TARGET)
    assert found.size == 16 << 20

    ask = full_guest.operations
    written = ask.write_pattern(target=_XVDG_TARGET, seed=7, blocks=64, block_size=4096)
    assert ask.read_pattern(target=_XVDG_TARGET, blocks=64, block_size=4096) == written
    other = ask.write_pattern(target=_XVDG_TARGET, seed=8, blocks=64, block_size=4096)
    assert other.sha256 != written.sha256

    remove_disk(full_guest, disk)
    until(full_guest, lambda: _XVDG_TARGET not in targets(full_guest), "the disk leaves the guest")
    assert _XVDG not in {device.vdev for device in toolstack.disks(full_guest.name)}
    assert not full_guest.host.shell.run(["ls", disk.path]).ok


def test_a_pattern_needs_a_disk_that_is_there(full_guest: Guest):
    with pytest.raises(OperationFailed) as caught:
        full_guest.operations.read_pattern(target=31, blocks=1, block_size=512)
    assert caught.value.kind == "not-found"


def test_an_interface_is_plugged_in_and_out(full_guest: Guest, contract_lab):
    toolstack, bridge = full_guest.host.toolstack, full_guest.host.spec.bridge
    mac = mac_for(contract_lab.area.run_id, 900)

    def macs() -> set[str]:
        return {adapter.mac for adapter in full_guest.operations.network_adapters()}

    toolstack.attach_nic(full_guest.name, NicSpec(mac, bridge, None))
    until(full_guest, lambda: mac in macs(), "the guest sees the interface")
    # netfront registers an interface before it says Connected (drivers/net/xen-netfront.c, Linux 6.1)
    connected = {full_guest.mac: _CONNECTED, mac: _CONNECTED}
    until(
        full_guest,
        lambda: {nic.mac: nic.state for nic in toolstack.nics(full_guest.name)} == connected,
        "both interfaces are connected",
    )

    toolstack.detach_nic(full_guest.name, mac)
    until(full_guest, lambda: mac not in macs(), "the interface leaves the guest")
    assert [nic.mac for nic in toolstack.nics(full_guest.name)] == [full_guest.mac]


def test_what_fails_leaves_a_running_guest_as_it_was(full_guest: Guest, contract_lab):
    toolstack = full_guest.host.toolstack
    disks, nics = toolstack.disks(full_guest.name), toolstack.nics(full_guest.name)
    with pytest.raises(CommandFailed):
        toolstack.attach_nic(full_guest.name, NicSpec(mac_for("x", 1), "nosuchbr", None))
    with pytest.raises(CommandFailed):
        toolstack.detach_disk(full_guest.name, "xvdz")
    assert toolstack.disks(full_guest.name) == disks
    assert toolstack.nics(full_guest.name) == nics
    assert full_guest.operations.boot_id().boot_id == full_guest.boot_id


def test_an_emulated_disk_is_known_by_its_name(bare_guest: Guest):
    # the check for emulated disks that came back, or did not go, goes by it
    assert [(disk.name, disk.target) for disk in bare_guest.operations.disks()] == [("QEMU HARDDISK", -1)]


def test_front_ends_stay_unconnected_without_drivers(bare_guest: Guest):
    toolstack = bare_guest.host.toolstack
    assert {nic.state for nic in toolstack.nics(bare_guest.name)} == {1}
    assert {disk.state for disk in toolstack.disks(bare_guest.name) if disk.vdev == 768} == {1}


def test_front_ends_are_connected_with_drivers(full_guest: Guest):
    toolstack = full_guest.host.toolstack
    assert {nic.state for nic in toolstack.nics(full_guest.name)} == {_CONNECTED}
    assert {disk.state for disk in toolstack.disks(full_guest.name) if disk.vdev == 768} == {_CONNECTED}
