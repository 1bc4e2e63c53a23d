"""Stops, starts, saves and crashes, as the toolstack, xenstore and the guest's own log tell them."""

from __future__ import annotations

import pytest

from harness.deadline import Done, NotYet, wait_until
from harness.errors import CommandFailed
from harness.guest.guest import Guest
from harness.guest.power import reboot, shut_down, start_again
from harness.host.toolstack.protocol import Fallback, Toolstack
from harness.model import ToolstackName

ACK_S, OFF_S, READY_S = 60, 120, 300


@pytest.fixture
def xl(contract_host) -> Toolstack:
    return contract_host.toolstack


# -- without drivers


def test_a_bare_guest_cannot_be_asked(bare_guest: Guest, xl: Toolstack):
    for ask in (xl.shutdown, xl.reboot):
        answer = ask(bare_guest.name)
        assert answer.refused
        assert answer.text
    assert bare_guest.operations.boot_id().boot_id == bare_guest.boot_id, "a refused request stops nothing"


def test_a_refused_request_is_an_assertion_not_a_timeout(bare_guest: Guest):
    with pytest.raises(AssertionError, match="the toolstack refuses"):
        shut_down(bare_guest, ack_s=ACK_S, off_s=OFF_S)


def test_a_bare_guest_is_not_rebooted_by_acpi(bare_guest: Guest, xl: Toolstack, contract_lab):
    if contract_lab.row.since("4.2"):
        with pytest.raises(CommandFailed, match="reboot"):
            xl.reboot(bare_guest.name, Fallback.ACPI)
    else:
        assert xl.reboot(bare_guest.name, Fallback.ACPI).refused
    assert bare_guest.operations.boot_id().boot_id == bare_guest.boot_id


@pytest.mark.slow
def test_the_acpi_button_stops_a_bare_guest_cleanly(bare_guest: Guest, contract_lab):
    mark, boot = bare_guest.operations.event_mark(), bare_guest.boot_id

    stop = shut_down(bare_guest, ack_s=ACK_S, off_s=OFF_S, fallback=Fallback.ACPI)
    start_again(bare_guest, ready_s=READY_S)

    assert stop.acknowledged_s is None, "the button is not acknowledged through xenstore"
    assert bare_guest.boot_id != boot
    stops = bare_guest.operations.stop_events(record=mark.record)
    assert (stops.clean, stops.unclean) == (1, 0)


@pytest.mark.slow
def test_what_a_bare_guest_stops_by_itself_is_gone(bare_guest: Guest, contract_lab):
    bare_guest.operations.stop()
    bare_guest.wait_off(bare_guest.deadline(OFF_S))
    assert bare_guest.host.toolstack.find(bare_guest.name) is None
    contract_lab.spoil(bare_guest)


# -- with drivers


def test_pausing_stops_time_for_a_guest_and_nothing_else(full_guest: Guest, xl: Toolstack):
    boot = full_guest.boot_id
    xl.pause(full_guest.name)
    full_guest.disconnect(polite=False)
    assert xl.find(full_guest.name).paused
    xl.unpause(full_guest.name)
    assert full_guest.operations.boot_id().boot_id == boot


def test_a_guest_acknowledges_and_stops_cleanly(full_guest: Guest):
    mark, boot = full_guest.operations.event_mark(), full_guest.boot_id

    stop = shut_down(full_guest, ack_s=ACK_S, off_s=OFF_S)
    start_again(full_guest, ready_s=READY_S)

    assert stop.acknowledged_s is not None
    assert 0 <= stop.acknowledged_s <= stop.gone_s
    assert full_guest.boot_id != boot
    stops = full_guest.operations.stop_events(record=mark.record)
    assert (stops.clean, stops.unclean, stops.bugchecks) == (1, 0, 0)


