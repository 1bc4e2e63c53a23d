"""An endpoint starts, stops, counts, and leaves nothing behind; certificates; what is imported when."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest
import requests
from test_winrmd_support import (
    ADDRESS,
    CERTIFICATE,
    PASSWORD,
    USER,
    PuppetRunner,
    Raw,
    in_thread,
    run,
    say,
    serving,
    talking,
)

from harness.errors import ConfigurationError, InfrastructureError
from harness.winrmd import Credentials, Fault, FaultKind, FaultSwitches, ServerCertificate, WinRmServer


def endpoint(**settings):
    return WinRmServer(ADDRESS, 0, credentials=Credentials(USER, PASSWORD), runner=say("x"), **settings)


@pytest.mark.parametrize("certificate", [None, CERTIFICATE])
def test_a_stop_refuses_new_connections_breaks_open_ones_and_ends_commands(certificate):
    puppets = PuppetRunner()
    with serving(puppets, certificate=certificate) as server, talking(server) as protocol:
        shell = protocol.open_shell()
        command = protocol.run_command(shell, "x")
        with in_thread(lambda: protocol.get_command_output_raw(shell, command)) as answer:
            assert puppets.last.reading.wait(10)
            started = time.monotonic()
            server.stop()
            assert time.monotonic() - started < 1  # typically 1 ms; a waiting Receive would take 20 s
            assert isinstance(answer(), Exception)
        assert puppets.last.terminated.is_set()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((ADDRESS, server.port), timeout=5)
        now = server.counters
        assert (now.open_connections, now.shells, now.commands, server.running) == (0, 0, 0, False)


def test_a_stopped_endpoint_starts_again_on_its_port_without_its_shells():
    with serving(say("x")) as server, talking(server) as protocol:
        old_port, shell = server.port, protocol.open_shell()
        server.stop()
        server.start()
        server.start()
        assert (server.port, server.shells) == (old_port, 0)
        with pytest.raises(Exception, match="shell was not found"):
            protocol.run_command(shell, "say")
        assert run(protocol, protocol.open_shell(), "say")[0] == b"x"


def test_an_endpoint_may_be_stopped_from_within_a_command():
    class Suicidal(PuppetRunner):
        def start(self, request):
            server.stop()
            return super().start(request)

    with serving(Suicidal()) as server, talking(server) as protocol:
        shell = protocol.open_shell()
        with pytest.raises(requests.ConnectionError):
            protocol.run_command(shell, "x")
        assert server.wait_for(lambda now: now.open_connections == 0, 10)
        assert not server.running


def test_stopping_twice_or_before_the_start_is_harmless():
    server = endpoint()
    server.stop()
    server.start()
    server.stop()
    server.stop()
    assert not server.running


def test_a_port_that_is_taken_is_named():
    with serving(say("")) as server:
        other = WinRmServer(ADDRESS, server.port, credentials=Credentials(USER, PASSWORD), runner=say(""))
        with pytest.raises(InfrastructureError, match=f"{ADDRESS} port {server.port}"):
            other.start()
        assert not other.running


def test_dropped_connections_are_made_again_and_shells_stay():
    with serving(say("x")) as server, talking(server) as protocol:
        shell = protocol.open_shell()
        server.drop_connections()
        assert server.wait_for(lambda now: now.open_connections == 0, 10)
        assert run(protocol, shell, "say")[0] == b"x"
        assert server.shells == 1


def test_twenty_endpoints_with_one_certificate_live_side_by_side():
    servers = [endpoint(certificate=CERTIFICATE) for _ in range(20)]
    before = set(threading.enumerate())
    try:
        for server in servers:
            server.start()
        assert len(set(threading.enumerate()) - before) == 20
        for server in servers[::7]:
            with talking(server, "ntlm") as protocol:
                assert run(protocol, protocol.open_shell(), "say")[0] == b"x"
    finally:
        for server in servers:
            server.stop()
    left = set(threading.enumerate()) - before
    assert [thread.name for thread in left if "winrmd" in thread.name] == []


def test_endpoints_with_different_passwords_do_not_mix_them_up():
    def talk(password):
        server = WinRmServer(ADDRESS, 0, credentials=Credentials(USER, password), runner=say(password))
        server.start()
        try:
            with talking(server, "ntlm", password=password) as protocol:
                return run(protocol, protocol.open_shell(), "say")[0]
        finally:
            server.stop()

    with in_thread(lambda: talk("one")) as first, in_thread(lambda: talk("two")) as second:
        assert (first(), second()) == (b"one", b"two")


@pytest.mark.parametrize(("method", "path"), [("GET", "/wsman"), ("POST", "/"), ("POST", "/wsman/x")])
def test_anything_but_a_post_to_wsman_is_not_found(method, path):
    with serving(say("")) as server, Raw(server) as raw:
        assert raw.request(method=method, path=path)[0].status == 404
        assert raw.request(path="/wsman?PSVersion=5.1")[0].status == 200


def test_what_is_not_http_is_answered_with_400_and_hung_up_on():
    with serving(say("")) as server, socket.create_connection((ADDRESS, server.port), timeout=10) as sock:
        sock.sendall(b"hello\r\n")
        assert sock.makefile("rb").read().startswith(b"HTTP/1.1 400 ")


def test_a_connection_ends_when_the_client_wishes():
    with serving(say("")) as server, Raw(server) as raw:
        response, _ = raw.request(Connection="close")
        assert (response.status, response.headers["Connection"]) == (200, "close")
        assert server.wait_for(lambda now: now.open_connections == 0, 10)


def test_plain_http_spoken_to_https_harms_nobody():
    with serving(say("x"), certificate=CERTIFICATE) as server:
        with (
            Raw(server) as raw,
            pytest.raises((ConnectionError, http.client.BadStatusLine)),
        ):
            raw.request(b"x")
        with talking(server) as protocol:
            assert run(protocol, protocol.open_shell(), "say")[0] == b"x"


def test_the_fingerprint_is_that_of_the_certificate_shown():
    with serving(say(""), certificate=CERTIFICATE) as server:
        context = ssl.create_default_context(cadata=CERTIFICATE.certificate.decode())
        with (
            socket.create_connection((ADDRESS, server.port), timeout=10) as sock,
            context.wrap_socket(sock, server_hostname="WIN1") as tls,
        ):
            shown = tls.getpeercert(binary_form=True)
        assert server.fingerprint == hashlib.sha256(shown).hexdigest()


def test_a_certificate_is_loaded_from_files_and_its_key_never_shown(tmp_path):
    (tmp_path / "cert.pem").write_bytes(CERTIFICATE.certificate)
    (tmp_path / "key.pem").write_bytes(CERTIFICATE.key)
    loaded = ServerCertificate.load(tmp_path / "cert.pem", tmp_path / "key.pem")
    assert loaded == CERTIFICATE
    assert "PRIVATE" not in repr(loaded)


@pytest.mark.parametrize(
    "text", [b"", b"\xff", b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_a_certificate_is_named(tmp_path, text):
    path = tmp_path / "cert.pem"
    path.write_bytes(text)
    with pytest.raises(ConfigurationError, match=r"cert\.pem"):
        ServerCertificate.load(path, path)


def test_the_password_is_not_in_what_is_printed_of_the_credentials():
    assert PASSWORD not in repr(Credentials(USER, PASSWORD))


def test_an_endpoint_without_tls_and_ntlm_loads_none_of_what_is_slow_on_the_stand_in():
    script = (
        "import sys\n"
        "from harness.winrmd import *\n"
        f"server = WinRmServer({ADDRESS!r}, 0, credentials=Credentials('a', 'b'), runner=Dispatcher())\n"
        "server.start()\n"
        "import socket, base64\n"
        "with socket.create_connection((server.address, server.port)) as sock:\n"
        "    login = base64.b64encode(b'a:b')\n"
        "    sock.sendall(b'POST /wsman HTTP/1.1\\r\\nConnection: close\\r\\n'\n"
        "                 b'Authorization: Basic ' + login + b'\\r\\n\\r\\n')\n"
        "    with sock.makefile('rb') as answer:\n"
        "        print(answer.read()[:15].decode())\n"
        "server.stop()\n"
        "print([name for name in ('ssl', 'spnego', 'cryptography', 'http.client') if name in sys.modules])\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.stdout, result.stderr) == ("HTTP/1.1 200 OK\n[]\n", "")


def test_switches_of_a_stopped_endpoint_do_not_wake_it():
    faults = FaultSwitches()
    server = endpoint(faults=faults)
    server.start()
    server.stop()
    faults.set(Fault(FaultKind.REFUSE))
    faults.clear()
    assert not server.running
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((ADDRESS, server.port), timeout=5)
