"""The channel over a real endpoint: what it costs, what it survives, what it says when it does not."""

from __future__ import annotations

import base64
import http.server
import json
import logging
import select
import socket
import struct
import threading

import pytest
import requests
import winrm.protocol
from secret_forms import forms
from test_guest_support import ADDRESS, ODD, PASSWORD, USER, SmallGuest, ask, channel_to, endpoint_of

from harness.errors import (
    AnswerTimedOut,
    ChannelBroken,
    GuestAuthFailed,
    GuestUnreachable,
    OperationFailed,
    QuotaExceeded,
)
from harness.guest.channel import WinRmChannel
from harness.guest.exchanges import Exchange, ExchangeLog
from harness.guest.winrm import Endpoint, identify, peer_fingerprint
from harness.lab import WinRmTransport
from harness.winrmd import (
    Dispatcher,
    Fault,
    FaultKind,
    Reply,
    ServerCertificate,
    TableRunner,
    WinRmSettings,
    is_agent_process,
    login,
)

TRANSPORTS = list(WinRmTransport)


@pytest.fixture
def guest():
    return SmallGuest()


@pytest.fixture
def basic(guest):
    with channel_to(guest) as parts:
        yield parts


def nothing_open(server):
    return (server.counters.shells, server.counters.commands) == (0, 0)


# -- the usual way


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_operation_takes_two_messages_on_the_kept_process(guest, transport):
    with channel_to(guest, transport) as (channel, server, warnings):
        assert ask(channel, "boot_id") == {"boot_id": "boot-1"}
        before = server.counters
        for _ in range(10):
            ask(channel, "boot_id")
        after = server.counters

        assert after.messages - before.messages == 20
        assert after.connections == before.connections
        assert (after.shells, after.commands) == (1, 1)
        assert (channel.keeps_process, warnings) == (True, [])
        channel.close()
        assert nothing_open(server)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_text_of_every_kind_goes_there_and_back(guest, transport):
    with channel_to(guest, transport) as (channel, _, _):
        assert ask(channel, "xenstore_write", path=ODD, value=ODD)["value"] == ODD


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_megabyte_goes_each_way(guest, transport):
    with channel_to(guest, transport) as (channel, _, _):
        answer = ask(channel, "read_file", path="x", offset=0, length=1_000_000)
        assert answer["content"] == "A" * 1_000_000
        assert ask(channel, "write_file", path="x", content="B" * 1_000_000)["size"] == 1_000_000


def test_what_the_guest_refuses_is_the_guest_s_and_the_process_goes_on(basic):
    channel, server, _ = basic
    for _ in range(2):
        with pytest.raises(OperationFailed, match=r"file_facts: not-found: no C:\\x"):
            ask(channel, "file_facts", path="C:\\x")
    assert server.counters.commands == 1


def test_a_channel_is_for_the_thread_that_made_it(basic):
    channel, _, _ = basic
    caught: list[BaseException] = []

    def use():
        try:
            ask(channel, "boot_id")
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join(20)
    assert "belongs to the thread" in str(caught[0])


def test_a_closed_channel_may_be_used_again(basic):
    channel, server, _ = basic
    ask(channel, "boot_id")
    channel.close()
    channel.close()
    assert ask(channel, "boot_id") == {"boot_id": "boot-1"}
    assert server.shells == 1


# -- one process per operation


def test_a_process_that_does_not_announce_itself_is_given_up_with_one_warning(guest):
    with channel_to(guest, announce_s=0.2) as (channel, server, warnings):
        server.faults.set(Fault(FaultKind.NO_READY))

        assert ask(channel, "boot_id") == {"boot_id": "boot-1"}
        assert ask(channel, "boot_id") == {"boot_id": "boot-1"}

        assert not channel.keeps_process
        assert len(warnings) == 1
        assert "does not announce itself" in warnings[0]
        assert server.counters.commands == 0, "each process has been ended"
        with pytest.raises(OperationFailed, match="not-found"):
            ask(channel, "file_facts", path="x")
        answer = ask(channel, "read_file", path="x", offset=0, length=1_000_000)
        assert len(answer["content"]) == 1_000_000


def test_an_operation_whose_time_the_silent_process_took_says_so(guest):
    with channel_to(guest, announce_s=60) as (channel, server, warnings):
        server.faults.set(Fault(FaultKind.NO_READY))
        with pytest.raises(AnswerTimedOut, match="did not announce itself"):
            ask(channel, "boot_id", seconds=0.5)
        assert len(warnings) == 1
        assert ask(channel, "boot_id") == {"boot_id": "boot-1"}, "the next one knows better"


