"""iperf3 and ntttcp are read as they were recorded or published."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import GuestError, InfrastructureError, OutputNotUnderstood
from harness.model import Measurement
from harness.workload.iperf3 import TcpRun, UdpRun, knows_bidir, parse_version
from harness.workload.measure import Direction, summarise
from harness.workload.ntttcp import NtttcpRun

RECORDED = Path(__file__).parents[1] / "fixtures" / "workload"
OUT = TcpRun("10.77.0.1", 5301, Direction.OUT, streams=1, seconds=1)
IN_8 = replace(OUT, direction=Direction.IN, streams=8)
BOTH_8 = replace(OUT, direction=Direction.BOTH, streams=8)
UDP = UdpRun("10.77.0.1", 5301, Direction.OUT, mbps=10, seconds=1)
NTTTCP = NtttcpRun("10.77.0.1", 5001, streams=2, seconds=60)


def recorded(name: str) -> str:
    return (RECORDED / name).read_text()


def by_name(found: tuple[Measurement, ...]) -> dict[str, Measurement]:
    return {measurement.metric: measurement for measurement in found}


def changed(name: str, **end: object) -> str:
    """A recorded report with other values in its end."""
    report = json.loads(recorded(name))
    for key, value in end.items():
        report["end"][key] |= value
    return json.dumps(report)


# -- iperf3: what is run


def test_the_client_goes_outwards_by_itself_and_inwards_with_r() -> None:
    assert OUT.arguments() == (
        "-c", "10.77.0.1", "-p", "5301", "-J", "-i", "0", "-t", "1", "-P", "1",
    )  # fmt: skip
    assert "-R" in IN_8.arguments()
    assert "--bidir" in BOTH_8.arguments()


def test_fractions_of_a_second_are_rounded_up_because_iperf3_would_cut_them_to_zero() -> None:
    run = replace(OUT, seconds=0.4, warm_up_s=0.2)

    assert run.arguments()[7:11] == ("-t", "1", "-O", "1")
    assert run.duration_s == 2


def test_datagrams_are_small_enough_not_to_be_fragmented() -> None:
    arguments = UDP.arguments()

    assert arguments[arguments.index("-b") + 1] == "10M"
    assert int(arguments[arguments.index("-l") + 1]) + 28 <= 1500


# -- iperf3: what came of it


def test_throughput_is_what_arrived_not_what_was_sent() -> None:
    found = by_name(OUT.read(recorded("iperf3-3.12-tcp-out.json")))

    assert found["tcp_throughput"].value == pytest.approx(14488.88, abs=0.01)  # sum_received, not sum_sent
    assert found["tcp_throughput"].unit == "Mbit/s"
    assert found["tcp_throughput"].params == {
        "direction": "out",
        "streams": 1,
        "other_way": "idle",
        "seconds": 1,
    }
    assert found["tcp_throughput"].tool_version == "3.12"
    assert found["tcp_client_processor"].value == pytest.approx(40.24, abs=0.01)


def test_both_ways_are_two_figures_of_one_metric() -> None:
    found = BOTH_8.read(recorded("iperf3-3.12-tcp-both-8.json"))

    rates = {m.params["direction"]: m.value for m in found if m.metric == "tcp_throughput"}
    assert rates == {
        "out": pytest.approx(2493.41, abs=0.01),
        "in": pytest.approx(10065.62, abs=0.01),
    }
    again = {m.params["direction"]: m.value for m in found if m.metric == "tcp_retransmits"}
    assert again == {"out": 34, "in": 17}, "retransmits are those of all streams, not of the last"
    assert {m.params["other_way"] for m in found} == {"busy"}


def test_an_old_iperf3_without_retransmits_is_read_as_well() -> None:
    report = json.loads(recorded("iperf3-3.12-tcp-in-8.json"))
    del report["end"]["sum_sent"]["retransmits"]

    found = by_name(IN_8.read(json.dumps(report)))

    assert "tcp_retransmits" not in found
    assert found["tcp_throughput"].value == pytest.approx(10900.76, abs=0.01)


def test_udp_loss_is_the_receivers() -> None:
    text = changed("iperf3-3.12-udp.json", sum_received={"lost_packets": 13, "lost_percent": 33.3})

    found = by_name(UDP.read(text))

    assert found["udp_loss"].value == 33.3
    assert found["udp_loss"].better == "lower"
    assert found["udp_throughput"].params["offered_mbps"] == 10


def test_udp_of_an_old_iperf3_has_one_sum_which_counts_what_was_sent() -> None:
    report = json.loads(recorded("iperf3-3.12-udp.json"))
    del report["end"]["sum_received"], report["end"]["sum_sent"]
    report["end"]["sum"] |= {"bits_per_second": 10e6, "lost_percent": 25}

    found = by_name(UDP.read(json.dumps(report)))

    assert found["udp_throughput"].value == pytest.approx(7.5)


def test_a_udp_run_in_which_nothing_was_counted_is_no_zero_loss() -> None:
    text = changed("iperf3-3.12-udp.json", sum_received={"packets": 0})

    with pytest.raises(GuestError, match="not one datagram"):
        UDP.read(text)


def test_a_refused_connection_is_the_labs_fault() -> None:
    with pytest.raises(InfrastructureError, match="Connection refused"):
        OUT.read(recorded("iperf3-3.12-refused.json"))


def test_a_run_that_broke_off_is_the_guests_fault() -> None:
    text = recorded("iperf3-3.12-refused.json").replace(
        "unable to connect to server: Connection refused", "control socket has closed unexpectedly"
    )

    with pytest.raises(GuestError, match="closed unexpectedly"):
        OUT.read(text)


def test_a_report_of_many_streams_is_read_from_the_part_a_job_keeps() -> None:
    whole = recorded("iperf3-3.12-tcp-both-8.json")

    assert [m.value for m in BOTH_8.read(whole[6000:])] == [m.value for m in BOTH_8.read(whole)]
    run = replace(OUT, direction=Direction.BOTH, streams=32)
    found = run.read(recorded("iperf3-3.12-tcp-both-32-cut.json"))
    assert [m.metric for m in found] == ["tcp_throughput", "tcp_retransmits"] * 2


@pytest.mark.parametrize("text", ['"sum_sent"', '"sum_sent": {}}}', '"sum_sent": {"retransmits": 1}, '])
def test_a_cut_report_without_its_sums_is_not_understood(text: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        BOTH_8.read(text)


@pytest.mark.parametrize("bad", ["-nan", "NaN", "null", '"12"', "true", "1e999"])
def test_a_rate_that_is_no_number_is_not_understood(bad: str) -> None:
    report = json.loads(recorded("iperf3-3.12-tcp-out.json"))
    report["end"]["sum_received"]["bits_per_second"] = "HERE"

    with pytest.raises(OutputNotUnderstood):
        OUT.read(json.dumps(report).replace('"HERE"', bad))


@given(st.text())
def test_any_text_is_an_error_that_shows_it(text: str) -> None:
    for run in (OUT, BOTH_8, UDP, NTTTCP):
        with pytest.raises(OutputNotUnderstood):
            run.read(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["end", "start", "sum", "sum_received", "sum_sent", "bits_per_second", "packets"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(values)
def test_any_json_is_read_or_not_understood(value: object) -> None:
    for run in (OUT, BOTH_8, UDP):
        try:
            found = run.read(json.dumps(value))
        except (OutputNotUnderstood, GuestError):
            continue
        assert all(isinstance(measurement.value, float) for measurement in found)


def test_the_version_decides_whether_one_run_goes_both_ways() -> None:
    assert parse_version(recorded("iperf3-3.12-version.txt")) == (3, 12)
    assert knows_bidir((3, 12))
    # esnet/iperf issue 1158: the build most Windows machines have
    assert parse_version("iperf 3.1.3\nCYGWIN_NT-6.1 811ZEV 2.5.1\n") == (3, 1)
    assert not knows_bidir((3, 1))
    with pytest.raises(OutputNotUnderstood):
        parse_version("'iperf3' is not recognized")


# -- ntttcp


def test_ntttcps_mb_are_mib() -> None:
    found = by_name(NTTTCP.read(recorded("ntttcp-5.33-sender.xml")))

    assert found["tcp_throughput"].value == pytest.approx(291.485, abs=0.01)  # its own mbps
    assert found["tcp_retransmits"].value == 10
    assert found["tcp_throughput"].tool_version == "5.33"


def test_ntttcps_screen_is_read_like_its_xml() -> None:
    found = by_name(NTTTCP.read(recorded("ntttcp-5.40-sender.txt")))

    assert found["tcp_throughput"].value == pytest.approx(4.749 * 8.388608)
    assert found["tcp_retransmits"].value == 12
    assert found["tcp_throughput"].tool_version == "5.40"


def test_ntttcp_for_linux_counts_in_bits() -> None:
    found = by_name(replace(NTTTCP, windows=False).read(recorded("ntttcp-linux-1.4.0-sender.txt")))

    assert found["tcp_throughput"].value == pytest.approx(31.79)
    assert found["tcp_retransmits"].value == 805
    assert found["tcp_throughput"].tool_version == "1.4.0"


def test_the_two_ntttcps_spell_no_sync_differently() -> None:
    run = replace(NTTTCP, warm_up_s=2)

    assert run.arguments() == (
        "-s", "-m", "2,*,10.77.0.1", "-p", "5001", "-ns", "-t", "60", "-wu", "2",
    )  # fmt: skip
    assert replace(run, windows=False).arguments()[-6:] == ("5001", "-N", "-t", "60", "-W", "2")


@pytest.mark.parametrize("part", ["<ntttcps", "<ntttcps></ntttcps>", "<ntttcps><a></ntttcps>"])
def test_damaged_xml_is_not_understood(part: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        NTTTCP.read(part)


def test_xml_with_entities_is_refused() -> None:
    bomb = '<ntttcps><!DOCTYPE x [<!ENTITY a "aa">]><throughput metric="MB/s">1</throughput></ntttcps>'

    with pytest.raises(OutputNotUnderstood):
        NTTTCP.read(bomb)


# -- repeats


def test_repeats_become_their_median_and_keep_their_samples() -> None:
    def run(out: float, inwards: float) -> tuple[Measurement, ...]:
        return (
            Measurement("tcp_throughput", out, "Mbit/s", "higher", {"direction": "out"}),
            Measurement("tcp_throughput", inwards, "Mbit/s", "higher", {"direction": "in"}),
        )

    out, inwards = summarise([run(100, 1), run(10, 2), run(90, 3)])

    assert (out.value, out.samples) == (90, (100, 10, 90))
    assert (inwards.value, inwards.samples) == (2, (1, 2, 3))
