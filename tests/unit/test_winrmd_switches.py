"""Every fault switch of an endpoint does what its name says, as often as it is told."""

from __future__ import annotations

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from test_winrmd_support import (
    CERTIFICATE,
    IDENTIFY,
    SHELL_GONE,
    Raw,
    in_thread,
    run,
    say,
    serving,
    talking,
)
from winrm.exceptions import InvalidCredentialsError, WinRMTransportError, WSManFaultError

from harness.winrmd import Fault, FaultKind, FaultSwitches


@pytest.fixture
def server():
    with serving(say("x")) as server:
        yield server


@given(first=st.integers(1, 5), times=st.none() | st.integers(0, 5))
def test_a_fault_strikes_from_its_first_occasion_on_as_often_as_told(first, times):
    faults = FaultSwitches(Fault(FaultKind.DROP, first=first, times=times))
    struck = [number for number in range(1, 13) if faults.strikes(FaultKind.DROP)]
    assert struck == list(range(first, 13 if times is None else first + times))
    assert faults.struck(FaultKind.DROP) == len(struck)


def test_setting_faults_replaces_the_others_and_counts_anew():
    faults = FaultSwitches(Fault(FaultKind.DROP, first=2))
    assert not faults.strikes(FaultKind.DROP)
    faults.set(Fault(FaultKind.DROP, first=2), Fault(FaultKind.HTTP_400))
    assert not faults.strikes(FaultKind.DROP)
    faults.set(Fault(FaultKind.DROP))
    assert faults.strikes(FaultKind.DROP)
    assert not faults.strikes(FaultKind.HTTP_400)
    faults.clear()
    assert not faults.strikes(FaultKind.DROP)


@pytest.mark.parametrize("transport", ["basic", "ntlm"])
def test_401_refuses_the_right_password_until_it_is_off(server, transport):
    server.faults.set(Fault(FaultKind.HTTP_401))
    with talking(server, transport) as protocol, pytest.raises(InvalidCredentialsError):
        protocol.open_shell()
    server.faults.clear()
    with talking(server, transport) as protocol:
        assert run(protocol, protocol.open_shell(), "say")[0] == b"x"


def test_401_lets_identify_through(server):
    server.faults.set(Fault(FaultKind.HTTP_401))
    with Raw(server, login=False) as raw:
        assert raw.request(IDENTIFY.encode(), WSMANIDENTIFY="unauthenticated")[0].status == 200


@pytest.mark.parametrize(("kind", "status"), [(FaultKind.HTTP_400, 400), (FaultKind.HTTP_413, 413)])
@pytest.mark.parametrize("transport", ["basic", "ntlm"])
def test_400_and_413_strike_the_message_they_are_told_to(server, kind, status, transport):
    with talking(server, transport, message_encryption="never") as protocol:
        server.faults.set(Fault(kind, first=2, times=1))
        shell = protocol.open_shell()
        with pytest.raises(WinRMTransportError) as refused:
            protocol.run_command(shell, "say")
        assert refused.value.code == status
        assert run(protocol, shell, "say")[0] == b"x"


@pytest.mark.parametrize("kind", [FaultKind.HTTP_400, FaultKind.DROP])
def test_identify_is_a_message_too(server, kind):
    server.faults.set(Fault(kind, times=1))
    with Raw(server, login=False) as raw:
        try:
            status = raw.request(IDENTIFY.encode(), WSMANIDENTIFY="unauthenticated")[0].status
        except ConnectionError:
            status = 0
        assert status == (400 if kind is FaultKind.HTTP_400 else 0)


@pytest.mark.parametrize(("kind", "left"), [(FaultKind.DROP, 1), (FaultKind.DROP_ANSWER, 2)])
def test_a_drop_is_before_or_after_the_work_and_the_next_connection_is_fine(server, kind, left):
    with talking(server) as protocol:
        shell = protocol.open_shell()
        server.faults.set(Fault(kind, times=1))
        with pytest.raises(requests.ConnectionError):
            protocol.open_shell()
        assert server.shells == left
        assert run(protocol, shell, "say")[0] == b"x"
        assert server.counters.connections == 2