@pytest.mark.parametrize(
    "reply", [Reply(stderr=b"'powershell.exe' is not recognized\r\n", exit_code=1), Reply()]
)
def test_a_guest_without_powershell_is_told_with_its_own_words(reply):
    runner = TableRunner({}, otherwise=lambda _: reply)
    with channel_to(None, runner=runner) as (channel, server, warnings):
        with pytest.raises(ChannelBroken, match="PowerShell ended before it answered") as caught:
            ask(channel, "boot_id")
        assert (b"recognized" in reply.stderr) == ("is not recognized" in str(caught.value))
        assert (b"recognized" in reply.stderr) == ("is not recognized" in warnings[0])
        channel.close()
        assert nothing_open(server)


def test_a_process_that_has_another_module_is_not_kept(guest):
    def boast(request):
        assert is_agent_process(request)
        ready = {"ready": {"shell": "5.1", "module": "0" * 64}}
        return Reply(b"PVH " + json.dumps(ready).encode() + b"\r\n")

    with channel_to(guest, runner=Dispatcher(TableRunner({}, otherwise=boast))) as (channel, _, warnings):
        with pytest.raises(ChannelBroken):
            ask(channel, "boot_id")
        assert len(warnings) == 1


# -- answers that go astray


@pytest.mark.parametrize("kind", [FaultKind.LOSE_ANSWER, FaultKind.HALF_ANSWER])
def test_an_answer_that_was_lost_or_cut_is_asked_for_again(guest, basic, kind, monkeypatch):
    monkeypatch.setattr("harness.guest.channel._RECEIVE_S", 1)
    channel, server, _ = basic
    ask(channel, "boot_id")
    server.faults.set(Fault(kind, times=1))

    assert ask(channel, "read_file", path="x", offset=0, length=5)["content"] == "AAAAA"
    assert guest.asked.count("read_file") == 2
    assert server.counters.commands == 1, "the process is still the same"


@pytest.mark.parametrize("kind", [FaultKind.LOSE_ANSWER, FaultKind.HALF_ANSWER])
def test_what_starts_something_is_never_asked_for_twice(guest, basic, kind, monkeypatch):
    monkeypatch.setattr("harness.guest.channel._RECEIVE_S", 1)
    channel, server, _ = basic
    ask(channel, "boot_id")
    server.faults.set(Fault(kind, times=1))

    with pytest.raises(ChannelBroken):
        ask(channel, "install_package", inf="x.inf")
    assert guest.asked.count("install_package") == 1


def test_a_late_answer_is_waited_for_and_asked_for_once(guest, basic, monkeypatch):
    monkeypatch.setattr("harness.guest.channel._RECEIVE_S", 1)
    channel, server, _ = basic
    ask(channel, "boot_id")
    server.faults.set(Fault(FaultKind.LATE_ANSWER, times=1, seconds=1.5))

    assert ask(channel, "read_file", path="x", offset=0, length=1)["content"] == "A"
    assert guest.asked.count("read_file") == 1
    # the answer to the question whether it is still there comes later, and is nobody's
    assert ask(channel, "read_file", path="y", offset=0, length=2)["path"] == "y"


def test_doubled_answers_are_taken_once(basic):
    channel, server, _ = basic
    server.faults.set(Fault(FaultKind.DOUBLE_ANSWER))
    for length in range(1, 6):
        assert len(ask(channel, "read_file", path="x", offset=0, length=length)["content"]) == length


@pytest.fixture
def patience(monkeypatch):
    """How long each HTTP request may take, in seconds, as they are sent."""
    limits: list[float] = []
    send = requests.Session.send

    def noted(self, request, **options):
        limits.append(options["timeout"])
        return send(self, request, **options)

    monkeypatch.setattr(requests.Session, "send", noted)
    return limits


def test_an_answer_that_never_comes_ends_with_the_deadline_and_the_stuck_process(guest, basic, patience):
    channel, server, _ = basic
    ask(channel, "boot_id")
    guest.may_go_on.clear()
    patience.clear()

    with pytest.raises(AnswerTimedOut, match="no answer to memory"):
        ask(channel, "memory", seconds=0.5)

    assert max(patience) <= 3, "the service was told to wait no longer than we do"
    guest.may_go_on.set()
    assert ask(channel, "boot_id") == {"boot_id": "boot-1"}, "the next does not queue behind it"
    assert server.counters.commands == 1


