"""Stopping and rebooting through the toolstack while the network and a disk are busy."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from harness.scenario import (
    Access,
    Change,
    DataDisk,
    DataDisks,
    DiskLoad,
    DriverName,
    Guest,
    GuestTools,
    Measure,
    NetworkParams,
    Order,
    PowerParams,
    Requirement,
    StorageParams,
    ToolName,
    Traffic,
    changes,
    drivers,
    exclusive,
    hck,
    reboot,
    requires,
    shut_down,
    start_again,
)

_NEEDS = Requirement(
    drivers=(*DriverName,),
    tools=(ToolName.IPERF3,),
    any_tool=(ToolName.DISKSPD, ToolName.FIO),
)


Busy = Callable[[float], AbstractContextManager[None]]


@pytest.fixture
def busy(
    traffic: Traffic, data_disks: DataDisks, tools: GuestTools, network: NetworkParams, storage: StorageParams
) -> Busy:
    """Makes the guest's network and a disk of its own busy, for at most so many seconds."""
    disks: list[DataDisk] = []

    @contextmanager
    def load(at_most_s: float) -> Iterator[None]:
        if not disks:
            disks.append(data_disks.attach(storage.disk_mib, seconds=storage.attach_s))
        disk = disks[0]
        disk.attach()
        disk.wait_there(storage.attach_s)
        writing = DiskLoad(
            Access.WRITE, Order.RANDOM, max(storage.block_sizes_kib), max(storage.depths), at_most_s
        )
        with (
            traffic.load(streams=max(network.streams), at_most_s=at_most_s) as on_network,
            disk.load(tools.find(ToolName.DISKSPD, ToolName.FIO), writing) as on_disk,
        ):
            on_network.check_running()
            on_disk.check_running()
            yield

    return load


@changes(Change.POWER)
@exclusive
@drivers("xenbus", "xeniface", "xenvif", "xennet", "xenvbd")
@requires(_NEEDS)
def test_shutdown_under_load_is_clean(guest: Guest, power: PowerParams, busy: Busy, measure: Measure) -> None:
    mark = guest.operations.event_mark()
    stops = []

    for _ in range(power.load_cycles):
        with busy(power.acknowledge_s + power.shutdown_s):
            stops.append(shut_down(guest, ack_s=power.acknowledge_s, off_s=power.shutdown_s).gone_s)
            start_again(guest, ready_s=power.reboot_s)

    measure("shutdown", max(stops), "s", better="lower", samples=tuple(stops), figure="slowest", load="busy")
    events = guest.operations.stop_events(record=mark.record)
    assert (events.clean, events.unclean) == (power.load_cycles, 0), f"the guest's log tells of {events}"


@changes(Change.REBOOT)
@exclusive
@drivers("xenbus", "xeniface", "xenvif", "xennet", "xenvbd")
@requires(_NEEDS)
@hck("DF - Reboot Restart with IO During (Reliability)")
def test_reboot_under_load_is_clean(guest: Guest, power: PowerParams, busy: Busy, measure: Measure) -> None:
    mark = guest.operations.event_mark()
    reboots = []

    for _ in range(power.load_cycles):
        with busy(power.acknowledge_s + power.reboot_s):
            reboots.append(reboot(guest, ack_s=power.acknowledge_s, ready_s=power.reboot_s).gone_s)

    measure(
        "reboot_to_ready",
        max(reboots),
        "s",
        better="lower",
        samples=tuple(reboots),
        figure="slowest",
        load="busy",
    )
    events = guest.operations.stop_events(record=mark.record)
    assert (events.clean, events.unclean) == (power.load_cycles, 0), f"the guest's log tells of {events}"
