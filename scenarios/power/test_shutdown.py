"""Stopping and rebooting through the toolstack, proved by the guest's own log."""

from harness.scenario import (
    Change,
    CrashWatch,
    Fallback,
    Guest,
    Measure,
    PowerParams,
    Requirement,
    ToolstackName,
    changes,
    dirties,
    drivers,
    hck,
    reboot,
    requires,
    shut_down,
    start_again,
)


@changes(Change.POWER)
@drivers("xenbus", "xeniface")
def test_shutdown_is_acknowledged_and_clean(guest: Guest, power: PowerParams, measure: Measure) -> None:
    mark = guest.operations.event_mark()

    stop = shut_down(guest, ack_s=power.acknowledge_s, off_s=power.shutdown_s)
    start_again(guest, ready_s=power.reboot_s)

    measure("shutdown_acknowledged", stop.acknowledged_s, "s", better="lower")
    measure("shutdown", stop.gone_s, "s", better="lower")
    events = guest.operations.stop_events(record=mark.record)
    assert events.clean == 1, f"a vanished domain is no proof: the guest's log tells of {events}"
    assert events.unclean == 0, f"the guest says that it was not shut down cleanly: {events}"


@changes(Change.REBOOT)
@drivers("xenbus", "xeniface")
@hck("DF - Reboot restart with IO before and after (Reliability)")
def test_reboot_is_acknowledged_and_clean(guest: Guest, power: PowerParams, measure: Measure) -> None:
    mark = guest.operations.event_mark()
    domid = guest.domid

    stop = reboot(guest, ack_s=power.acknowledge_s, ready_s=power.reboot_s)

    measure("reboot_to_ready", stop.gone_s, "s", better="lower")
    assert guest.domid != domid, "a reboot through the toolstack gives a new domain id"
    events = guest.operations.stop_events(record=mark.record)
    assert (events.clean, events.unclean) == (1, 0), f"the guest's log tells of {events}"


@changes(Change.POWER)
@drivers("xenbus", "xeniface")
def test_shutdown_in_cycles(guest: Guest, power: PowerParams, measure: Measure) -> None:
    mark = guest.operations.event_mark()

    stops = []
    for _ in range(power.cycles):
        stops.append(shut_down(guest, ack_s=power.acknowledge_s, off_s=power.shutdown_s).gone_s)
        start_again(guest, ready_s=power.reboot_s)

    measure(
        "shutdown",
        max(stops),
        "s",
        better="lower",
        samples=tuple(stops),
        cycles=power.cycles,
        figure="slowest",
    )
    events = guest.operations.stop_events(record=mark.record)
    assert (events.clean, events.unclean) == (power.cycles, 0), f"the guest's log tells of {events}"


# xend refuses nothing: it takes the power away (facts/xen-peers.md 2.7), so the harness does not ask it
@requires(Requirement(toolstacks=(ToolstackName.XL, ToolstackName.LIBVIRT)))
def test_shutdown_without_drivers_is_refused(bare_guest: Guest) -> None:
    answer = bare_guest.host.toolstack.shutdown(bare_guest.name)

    assert answer.refused, "without PV drivers there is nobody to ask"
    assert bare_guest.host.toolstack.find(bare_guest.name) is not None, "a refused shutdown stops nothing"


def test_shutdown_without_drivers_falls_back_to_acpi(bare_guest: Guest, power: PowerParams) -> None:
    mark = bare_guest.operations.event_mark()

    shut_down(bare_guest, ack_s=power.acknowledge_s, off_s=power.shutdown_s, fallback=Fallback.ACPI)
    start_again(bare_guest, ready_s=power.reboot_s)

    events = bare_guest.operations.stop_events(record=mark.record)
    assert (events.clean, events.unclean) == (1, 0), f"the guest's log tells of {events}"


@changes(Change.POWER)
@dirties
def test_destroy_reads_as_unclean(guest: Guest, power: PowerParams, crash_watch: CrashWatch) -> None:
    mark = guest.operations.event_mark()
    crash_watch.allow_unclean_stop()

    guest.kill()
    start_again(guest, ready_s=power.reboot_s)

    events = guest.operations.stop_events(record=mark.record)
    assert events.clean == 0, f"a destroyed guest cannot have stopped cleanly: {events}"
    assert events.unclean >= 1, f"the guest's log does not tell of the unclean stop: {events}"
