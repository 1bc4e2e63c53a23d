"""Plain pywinrm and pypsrp, which know nothing of us, get what they would from Windows."""

from __future__ import annotations

import pytest
import winrm
from pypsrp.client import Client
from pypsrp.exceptions import AuthenticationError
from test_winrmd_support import (
    ADDRESS,
    CERTIFICATE,
    PASSWORD,
    RSP,
    USER,
    PuppetRunner,
    run,
    say,
    serving,
    talking,
)
from winrm.exceptions import InvalidCredentialsError

from harness.winrmd import ProcessRunner, Stream, WinRmSettings

LOGINS = [(None, "basic"), (None, "ntlm"), (CERTIFICATE, "basic"), (CERTIFICATE, "ntlm")]
LENIENT = {"proxy": None, "server_cert_validation": "ignore"}
PLAIN_NTLM = {"message_encryption": "never"}


@pytest.fixture
def shell_server():
    with serving(ProcessRunner(lambda request: ["/bin/sh", "-c", request.line])) as server:
        yield server


@pytest.mark.parametrize(("certificate", "transport"), LOGINS)
def test_pywinrm_runs_a_command_with_every_login(certificate, transport):
    with serving(say("hällo"), certificate=certificate) as server, talking(server, transport) as protocol:
        shell = protocol.open_shell()
        assert run(protocol, shell, "say") == ("hällo".encode(), b"", 0)
        protocol.close_shell(shell)
        assert server.shells == 0


@pytest.mark.parametrize(("certificate", "transport"), LOGINS)
def test_pywinrm_is_told_that_the_password_is_wrong(certificate, transport):
    with (
        serving(say(""), certificate=certificate) as server,
        talking(server, transport, password="other") as protocol,
        pytest.raises(InvalidCredentialsError),
    ):
        protocol.open_shell()


def test_an_ntlm_login_of_another_user_is_refused():
    with serving(say("")) as server:
        session = winrm.Session(server.url, auth=("Guest", PASSWORD), transport="ntlm", **LENIENT)
        with pytest.raises(InvalidCredentialsError):
            session.protocol.open_shell()
        session.protocol.transport.close_session()


@pytest.mark.parametrize("user", [USER.lower(), f"WORKSTATION\\{USER}"])
@pytest.mark.parametrize("transport", ["basic", "ntlm"])
def test_case_and_domain_of_the_user_do_not_matter(user, transport):
    with serving(say("yes")) as server:
        session = winrm.Session(server.url, auth=(user, PASSWORD), transport=transport, **LENIENT)
        assert session.run_cmd("say").std_out == b"yes"


def test_pywinrm_over_ntlm_seals_what_it_sends_over_http(shell_server):
    with talking(shell_server, "ntlm") as protocol:
        protocol.open_shell()
        assert protocol.transport.encryption is not None


def test_ntlm_over_http_works_unsealed_where_the_service_allows_it():
    with serving(say("x")) as server, talking(server, "ntlm", **PLAIN_NTLM) as protocol:
        assert run(protocol, protocol.open_shell(), "say")[0] == b"x"


@pytest.mark.parametrize("transport", ["basic", "ntlm"])
def test_unsealed_http_is_refused_where_the_service_does_not_allow_it(transport):
    settings = WinRmSettings(allow_unencrypted=False)
    with (
        serving(say(""), settings=settings) as server,
        talking(server, transport, **(PLAIN_NTLM if transport == "ntlm" else {})) as protocol,
        pytest.raises(InvalidCredentialsError),
    ):
        protocol.open_shell()


@pytest.mark.parametrize(("forbidden", "transport"), [("basic", "basic"), ("negotiate", "ntlm")])
def test_a_login_the_service_does_not_offer_is_refused(forbidden, transport):
    with (
        serving(say(""), settings=WinRmSettings(**{forbidden: False})) as server,
        talking(server, transport) as protocol,
        pytest.raises(InvalidCredentialsError),
    ):
        protocol.open_shell()


def test_a_session_gets_streams_and_exit_code_and_leaves_nothing_open(shell_server):
    session = winrm.Session(shell_server.url, auth=(USER, PASSWORD), transport="basic", **LENIENT)
    result = session.run_cmd("echo out; echo err >&2; exit", ["7"])
    assert (result.std_out, result.std_err, result.status_code) == (b"out\n", b"err\n", 7)
    assert shell_server.wait_for(lambda now: now.open_connections == 0, 5)
    assert (shell_server.counters.shells, shell_server.counters.commands) == (0, 0)


def test_a_command_of_a_session_takes_five_messages_on_one_connection():
    with serving(say("x")) as server:
        session = winrm.Session(server.url, auth=(USER, PASSWORD), transport="basic", **LENIENT)
        assert session.run_cmd("say").std_out == b"x"
        assert (server.counters.messages, server.counters.connections) == (5, 1)


