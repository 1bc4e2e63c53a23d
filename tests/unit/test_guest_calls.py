"""Typed calls: what comes back is what the list of operations says, or the channel is broken."""

from __future__ import annotations

import dataclasses
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.deadline import Deadline
from harness.errors import ChannelBroken, ChannelError
from harness.guest.calls import decode_result, operations_over
from harness.guest.exchanges import ExchangeLog
from harness.operations import OPERATIONS, BootId, JobStatus, Service, answer_request

ADAPTER = {
    "name": "Ethernet",
    "description": "Xen PV Network Device #0",
    "mac": "00:16:3e:00:00:01",
    "instance_id": "XENVIF\\X\\0",
    "up": True,
    "speed_bps": 10,
    "mtu": 1500,
    "addresses": ["10.0.0.5"],
    "driver_version": "9.1",
    "statistics": dict.fromkeys(
        [
            "received_bytes",
            "sent_bytes",
            "received_packets",
            "sent_packets",
            "received_errors",
            "sent_errors",
        ],
        0,
    ),
    "settings": [["*RSS", "1"]],
}


def refused(name: str, result: object) -> str:
    with pytest.raises(ChannelBroken, match=f"the answer to {name} is malformed") as caught:
        decode_result(OPERATIONS[name], result)
    return str(caught.value)


def test_nested_results_become_frozen_values():
    (adapter,) = decode_result(OPERATIONS["network_adapters"], [ADAPTER])
    assert (adapter.settings, adapter.addresses) == ((("*RSS", "1"),), ("10.0.0.5",))
    with pytest.raises(dataclasses.FrozenInstanceError):
        adapter.mtu = 9000


@pytest.mark.parametrize("value", [5, None, True, [], {}, ["x"]])
def test_a_text_is_a_text(value):
    assert "expected str" in refused("boot_id", {"boot_id": value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("up", "false"),
        ("up", 1),
        ("up", None),
        ("mtu", "1500"),
        ("mtu", 1500.0),
        ("mtu", True),
        ("addresses", "10.0.0.5"),
        ("addresses", {"0": "10.0.0.5"}),
        ("addresses", None),
        ("addresses", [5]),
        ("settings", [["*RSS"]]),
        ("settings", [["*RSS", "1", "2"]]),
        ("settings", {"*RSS": "1"}),
        ("statistics", []),
        ("statistics", {}),
        ("statistics", None),
    ],
)
def test_what_cattrs_would_bend_into_shape_is_refused(key, value):
    assert key in refused("network_adapters", [ADAPTER | {key: value}])


@pytest.mark.parametrize("result", [None, {}, "x", 1, ADAPTER, [None], [[]], ["x"]])
def test_a_list_of_objects_is_nothing_else(result):
    refused("network_adapters", result)


@pytest.mark.parametrize("result", [None, [], [{"boot_id": "x"}], "x", {}, {"boot_id": "x", "more": 1}])
def test_an_object_has_its_keys_and_no_more(result):
    refused("boot_id", result)


def test_an_operation_without_a_result_has_none():
    assert decode_result(OPERATIONS["restart"], None) is None
    refused("restart", "done")


def test_one_of_several_words_is_checked():
    service = {"name": "xenbus", "state": "running", "start": "boot"}
    assert decode_result(OPERATIONS["services"], [service]) == (Service("xenbus", "running", "boot"),)
    refused("services", [service | {"state": "flying"}])


@pytest.mark.parametrize("code", [None, 0, -1073741510])
def test_what_may_be_unknown_may_be_null(code):
    status = {"state": "ended", "exit_code": code, "stdout": "", "stderr": ""}
    assert decode_result(OPERATIONS["job_status"], status) == JobStatus("ended", code, "", "")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(OPERATIONS)), json_values)
def test_no_answer_makes_decoding_fail_otherwise(name, value):
    try:
        decode_result(OPERATIONS[name], value)
    except ChannelBroken:
        return
    wanted = OPERATIONS[name].result
    assert (value is None and wanted is type(None)) or (value == [] and typing.get_origin(wanted) is tuple)


class Recorder:
    """A channel that answers for a guest, and notes the deadlines it is given."""

    def __init__(self, guest: object = None) -> None:
        self.log = ExchangeLog()
        self.seconds: list[float] = []
        self._guest = guest

    def call(self, operation, params, deadline: Deadline):
        self.seconds.append(deadline.seconds)
        return answer_request(self._guest, operation.name, params)

    def close(self) -> None:
        pass


class Boots:
    def boot_id(self):
        return BootId("b")

    def xenstore_watch(self, *, path, seconds):
        raise AssertionError


def test_deadlines_are_scaled_and_give_an_operation_its_own_waiting_time():
    channel = Recorder(Boots())
    operations = operations_over(channel, time_factor=3)

    assert operations.boot_id() == BootId("b")
    with pytest.raises(AssertionError):
        operations.xenstore_watch(path="x", seconds=100)
    assert channel.seconds == [180.0, 480.0]


def test_there_is_no_operation_beyond_the_list():
    with pytest.raises(AttributeError):
        operations_over(Recorder()).format_disk()
    assert issubclass(ChannelBroken, ChannelError)
