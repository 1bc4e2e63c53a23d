"""What was written to the PV disk is there: after a reboot, a power cut, a hot plug, and on the host."""

from harness.scenario import (
    Change,
    CrashWatch,
    DataDisks,
    DriverName,
    Guest,
    Host,
    PowerParams,
    Requirement,
    StorageParams,
    changes,
    dirties,
    drivers,
    hck,
    reboot,
    requires,
    start_again,
)

_NEEDS = Requirement(drivers=(DriverName.XENVBD,))
_KIB = 1024


@changes(Change.REBOOT)
@drivers("xenvbd")
@requires(_NEEDS)
@hck("Disk Verification (LOGO)", "DF - Reboot restart with IO before and after (Reliability)")
def test_a_pattern_survives_a_reboot(
    guest: Guest, data_disks: DataDisks, storage: StorageParams, power: PowerParams
) -> None:
    disk = data_disks.attach_blocks(
        storage.pattern_blocks, storage.pattern_block_kib, seconds=storage.attach_s
    )
    written = disk.write_pattern(blocks=storage.pattern_blocks, block_size=storage.pattern_block_kib * _KIB)
    assert disk.read_pattern(written) == written, "another pattern is read than was just written"

    reboot(guest, ack_s=power.acknowledge_s, ready_s=power.reboot_s)
    disk.attach()
    disk.wait_there(storage.attach_s)

    assert disk.read_pattern(written) == written, "the pattern did not survive the reboot"


@drivers("xenvbd")
@requires(_NEEDS)
def test_flushed_writes_reach_the_host(data_disks: DataDisks, storage: StorageParams) -> None:
    disk = data_disks.attach_blocks(1, storage.pattern_block_kib, seconds=storage.attach_s)
    block_size = storage.pattern_block_kib * _KIB

    for number in range(storage.flushes):
        written = disk.write_pattern(blocks=disk.size // block_size, block_size=block_size)
        assert disk.sha256_on_host() == written.sha256, (
            f"flush {number + 1} came back, but what was written before it is not on the host"
        )


@changes(Change.POWER)
@dirties
@drivers("xenvbd")
@requires(_NEEDS)
@hck("Flush Test")
def test_flushed_data_survives_a_power_cut(
    guest: Guest,
    data_disks: DataDisks,
    storage: StorageParams,
    power: PowerParams,
    crash_watch: CrashWatch,
) -> None:
    disk = data_disks.attach_blocks(
        storage.pattern_blocks, storage.pattern_block_kib, seconds=storage.attach_s
    )
    written = disk.write_pattern(blocks=storage.pattern_blocks, block_size=storage.pattern_block_kib * _KIB)

    crash_watch.allow_unclean_stop()
    guest.kill()
    start_again(guest, ready_s=power.reboot_s)
    disk.attach()
    disk.wait_there(storage.attach_s)

    assert disk.read_pattern(written) == written, "flushed data was lost with the power"


@drivers("xenbus", "xenvbd")
@requires(_NEEDS)
@hck("DF - PNP Surprise Remove Device Test (Reliability)", "Disk Verification (LOGO)")
def test_a_disk_is_plugged_in_and_unplugged(
    guest: Guest, host: Host, data_disks: DataDisks, storage: StorageParams
) -> None:
    before = {disk.target for disk in guest.operations.disks()}
    disk = data_disks.attach_blocks(1, storage.pattern_block_kib, seconds=storage.attach_s)
    assert disk.target not in before, "the target id was taken before the disk came"
    written = disk.write_pattern(blocks=1, block_size=storage.pattern_block_kib * _KIB)
    assert disk.read_pattern(written) == written, "another pattern is read than was just written"

    disk.detach()
    disk.wait_gone(storage.attach_s)
    assert not disk.attached, f"the host still lists {host.toolstack.disks(guest.name)}"

    disk.attach()
    disk.wait_there(storage.attach_s)
    assert disk.read_pattern(written) == written, "another disk came back than was taken away"
