"""Traffic between the guest and its host through the PV interface: both protocols, both ways, all streams."""

import pytest

from harness.scenario import (
    Direction,
    DriverName,
    Guest,
    NetworkParams,
    Record,
    Requirement,
    ToolName,
    Traffic,
    drivers,
    exclusive,
    hck,
    requires,
)

_NEEDS = Requirement(drivers=(DriverName.XENVIF, DriverName.XENNET), tools=(ToolName.IPERF3,))


@exclusive
@drivers("xenvif", "xennet")
@requires(_NEEDS)
@hck("NDISTest 6.0 [2 Machine] 2c_Mini6Performance", "NDISTest 6.5 [2 Machine] E2EPerf")
@pytest.mark.parametrize("direction", [Direction.OUT, Direction.IN])
def test_tcp_one_way(traffic: Traffic, network: NetworkParams, record: Record, direction: Direction) -> None:
    for streams in network.streams:
        found = traffic.tcp(
            direction,
            streams=streams,
            seconds=network.seconds,
            warm_up_s=network.warm_up_s,
            repeats=network.repeats,
        )
        record(found)

        rates = [m.value for m in found if m.metric == "tcp_throughput"]
        assert len(rates) == 1
        assert rates[0] > 0, f"nothing arrived over {streams} stream(s) going {direction}"


@exclusive
@drivers("xenvif", "xennet")
@requires(_NEEDS)
@hck("NDISTest 6.0 [2 Machine] 2c_Mini6SendRecv", "NDISTest 6.0 [2 Machine] 2c_Mini6SendRecvReply")
def test_tcp_both_ways_at_once(traffic: Traffic, network: NetworkParams, record: Record) -> None:
    for streams in network.streams:
        found = traffic.tcp(
            Direction.BOTH,
            streams=streams,
            seconds=network.seconds,
            warm_up_s=network.warm_up_s,
            repeats=network.repeats,
        )
        record(found)

        rates = {m.params["direction"]: m.value for m in found if m.metric == "tcp_throughput"}
        assert set(rates) == {"out", "in"}
        assert min(rates.values()) > 0, f"one way starves the other over {streams} stream(s): {rates}"


@exclusive
@drivers("xenvif", "xennet")
@requires(_NEEDS)
@hck("NDISTest 6.5 [2 Machine] CheckConnectivity")
@pytest.mark.parametrize("direction", [Direction.OUT, Direction.IN])
def test_udp_loses_no_more_than_allowed(
    guest: Guest, traffic: Traffic, network: NetworkParams, record: Record, direction: Direction
) -> None:
    found = traffic.udp(
        direction,
        mbps=network.udp_mbps,
        seconds=network.seconds,
        warm_up_s=network.warm_up_s,
        repeats=network.repeats,
    )
    record(found)

    loss = next(m for m in found if m.metric == "udp_loss")
    assert loss.value <= network.udp_loss_percent, (
        f"{loss.value:.2f} % of {network.udp_mbps} Mbit/s got lost going {direction} of {guest.name}"
    )