@pytest.mark.parametrize("transport", ["basic", "ntlm"])
def test_stdin_arrives_unchanged_in_several_sends(shell_server, transport):
    data = bytes(range(256)) * 2000
    with talking(shell_server, transport) as protocol:
        shell = protocol.open_shell()
        command = protocol.run_command(shell, "cat", console_mode_stdin=False)
        protocol.send_command_input(shell, command, data[:100_000])
        protocol.send_command_input(shell, command, data[100_000:110_000])
        protocol.send_command_input(shell, command, data[110_000:210_000])
        protocol.send_command_input(shell, command, b"", end=True)
        assert protocol.get_command_output(shell, command) == (data[:210_000], b"", 0)
        protocol.cleanup_command(shell, command)


def test_environment_folder_and_code_page_of_the_shell_reach_the_command():
    puppets = PuppetRunner()
    with serving(puppets) as server, talking(server) as protocol:
        shell = protocol.open_shell(
            working_directory=r"C:\Temp & more", env_vars={"A": "1 <2>", "B": "ü"}, codepage=65001
        )
        protocol.run_command(shell, "do", ["this", 'and "that"'])
        request = puppets.started[0][0]
        assert request.line == 'do this and "that"'
        assert request.working_directory == r"C:\Temp & more"
        assert dict(request.environment) == {"A": "1 <2>", "B": "ü"}
        assert (request.codepage, request.user) == (65001, USER)


def test_output_comes_while_the_command_still_runs():
    puppets = PuppetRunner()
    with serving(puppets) as server, talking(server) as protocol:
        shell = protocol.open_shell()
        command = protocol.run_command(shell, "long")
        for text in (b"first", b"second"):
            puppets.last.output.write(Stream.STDOUT, text)
            assert protocol.get_command_output_raw(shell, command) == (text, b"", -1, False)
        puppets.last.output.end(0)
        assert protocol.get_command_output_raw(shell, command) == (b"", b"", 0, True)


def test_output_cut_into_tiny_elements_is_put_together_again():
    puppets = PuppetRunner()
    text = "grüße " * 50
    with serving(puppets, settings=WinRmSettings(stream_piece=1)) as server, talking(server) as protocol:
        shell = protocol.open_shell()
        command = protocol.run_command(shell, "long")
        puppets.last.output.write(Stream.STDOUT, text.encode())
        puppets.last.output.end(3)
        assert protocol.get_command_output(shell, command) == (text.encode(), b"", 3)


@pytest.mark.parametrize(
    ("certificate", "auth"),
    [
        (None, "ntlm"),
        (None, "negotiate"),
        (CERTIFICATE, "basic"),
        (CERTIFICATE, "ntlm"),
        (CERTIFICATE, "negotiate"),
    ],
)
def test_pypsrp_runs_a_command_with_every_login(certificate, auth):
    class Ended(PuppetRunner):
        def start(self, request):
            puppet = super().start(request)
            puppet.output.write(Stream.STDERR, b"oops")
            puppet.output.end(5)
            return puppet

    puppets = Ended()
    with (
        serving(puppets, certificate=certificate) as server,
        pypsrp_client(server, auth) as client,
    ):
        assert client.execute_cmd("anything at all") == ("", "oops", 5)
        assert puppets.started[0][0].line == "anything at all"
        assert server.counters.commands == server.shells == 0


def test_pypsrp_is_told_that_the_password_is_wrong():
    with (
        serving(say("")) as server,
        pypsrp_client(server, "negotiate", password="other") as client,
        pytest.raises(AuthenticationError),
    ):
        client.execute_cmd("say")


def test_pypsrp_reads_the_quota_of_the_configuration():
    with (
        serving(say(""), settings=WinRmSettings(max_envelope_kib=400)) as server,
        pypsrp_client(server, "ntlm") as client,
    ):
        client.wsman.update_max_payload_size()
        assert client.wsman.max_envelope_size == 400 * 1024
        config = client.wsman.get("http://schemas.microsoft.com/wbem/wsman/1/config")
        assert "MaxShellsPerUser" in [element.tag.rpartition("}")[2] for element in config.iter()]


def test_pypsrp_reads_the_state_of_a_shell():
    from pypsrp.shell import WinRS  # noqa: PLC0415 - needed once

    with (
        serving(say("")) as server,
        pypsrp_client(server, "ntlm") as client,
        WinRS(client.wsman, idle_time_out=90) as shell,
    ):
        state = shell._get_shell()
        assert (state["ShellId"], state["Owner"], state["ClientIP"]) == (shell.id, USER, shell.client_ip)
        assert state["IdleTimeOut"] == "PT90.000S"
        assert state["ResourceUri"] == f"{RSP}/cmd"


def pypsrp_client(server, auth, *, password=PASSWORD):
    return Client(
        ADDRESS,
        port=server.port,
        ssl=server.url.startswith("https"),
        auth=auth,
        username=USER,
        password=password,
        cert_validation=False,
        no_proxy=True,
    )
