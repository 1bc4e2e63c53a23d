"""The simulated guest over its real WinRM endpoint, with the harness's own channel."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest
from guest_machine import MAC, PASSWORD, Bench, bench

from harness.deadline import Deadline
from harness.errors import AnswerTimedOut, ChannelBroken, ChannelError, GuestAuthFailed, GuestUnreachable
from harness.guest.calls import operations_over
from harness.guest.channel import WinRmChannel
from harness.guest.winrm import Endpoint, default_port, identify, peer_fingerprint
from harness.lab import WinRmTransport
from harness.operations import OPERATIONS, GuestOperations
from harness.simlab.guest.operations import SimulatedOperations


def _endpoint(one: Bench, password: str = PASSWORD) -> Endpoint:
    transport = one.template.transport
    address, port = one.addresses[MAC], default_port(transport)
    secure = transport in {WinRmTransport.HTTPS_NTLM, WinRmTransport.HTTPS_BASIC}
    fingerprint = peer_fingerprint(address, port) if secure else ""
    return Endpoint(address, port, transport, one.template.user, password, fingerprint)


def _listening(one: Bench) -> None:
    one.until(lambda: one.system.endpoint.address != "", "WinRM listens")


def _boot_id(channel: WinRmChannel, seconds: float = 5.0) -> str:
    result = channel.call(OPERATIONS["boot_id"], {}, Deadline.after(seconds))
    return str(result["boot_id"])


def test_every_operation_is_there() -> None:
    for name, operation in OPERATIONS.items():
        method = getattr(SimulatedOperations, name)
        hints = typing.get_type_hints(method)
        assert hints.pop("return") == operation.result, name
        assert hints == dict(operation.parameters), name
    assert SimulatedOperations.__name__
    _: type[GuestOperations] = SimulatedOperations


@pytest.mark.parametrize("transport", list(WinRmTransport))
def test_each_transport_answers_operations(tmp_path: Path, transport: WinRmTransport) -> None:
    with bench(tmp_path, transport=transport) as one:
        one.start()
        _listening(one)
        identify(_endpoint(one))
        channel = WinRmChannel(_endpoint(one))
        try:
            ops = operations_over(channel)
            assert ops.boot_id() == one.ops.boot_id()
            assert ops.pnp_devices(prefix="") == one.ops.pnp_devices(prefix="")
            assert ops.network_adapters() == one.ops.network_adapters()
            assert channel.keeps_process
        finally:
            channel.close()


def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        _listening(one)
        channel = WinRmChannel(_endpoint(one, "wrong"))
        with pytest.raises(GuestAuthFailed):
            _boot_id(channel)
        channel.close()


def test_the_endpoint_goes_with_the_guest_and_comes_back_with_another_boot(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        _listening(one)
        channel = WinRmChannel(_endpoint(one))
        first = _boot_id(channel)
        one.ops.restart()
        one.box.await_stop()
        with pytest.raises(ChannelError):
            _boot_id(channel)
        one.guest.cut()
        one.start()
        _listening(one)
        assert _boot_id(channel) != first
        channel.close()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("winrm-401", GuestAuthFailed),
        ("winrm-400", ChannelBroken),
        ("winrm-413", ChannelBroken),
        ("winrm-drop", GuestUnreachable),
    ],
)
def test_a_winrm_fault_is_what_the_client_meets(
    tmp_path: Path, fault: str, error: type[ChannelError]
) -> None:
    with bench(tmp_path, fault) as one:
        one.start()
        _listening(one)
        channel = WinRmChannel(_endpoint(one))
        with pytest.raises(error):
            _boot_id(channel)
        channel.close()


def test_the_fault_winrm_freeze_lets_one_answer_through(tmp_path: Path) -> None:
    with bench(tmp_path, "winrm-freeze") as one:
        one.start()
        _listening(one)
        channel = WinRmChannel(_endpoint(one))
        assert _boot_id(channel) == one.ops.boot_id().boot_id
        one.guest._life.after(3, one.guest.cut)  # ends the client's wait: nothing else would
        with pytest.raises((AnswerTimedOut, GuestUnreachable, ChannelBroken)):
            _boot_id(channel, 0.2)
        channel.close()


def test_the_fault_shell_lost_is_cured_by_the_channel(tmp_path: Path) -> None:
    with bench(tmp_path, "shell-lost") as one:
        one.start()
        _listening(one)
        channel = WinRmChannel(_endpoint(one))
        for _ in range(8):
            assert _boot_id(channel) == one.ops.boot_id().boot_id
        log = channel.log.lines()
        channel.close()
        assert one.system.endpoint._switches.struck("lose-shells") == 1
        assert log.count('"boot_id"') == 8


def test_install_over_the_wire_and_the_network_that_moves_to_the_pv_interface(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        _listening(one)
        one.install_all()
        _listening(one)
        channel = WinRmChannel(_endpoint(one))
        ops = operations_over(channel)
        assert ops.pending_reboots() == ()
        assert ops.xenstore_write(path="data/x", value="y").value == "y"
        channel.close()