def test_a_sealed_answer_without_its_length_is_an_error_of_the_channel(guest, monkeypatch):
    with channel_to(guest, WinRmTransport.HTTP_NTLM) as (channel, _, _):
        ask(channel, "boot_id")
        render = login.render_sealed
        monkeypatch.setattr(
            login, "render_sealed", lambda *parts: render(*parts).replace(b";Length=", b";Size=")
        )
        with pytest.raises(ChannelBroken, match="makes no sense"):
            ask(channel, "boot_id")


# -- the way breaks


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "kind", [FaultKind.DROP, FaultKind.DROP_ANSWER, FaultKind.HTTP_400, FaultKind.HTTP_413]
)
@pytest.mark.parametrize("first", [1, 2])
def test_a_message_that_fails_once_costs_nothing_but_time(guest, transport, kind, first):
    with channel_to(guest, transport) as (channel, server, _):
        ask(channel, "boot_id")
        server.faults.set(Fault(kind, first=first, times=1))
        assert ask(channel, "read_file", path="x", offset=0, length=3)["content"] == "AAA"
        assert server.faults.struck(kind) == 1
        assert ask(channel, "boot_id") == {"boot_id": "boot-1"}
        channel.close()
        assert nothing_open(server)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("first", range(1, 6))
def test_a_connection_lost_while_the_process_is_made_leaves_nothing_behind(guest, transport, first):
    with channel_to(guest, transport) as (channel, server, _):
        server.faults.set(Fault(FaultKind.DROP, first=first, times=1))
        assert ask(channel, "boot_id") == {"boot_id": "boot-1"}
        channel.close()
        assert nothing_open(server)


@pytest.mark.parametrize("first", range(1, 6))
def test_a_connection_lost_in_a_long_answer_does_not_spoil_the_next(guest, basic, first):
    channel, server, _ = basic
    ask(channel, "boot_id")
    server.faults.set(Fault(FaultKind.DROP_ANSWER, first=first, times=1))
    answer = ask(channel, "read_file", path="x", offset=0, length=1_000_000)
    assert answer["content"] == "A" * 1_000_000


@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.DROP_ANSWER])
@pytest.mark.parametrize("first", range(1, 8))
def test_a_connection_lost_in_a_long_request_does_not_spoil_it(guest, basic, first, kind):
    channel, server, _ = basic
    ask(channel, "boot_id")
    server.faults.set(Fault(kind, first=first, times=1))
    assert ask(channel, "write_file", path="x", content="B" * 500_000)["size"] == 500_000


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_idle_connection_may_be_closed_by_the_guest(guest, transport):
    with channel_to(guest, transport) as (channel, server, _):
        ask(channel, "boot_id")
        server.drop_connections()
        assert server.wait_for(lambda now: now.open_connections == 0, 10)
        assert ask(channel, "boot_id") == {"boot_id": "boot-1"}
        assert server.shells == 1, "shells do not belong to a connection"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_lost_shell_is_made_anew(guest, transport):
    with channel_to(guest, transport) as (channel, server, _):
        ask(channel, "boot_id")
        server.drop_shells()
        assert ask(channel, "boot_id") == {"boot_id": "boot-1"}
        assert (server.shells, server.counters.commands) == (1, 1)


def test_what_starts_something_is_asked_again_where_nobody_can_have_heard_it(guest, basic):
    channel, server, _ = basic
    ask(channel, "boot_id")
    server.drop_shells()

    assert ask(channel, "install_package", inf="x.inf") == {"job": "job-1"}
    assert guest.asked.count("install_package") == 1


def test_after_a_reboot_the_channel_finds_the_new_boot(guest, basic):
    channel, server, _ = basic
    ask(channel, "boot_id")
    server.stop()
    with pytest.raises(GuestUnreachable):
        ask(channel, "boot_id")
    guest.boot = "boot-2"
    server.start()
    assert ask(channel, "boot_id") == {"boot_id": "boot-2"}


@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.REFUSE])
def test_a_guest_that_is_gone_is_unreachable_and_closing_is_silent(guest, kind):
    with channel_to(guest) as (channel, server, _):
        ask(channel, "boot_id")
        server.drop_connections()
        server.faults.set(Fault(kind))
        with pytest.raises(GuestUnreachable, match=ADDRESS):
            ask(channel, "boot_id")
        before = server.counters.messages
        channel.close()
        assert server.counters.messages == before


