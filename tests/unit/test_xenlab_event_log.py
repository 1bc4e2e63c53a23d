"""The stand-in's System log: clean and unclean stops told apart by what is on its disk, nothing else."""

from __future__ import annotations

import struct

import pytest

from harness.operations import StopEvents
from harness.xenlab.standin.eventlog import EventLog
from harness.xenlab.standin.places import Places
from harness.xenlab.standin.power import Power, is_power_key, power_buttons


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.jsonl"


def _ids(log, record=0):
    return [event.event_id for event in log.since(record)]


def test_the_first_boot_of_a_disk_tells_of_no_stop(path):
    log = EventLog(path)
    log.note_start("one")
    assert _ids(log) == [6005]


def test_a_boot_after_a_clean_stop_tells_of_nothing_unclean(path):
    log = EventLog(path)
    log.note_start("one")
    mark = log.last_record
    log.note_request("harness", "reboot")
    log.note_clean_stop()
    again = EventLog(path)
    again.note_start("two")
    assert again.stops(mark) == StopEvents(requested=1, clean=1, unclean=0, bugchecks=0)


def test_a_boot_after_a_stop_without_a_mark_tells_so_once(path):
    EventLog(path).note_start("one")
    log = EventLog(path)
    log.note_start("two")
    assert _ids(log) == [6005, 41, 6008, 6005]
    again = EventLog(path)
    again.note_start("two")
    assert _ids(again) == _ids(log), "an agent started again within a boot told of a stop"


def test_a_request_that_was_not_carried_out_makes_no_clean_stop(path):
    log = EventLog(path)
    log.note_start("one")
    log.note_request("harness", "poweroff")
    again = EventLog(path)
    again.note_start("two")
    assert again.stops(0).unclean == 2


def test_a_line_cut_by_a_power_failure_is_dropped_and_the_log_goes_on(path):
    log = EventLog(path)
    log.note_start("one")
    path.write_bytes(path.read_bytes() + b'{"record": 2, "prov')
    again = EventLog(path)
    again.note_start("two")
    assert [event.record for event in EventLog(path).since(0)] == [1, 2, 3, 4]


def _power(tmp_path, log, how):
    places = Places(tmp_path)
    if how:
        places.stopping.parent.mkdir(parents=True, exist_ok=True)
        places.stopping.write_text(f"{how}\n")
    return Power(places, log, "one")


@pytest.mark.parametrize(("how", "agents_id"), [("poweroff", 1), ("reboot", 2)])
def test_a_stop_nobody_here_asked_for_was_xens(tmp_path, path, how, agents_id):
    log = EventLog(path)
    log.note_start("one")
    _power(tmp_path, log, how).note_stop()
    assert _ids(log) == [6005, agents_id, 1074, 6006]
    assert log.since(1)[0].provider == "xenagent"


def test_a_stop_that_was_asked_for_is_told_once(tmp_path, path):
    log = EventLog(path)
    log.note_start("one")
    log.note_request("power button", "poweroff")
    _power(tmp_path, log, "poweroff").note_stop()
    assert _ids(log) == [6005, 1074, 6006]


def test_an_agent_that_is_ended_alone_marks_no_stop(tmp_path, path):
    log = EventLog(path)
    log.note_start("one")
    _power(tmp_path, log, "").note_stop()
    assert _ids(log) == [6005]


def test_the_power_buttons_are_found_by_name(tmp_path):
    listing = tmp_path / "proc/bus/input/devices"
    listing.parent.mkdir(parents=True)
    listing.write_text(
        'I: Bus=0019\nN: Name="Power Button"\nH: Handlers=kbd event3\n\n'
        'I: Bus=0011\nN: Name="AT keyboard"\nH: Handlers=sysrq kbd event0\n\n'
        'I: Bus=0019\nN: Name="Sleep Button"\nH: Handlers=kbd event4\n\n'
    )
    assert power_buttons(tmp_path) == (tmp_path / "dev/input/event3",)


@pytest.mark.parametrize(
    ("kind", "code", "value", "pressed"),
    [(1, 116, 1, True), (1, 116, 0, False), (0, 0, 0, False), (1, 30, 1, False)],
)
def test_only_the_power_key_going_down_counts(kind, code, value, pressed):
    assert is_power_key(struct.pack("qqHHi", 5, 6, kind, code, value)) is pressed
    assert not is_power_key(b"")
