"""What the PV interface carries arrives unchanged, however its checksums are made; and it is the PV one."""

from dataclasses import replace

import pytest

from harness.scenario import (
    Direction,
    DriverName,
    Guest,
    Host,
    Measurement,
    NetworkParams,
    Payloads,
    Record,
    Requirement,
    ToolName,
    Traffic,
    checksum_keywords,
    checksum_offload,
    drivers,
    hck,
    own_adapter,
    requires,
)

_NETWORK = (DriverName.XENVIF, DriverName.XENNET)
_OFFLOAD = Requirement(drivers=_NETWORK, controller=True, tools=(ToolName.IPERF3,))
_CARRIED_BY = "*TCPChecksumOffloadIPv4"
_CONNECTED = 4  # XenbusState


@drivers("xenvif")
@requires(Requirement(drivers=_NETWORK))
def test_the_host_is_connected_to_the_pv_interface(guest: Guest, host: Host) -> None:
    interfaces = [nic for nic in host.toolstack.nics(guest.name) if nic.mac.lower() == guest.mac.lower()]

    assert [nic.state for nic in interfaces] == [_CONNECTED], f"seen from the host: {interfaces}"


@drivers("xennet")
@requires(Requirement(drivers=_NETWORK))
def test_the_adapter_is_the_pv_one(guest: Guest) -> None:
    adapter = own_adapter(guest)

    assert adapter.instance_id.upper().startswith("XENVIF\\"), (
        f"MAC {guest.mac} belongs to {adapter.instance_id}, which is no PV interface"
    )
    assert adapter.up, f"{adapter.description} is down"


@drivers("xenvif", "xennet")
@requires(Requirement(drivers=_NETWORK, controller=True))
@hck("NDISTest 6.0 [2 Machine] 2c_Mini6CheckConnections")
def test_a_payload_arrives_unchanged_both_ways(payloads: Payloads, network: NetworkParams) -> None:
    found = payloads.exchange(network.payload_mib)

    assert found.in_guest == found.sent, "the guest got something else than was sent"
    assert (found.returned, found.returned_size) == (found.sent, found.size), (
        "what came back differs from what went there"
    )


@drivers("xenvif", "xennet")
@requires(Requirement(drivers=_NETWORK, controller=True))
@hck("NDISTest 6.5 [2 Machine] Stats")
def test_the_adapters_counters_follow_the_traffic(
    guest: Guest, payloads: Payloads, network: NetworkParams
) -> None:
    before = own_adapter(guest).statistics
    size = payloads.exchange(network.payload_mib).size
    after = own_adapter(guest).statistics

    assert after.received_bytes - before.received_bytes >= size, f"{size} bytes came in: {before}, {after}"
    assert after.sent_bytes - before.sent_bytes >= size, f"{size} bytes went out: {before}, {after}"
    assert (after.received_errors, after.sent_errors) == (before.received_errors, before.sent_errors), (
        f"the adapter counts errors: {before}, {after}"
    )


@drivers("xenvif", "xennet")
@requires(_OFFLOAD)
@hck("NDISTest 6.5 [2 Machine] OffloadChecksum", "NDISTest 6.5 [1 Machine] OffloadParity")
def test_traffic_with_checksum_offload(
    guest: Guest, traffic: Traffic, payloads: Payloads, network: NetworkParams, record: Record
) -> None:
    _skip_without_offload(guest)

    with checksum_offload(guest, on=True):
        record(_carried(traffic, network, "on"))
        assert payloads.exchange(network.payload_mib).unchanged, "the network changes what it carries"


@drivers("xenvif", "xennet")
@requires(_OFFLOAD)
@hck("NDISTest 6.5 [2 Machine] OffloadChecksum", "NDISTest 6.5 [1 Machine] OffloadParity")
def test_traffic_without_checksum_offload(
    guest: Guest, traffic: Traffic, payloads: Payloads, network: NetworkParams, record: Record
) -> None:
    _skip_without_offload(guest)

    with checksum_offload(guest, on=False):
        record(_carried(traffic, network, "off"))
        assert payloads.exchange(network.payload_mib).unchanged, "the network changes what it carries"


def _skip_without_offload(guest: Guest) -> None:
    adapter = own_adapter(guest)
    if _CARRIED_BY not in checksum_keywords(adapter):
        pytest.skip(f"{adapter.description} has no setting {_CARRIED_BY}, and the traffic is TCP over IPv4")


def _carried(traffic: Traffic, network: NetworkParams, offload: str) -> list[Measurement]:
    found = [
        replace(measurement, params={**measurement.params, "checksum_offload": offload})
        for direction in (Direction.OUT, Direction.IN)
        for measurement in traffic.tcp(direction, streams=1, seconds=network.offload_seconds)
    ]
    rates = {m.params["direction"]: m.value for m in found if m.metric == "tcp_throughput"}
    assert min(rates.values()) > 0, f"nothing arrives with checksum offload {offload}: {rates}"
    return found