def test_a_frozen_guest_does_not_hold_us_beyond_the_deadline(basic, patience):
    channel, server, _ = basic
    ask(channel, "boot_id")
    server.faults.set(Fault(FaultKind.FREEZE))
    patience.clear()
    with pytest.raises(GuestUnreachable):
        ask(channel, "boot_id", seconds=0.5)
    channel.close()
    assert (len(patience), max(patience)) == (1, 3)
    server.faults.clear()


@pytest.mark.parametrize("kind", [FaultKind.HTTP_400, FaultKind.HTTP_413])
def test_a_guest_that_refuses_every_message_breaks_the_channel(basic, kind):
    channel, server, _ = basic
    server.faults.set(Fault(kind))
    with pytest.raises(ChannelBroken, match=kind.value.upper().replace("-", " ")):
        ask(channel, "boot_id")


# -- who may come in


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_wrong_password_is_named_by_its_user_and_never_shown(guest, transport):
    with endpoint_of(guest, transport) as (server, right):
        wrong = Endpoint(
            right.address, right.port, transport, right.user, "not the secret", right.fingerprint
        )
        channel = WinRmChannel(wrong)
        with pytest.raises(GuestAuthFailed, match="refuses user Administrator") as caught:
            ask(channel, "boot_id")
        channel.close()
        assert "not the secret" not in f"{caught.value}{channel.log.lines()}{wrong!r}"
        assert nothing_open(server)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_whatever_is_logged_nothing_of_a_login_is(guest, transport, caplog):
    caplog.set_level(logging.DEBUG)
    with channel_to(guest, transport) as (channel, _, _):
        ask(channel, "boot_id")
    assert caplog.records, "the libraries said something"
    for written in forms(PASSWORD, USER).values():
        assert written not in caplog.text
    assert base64.b64encode(b"NTLMSSP\0").decode().rstrip("=")[:-1] not in caplog.text


@pytest.mark.parametrize("transport", [WinRmTransport.HTTPS_BASIC, WinRmTransport.HTTP_BASIC])
def test_a_password_that_basic_cannot_carry_is_said_before_it_is_sent(guest, transport):
    with endpoint_of(guest, transport) as (server, right):
        wrong = Endpoint(right.address, right.port, transport, right.user, "пароль", right.fingerprint)
        with pytest.raises(GuestAuthFailed, match="cannot be sent by Basic") as caught:
            ask(WinRmChannel(wrong), "boot_id")
        assert "https-ntlm" in caught.value.mend
        assert "пароль" not in str(caught.value)
        assert server.counters.messages == 0


def test_a_login_that_is_refused_later_on_is_no_reason_to_ask_again(basic):
    channel, server, _ = basic
    ask(channel, "boot_id")
    server.faults.set(Fault(FaultKind.HTTP_401))
    server.drop_connections()
    with pytest.raises(GuestAuthFailed):
        ask(channel, "boot_id")


@pytest.mark.parametrize("transport", [WinRmTransport.HTTPS_NTLM, WinRmTransport.HTTPS_BASIC])
def test_another_certificate_than_the_pinned_one_ends_it(guest, transport):
    with endpoint_of(guest, transport) as (server, right):
        other = Endpoint(right.address, right.port, transport, right.user, PASSWORD, "ab" * 32)
        channel = WinRmChannel(other)
        with pytest.raises(GuestAuthFailed, match="another certificate"):
            ask(channel, "boot_id")
        with pytest.raises(GuestAuthFailed, match="another certificate"):
            identify(other)
        assert server.counters.messages == 0, "nothing was said to a stranger"


@pytest.mark.parametrize("transport", [WinRmTransport.HTTPS_NTLM, WinRmTransport.HTTPS_BASIC])
def test_another_certificate_in_the_middle_is_refused_before_anything_is_said(guest, transport):
    """Whoever answers there now, after a reboot or on the way: it is not whom we pinned."""
    stranger = ServerCertificate.make("STRANGER")
    with endpoint_of(guest, transport) as (server, right):
        channel = WinRmChannel(right)
        ask(channel, "boot_id")
        server.stop()
        with endpoint_of(guest, transport, port=right.port, certificate=stranger) as (other, _):
            with pytest.raises(GuestAuthFailed, match="another certificate") as caught:
                ask(channel, "boot_id")
            assert right.fingerprint in caught.value.found
            assert other.counters.messages == 0
            channel.close()


def test_the_certificate_that_a_port_shows_can_be_pinned(guest):
    with endpoint_of(guest, WinRmTransport.HTTPS_NTLM) as (server, endpoint):
        assert peer_fingerprint(endpoint.address, endpoint.port) == server.fingerprint