def test_after_a_drop_sealed_messages_are_refused_until_the_client_starts_over(server):
    # facts/winrm.md 1.4: the keys belong to the connection, the shell does not
    with talking(server, "ntlm") as protocol:
        shell = protocol.open_shell()
        server.faults.set(Fault(FaultKind.DROP, times=1))
        with pytest.raises(requests.ConnectionError):
            protocol.run_command(shell, "say")
        with pytest.raises(WinRMTransportError) as refused:
            protocol.run_command(shell, "say")
        assert refused.value.code == 400
        protocol.transport.close_session()
        assert run(protocol, shell, "say")[0] == b"x"


def test_lost_shells_are_lost_once_and_new_ones_stay(server):
    with talking(server) as protocol:
        shell = protocol.open_shell()
        server.faults.set(Fault(FaultKind.LOSE_SHELLS, times=1))
        with pytest.raises(WSManFaultError) as gone:
            protocol.run_command(shell, "say")
        assert gone.value.wsman_fault_code == SHELL_GONE
        assert run(protocol, protocol.open_shell(), "say")[0] == b"x"


def test_dropped_shells_are_gone_and_the_connection_is_not(server):
    with talking(server) as protocol:
        shell = protocol.open_shell()
        server.drop_shells()
        with pytest.raises(WSManFaultError) as gone:
            protocol.run_command(shell, "say")
        assert gone.value.wsman_fault_code == SHELL_GONE
        assert server.counters.connections == 1


def test_refuse_closes_the_port_to_new_connections_only(server):
    with talking(server) as open_one, talking(server) as new_one:
        shell = open_one.open_shell()
        server.faults.set(Fault(FaultKind.REFUSE))
        with pytest.raises(requests.ConnectionError, match="refused"):
            new_one.open_shell()
        assert run(open_one, shell, "say")[0] == b"x"
        server.faults.clear()
        assert run(new_one, shell, "say")[0] == b"x"


def test_refuse_may_be_on_from_the_start():
    with serving(say("x"), faults=FaultSwitches(Fault(FaultKind.REFUSE))) as server:
        with talking(server) as protocol, pytest.raises(requests.ConnectionError, match="refused"):
            protocol.open_shell()
        server.faults.clear()
        with talking(server) as protocol:
            assert protocol.open_shell()


@pytest.mark.parametrize("certificate", [None, CERTIFICATE])
def test_a_frozen_endpoint_answers_once_it_thaws(certificate):
    with serving(say("x"), certificate=certificate) as server, talking(server) as protocol:
        server.faults.set(Fault(FaultKind.FREEZE))
        with in_thread(protocol.open_shell) as shell:
            assert server.wait_for(lambda now: now.open_connections == 1, 10)
            assert server.shells == 0
            server.faults.clear()
            assert run(protocol, shell(), "say")[0] == b"x"


def test_a_frozen_endpoint_can_be_stopped(server):
    server.faults.set(Fault(FaultKind.FREEZE))
    with talking(server) as protocol, in_thread(protocol.open_shell) as answer:
        assert server.wait_for(lambda now: now.open_connections == 1, 10)
        server.stop()
        assert isinstance(answer(), requests.ConnectionError)


def test_an_idle_connection_is_closed_and_basic_goes_on_over_another(server):
    server.faults.set(Fault(FaultKind.IDLE_CLOSE, seconds=0.02))
    with talking(server) as protocol:
        shell = protocol.open_shell()
        assert server.wait_for(lambda now: now.open_connections == 0, 10)
        assert run(protocol, shell, "say")[0] == b"x"
        assert server.counters.connections > 1


def test_an_idle_close_breaks_sealed_messages_for_good_until_the_client_starts_over(server):
    server.faults.set(Fault(FaultKind.IDLE_CLOSE, seconds=0.02))
    with talking(server, "ntlm") as protocol:
        shell = protocol.open_shell()
        assert server.wait_for(lambda now: now.open_connections == 0, 10)
        server.faults.clear()
        for _ in range(2):
            with pytest.raises(WinRMTransportError) as refused:
                protocol.run_command(shell, "say")
            assert refused.value.code == 400
        protocol.transport.close_session()
        assert run(protocol, shell, "say")[0] == b"x"
