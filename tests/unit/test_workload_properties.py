"""Whatever a program printed, or part of it: figures that are numbers, or an error that shows the text."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hostile_texts import FIXTURES, any_text, damaged, json_values
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import GuestError, InfrastructureError, OutputNotUnderstood
from harness.workload.disk import Access, DiskLoad, Order
from harness.workload.diskspd import DiskspdRun
from harness.workload.fio import FioRun
from harness.workload.iperf3 import TcpRun, UdpRun, parse_version
from harness.workload.measure import Direction
from harness.workload.ntttcp import NtttcpRun
from harness.workload.peer import parse_bridge_address
from harness.workload.reading import read_json, to_number
from harness.workload.xmltext import read_xml

LOAD = DiskLoad(Access.READ, Order.RANDOM, 4, 8, 5)
RUNS: dict[str, tuple[Any, str]] = {
    "fio": (FioRun(LOAD, "/dev/xvdg", 1 << 20, windows=False), "fio-3.33-rand-read.json"),
    "diskspd": (DiskspdRun(LOAD, 1), "diskspd-2.0.21a.xml"),
    "iperf3 out": (TcpRun("a", 1, Direction.OUT, 1, 5), "iperf3-3.12-tcp-out.json"),
    "iperf3 both": (TcpRun("a", 1, Direction.BOTH, 8, 5), "iperf3-3.12-tcp-both-8.json"),
    "iperf3 cut": (TcpRun("a", 1, Direction.BOTH, 32, 5), "iperf3-3.12-tcp-both-32-cut.json"),
    "iperf3 udp": (UdpRun("a", 1, Direction.OUT, 10, 5), "iperf3-3.12-udp.json"),
    "ntttcp xml": (NtttcpRun("a", 1, 1, 5), "ntttcp-5.33-sender.xml"),
    "ntttcp text": (NtttcpRun("a", 1, 1, 5), "ntttcp-5.40-sender.txt"),
    "ntttcp linux": (NtttcpRun("a", 1, 1, 5, windows=False), "ntttcp-linux-1.4.0-sender.txt"),
}


def recorded(name: str) -> str:
    return (FIXTURES / "workload" / name).read_text(encoding="utf-8")


def read_or_refused(run: Any, text: str) -> None:
    try:
        found = run.read(text)
    except (OutputNotUnderstood, GuestError, InfrastructureError):
        return
    assert found
    assert all(math.isfinite(one.value) for one in found)


@pytest.mark.parametrize("name", RUNS)
@given(data=st.data())
def test_a_damaged_output_is_read_or_refused(name: str, data: st.DataObject) -> None:
    run, sample = RUNS[name]
    read_or_refused(run, data.draw(damaged(recorded(sample))))


@pytest.mark.parametrize("name", [name for name, (_, sample) in RUNS.items() if sample.endswith("json")])
@given(data=st.data())
def test_any_value_in_place_of_a_figure_is_read_or_refused(name: str, data: st.DataObject) -> None:
    run, sample = RUNS[name]
    if name == "iperf3 cut":
        return
    whole = json.loads(recorded(sample))
    inner: Any = whole
    for _ in range(data.draw(st.integers(0, 5))):
        if not isinstance(inner, dict | list) or not inner:
            break
        key = data.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
        if data.draw(st.booleans()):
            inner[key] = data.draw(json_values)
            break
        inner = inner[key]
    read_or_refused(run, json.dumps(whole))


@pytest.mark.parametrize("name", ["iperf3 out", "fio"])
def test_a_whole_number_of_hundreds_of_digits_is_no_figure(name: str) -> None:
    run, sample = RUNS[name]
    text = recorded(sample)
    key = '"bits_per_second":' if name == "iperf3 out" else '"bw_bytes" :'
    assert key in text
    with pytest.raises(OutputNotUnderstood, match="no number"):
        run.read(text.replace(key, f'{key} {"9" * 400}, "x":'))


@pytest.mark.parametrize("piece", ["[", '{"start":', "<Results>", "{", "<ntttcps>"])
@pytest.mark.parametrize("name", RUNS)
def test_a_deep_nest_is_refused(name: str, piece: str) -> None:
    read_or_refused(RUNS[name][0], piece * 50_000)


@given(any_text)
def test_any_text_is_read_or_refused(text: str) -> None:
    for run, sample in RUNS.values():
        read_or_refused(run, text)
        read_or_refused(run, f"{text}{recorded(sample)[:2000]}{text}")
    for parse in (
        parse_version,
        lambda shown: to_number("x", "y", shown, shown),
        lambda shown: read_json("x", shown),
        lambda shown: read_xml("x", shown, ["a"]),
    ):
        with contextlib.suppress(OutputNotUnderstood):
            parse(text)
    found = parse_bridge_address(text)
    assert found is None or found in text