def test_a_port_without_tls_has_no_certificate(guest):
    with endpoint_of(guest) as (_, endpoint), pytest.raises(GuestUnreachable, match="no TLS"):
        peer_fingerprint(endpoint.address, endpoint.port)


def test_a_guest_that_resets_before_the_handshake_is_unreachable_and_breaks_no_later_test(
    monkeypatch,
):
    connect = socket.create_connection

    def connected_and_reset(address, *args, **named):
        sock = connect(address, *args, **named)
        peer, _ = listener.accept()
        # closing with no linger sends a reset instead of an end
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        reset = select.poll()
        reset.register(sock, select.POLLERR)
        assert reset.poll(5000), "the reset did not arrive in 5 s"
        return sock

    with socket.create_server((ADDRESS, 0)) as listener:
        monkeypatch.setattr(socket, "create_connection", connected_and_reset)
        # CPython 3.11 leaves its socket unclosed here: pyproject.toml's filterwarnings
        with pytest.raises(GuestUnreachable, match="no TLS"):
            peer_fingerprint(ADDRESS, listener.getsockname()[1])


def test_a_guest_that_goes_down_in_the_handshake_is_unreachable_not_a_stranger(guest):
    with socket.create_server((ADDRESS, 0)) as listener:

        def hang_up():
            for _ in range(3):
                sock, _ = listener.accept()
                sock.recv(100)
                sock.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        endpoint = Endpoint(
            ADDRESS, listener.getsockname()[1], WinRmTransport.HTTPS_NTLM, "u", "p", "ab" * 32
        )
        with pytest.raises(GuestUnreachable):
            identify(endpoint)
        with pytest.raises(GuestUnreachable):
            ask(WinRmChannel(endpoint), "boot_id")
        thread.join(10)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_identify_needs_no_login(guest, transport):
    with endpoint_of(guest, transport) as (server, endpoint):
        assert "Microsoft-HTTPAPI" in identify(endpoint)
        assert server.counters.messages == 0 or server.shells == 0


def test_something_else_on_the_port_is_no_winrm(guest):
    class Web(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>router</html>")

        def log_message(self, *_):
            pass

    with http.server.HTTPServer((ADDRESS, 0), Web) as web:
        thread = threading.Thread(target=web.serve_forever, args=(0.02,))
        thread.start()
        endpoint = Endpoint(ADDRESS, web.server_address[1], WinRmTransport.HTTP_BASIC, "u", "p")
        with pytest.raises(GuestUnreachable, match="not as WinRM does"):
            identify(endpoint)
        with pytest.raises(ChannelBroken, match="makes no sense"):
            ask(WinRmChannel(endpoint), "boot_id")
        web.shutdown()
        thread.join(10)


# -- quotas and leaks


def test_too_many_shells_is_said_with_the_mend(guest):
    with (
        channel_to(guest, settings=WinRmSettings(max_shells_per_user=1)) as (channel, server, _),
    ):
        ask(channel, "boot_id")
        second = WinRmChannel(channel.endpoint)
        with pytest.raises(QuotaExceeded, match="MaxShellsPerUser"):
            ask(second, "boot_id")
        second.close()
        assert server.shells == 1


def test_no_shell_is_leaked_when_reading_raises(guest, basic, monkeypatch):
    channel, server, _ = basic

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(winrm.protocol.Protocol, "get_command_output_raw", fail)
    for _ in range(3):
        with pytest.raises(MemoryError):
            ask(channel, "boot_id")
    assert server.counters.commands == 0, "a process nobody listens to is ended"
    channel.close()
    assert nothing_open(server)


# -- the log


def test_the_log_tells_of_every_exchange_and_of_no_value(basic):
    channel, _, _ = basic
    ask(channel, "write_file", path="C:\\secret", content="cGFzc3dvcmQ=")
    with pytest.raises(OperationFailed):
        ask(channel, "file_facts", path="x")

    first, second = (json.loads(line) for line in channel.log.lines().splitlines())
    assert (first["op"], first["ended"]) == ("write_file", "ok")
    assert first["request_bytes"] > 50
    assert second["ended"].startswith("OperationFailed")
    assert "cGFzc3dvcmQ" not in channel.log.lines()


def test_the_log_forgets_the_oldest_first(tmp_path):
    log = ExchangeLog(limit=2)
    for number in range(3):
        log.add(Exchange(at=0, op=str(number), request_bytes=1, answer_bytes=1, duration_s=0.1, ended="ok"))
    log.write(tmp_path / "log")
    assert [json.loads(line)["op"] for line in (tmp_path / "log").read_text().splitlines()] == ["1", "2"]