def test_a_reboot_gives_a_new_boot_and_a_new_domid(full_guest: Guest):
    mark, boot, domid = full_guest.operations.event_mark(), full_guest.boot_id, full_guest.domid

    reboot(full_guest, ack_s=ACK_S, ready_s=READY_S)

    assert full_guest.boot_id != boot
    assert full_guest.domid != domid
    stops = full_guest.operations.stop_events(record=mark.record)
    assert (stops.clean, stops.unclean) == (1, 0)


def test_a_saved_guest_goes_on_where_it_was(full_guest: Guest, contract_lab):
    path = contract_lab.area.path(f"{full_guest.name}.save")
    boot, domid = full_guest.boot_id, full_guest.domid
    full_guest.operations.write_file(path=contract_lab.scratch("kept"), content="")

    full_guest.save(path)
    assert full_guest.host.toolstack.find(full_guest.name) is None
    full_guest.restore(path, full_guest.deadline(READY_S))

    assert full_guest.boot_id == boot
    assert full_guest.domid != domid
    assert full_guest.operations.file_facts(path=contract_lab.scratch("kept")).size == 0
    states = [disk.state for disk in full_guest.host.toolstack.disks(full_guest.name) if disk.vdev == 768]
    assert states == [4], "the front end has connected again"
    full_guest.operations.remove_file(path=contract_lab.scratch("kept"))
    contract_lab.host.shell.check(["rm", "-f", path])


@pytest.mark.slow
def test_a_restart_by_the_guest_itself_keeps_the_domain(full_guest: Guest):
    mark, boot = full_guest.operations.event_mark(), full_guest.boot_id
    full_guest.operations.restart()
    full_guest.disconnect(polite=False)
    full_guest.wait_ready(full_guest.deadline(READY_S), old_boot=boot)
    stops = full_guest.operations.stop_events(record=mark.record)
    assert (stops.clean, stops.unclean) == (1, 0)


@pytest.mark.slow
def test_a_destroyed_guest_s_log_tells_of_an_unclean_stop(full_guest: Guest):
    mark = full_guest.operations.event_mark()

    full_guest.kill()
    start_again(full_guest, ready_s=READY_S)

    stops = full_guest.operations.stop_events(record=mark.record)
    assert stops.clean == 0
    assert stops.unclean >= 1


def test_a_domain_that_crashed_is_kept_to_be_looked_at(full_guest: Guest, contract_lab, xl: Toolstack):
    """Last: the guest is lost. The NMI makes Windows crash; the stand-in panics by sysrq."""
    if contract_lab.real:
        contract_lab.host.shell.check(["xl", "sysrq", full_guest.name, "c"])
    else:
        from harness.host.toolstack.protocol import Trigger  # noqa: PLC0415

        xl.trigger(full_guest.name, Trigger.NMI)

    def probe():
        domain = xl.find(full_guest.name)
        return Done(domain) if domain is None or domain.crashed else NotYet(str(domain))

    domain = wait_until(probe, subject="it crashes", deadline=full_guest.deadline(60))
    assert domain is not None
    assert domain.reason == "c"
    contract_lab.spoil(full_guest)
    assert xl.find(full_guest.name) is None


# -- xend


@pytest.mark.rows(ToolstackName.XM)
def test_what_xm_kills_with_exit_code_0_is_not_counted_as_clean(bare_guest: Guest):
    mark = bare_guest.operations.event_mark()

    killed = bare_guest.host.shell.run(["xm", "shutdown", bare_guest.name])
    bare_guest.wait_off(bare_guest.deadline(OFF_S))
    start_again(bare_guest, ready_s=READY_S)

    assert killed.ok, "xm says that all went well"
    stops = bare_guest.operations.stop_events(record=mark.record)
    assert stops.clean == 0
    assert stops.unclean >= 1


@pytest.mark.rows(ToolstackName.XM)
def test_a_guest_is_old_enough_when_it_is_asked_to_reboot(full_guest: Guest):
    """xend destroys what restarts within a minute."""
    boot = full_guest.boot_id
    for _ in range(2):
        reboot(full_guest, ack_s=ACK_S, ready_s=READY_S)
    assert full_guest.boot_id != boot
