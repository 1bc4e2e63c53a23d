"""Commands, files, streams and tunnels over a real SSH connection to this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.server
import os
import shlex
import socket
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import paramiko.pipe
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_host_support import shell_on

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.errors import CommandFailed, CommandTimedOut, HostUnreachable, InfrastructureError
from harness.model import SIGNALLED


@pytest.fixture(scope="module")
def module_shell(tmp_path_factory):
    with shell_on(tmp_path_factory.mktemp("ssh")) as (shell, _):
        yield shell


@pytest.fixture
def host(tmp_path):
    with shell_on(tmp_path) as pair:
        yield pair


def processes_gone(server):
    def probe():
        left = [process.args[2] for process in server.machine.processes if process.poll() is None]
        return NotYet(str(left)) if left else Done(None)

    wait_until(probe, subject="processes end", deadline=Deadline.after(10), interval_s=0.02)


def test_a_command_gives_exit_code_and_both_streams(module_shell):
    result = module_shell.run(["sh", "-c", "echo out; echo err >&2; exit 3"])

    assert (result.rc, result.stdout, result.stderr) == (3, "out\n", "err\n")


# a shell cannot be given NUL in an argument
words = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=30)


@given(st.lists(words, min_size=1, max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_argument_arrives_as_it_is(module_shell, arguments):
    result = module_shell.run(["printf", "%s\\0", *arguments])

    assert result.stdout.split("\0")[:-1] == arguments


@pytest.mark.parametrize(
    "argument",
    ["", "a  b", "it's", '"', "$(id)", "`id`", "$HOME", "*", "\\", "a\nb", "äöü 日本", "-n", "~", "!x", ";x"],
)
def test_no_argument_means_anything_to_the_shell(module_shell, argument):
    assert module_shell.run(["printf", "%s", argument]).stdout == argument


def test_bytes_that_are_no_text_are_replaced_not_fatal(module_shell):
    assert module_shell.run(["printf", r"a\377b"]).stdout == "a\ufffdb"


def test_a_megabyte_on_both_streams_arrives_whole(module_shell):
    script = "head -c 1000000 /dev/zero | tr '\\0' a; head -c 1000000 /dev/zero | tr '\\0' b >&2"
    result = module_shell.run(["sh", "-c", script])

    assert (result.stdout, result.stderr) == ("a" * 1_000_000, "b" * 1_000_000)


def test_stdin_is_fed_and_ends(module_shell):
    text = "ä" * 300_000
    assert module_shell.run(["cat"], stdin=text).stdout == text


def test_a_command_that_does_not_read_its_stdin_is_no_error(module_shell):
    assert module_shell.run(["true"], stdin="x" * 3_000_000).ok


def test_check_names_host_command_and_last_words(module_shell):
    with pytest.raises(CommandFailed, match=r"host xen1: .*exit code 2: no room"):
        module_shell.check(["sh", "-c", "echo no room >&2; exit 2"])


@pytest.mark.parametrize("script", ["exec sleep 60", "while :; do echo x; done"])
def test_the_deadline_holds_for_silent_and_for_chatty_commands(host, script):
    shell, server = host
    with pytest.raises(CommandTimedOut, match="did not end in"):
        shell.run(["sh", "-c", script], timeout_s=0.3)
    assert server.transports[0].is_active(), "the connection is still good"
    assert shell.run(["true"]).ok


@pytest.fixture
def slowly_closing_pipes(monkeypatch):
    """The pipe behind paramiko's ``fileno()`` is closed under the thread that feeds it: here it always shows.

    The connection ends then, or a byte goes to whatever has the descriptor by that time
    (paramiko 4.0.0, pipe.py).
    """

    def close(pipe):
        os.close(pipe._rfd)
        os.close(pipe._wfd)
        threading.Event().wait(0.2)  # the library leaves this window open, if for shorter
        pipe._closed = True

    monkeypatch.setattr(paramiko.pipe.PosixPipe, "close", close)


@pytest.mark.usefixtures("slowly_closing_pipes")
def test_a_command_that_is_cut_off_while_it_writes_leaves_the_connection_alone(host):
    shell, server = host
    for _ in range(3):
        with pytest.raises(CommandTimedOut):
            shell.run(["sh", "-c", "while :; do echo x; done"], timeout_s=0.1)
    assert shell.run(["true"]).ok
    assert len(server.transports) == 1


def test_limits_are_scaled_by_the_host_s_time_factor(tmp_path):
    with shell_on(tmp_path, time_factor=0.01) as (shell, _), pytest.raises(CommandTimedOut):
        shell.run(["sleep", "60"], timeout_s=30)


def test_one_login_serves_many_commands_at_once(host):
    shell, server = host
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda n: shell.run(["echo", str(n)]).stdout, range(40)))

    assert answers == [f"{n}\n" for n in range(40)]
    assert len(server.transports) == 1


def test_after_a_lost_connection_a_repeatable_command_is_run_once_more(host):
    shell, server = host
    assert shell.run(["true"]).ok
    marker = server.machine.root / "ran"
    # breaks its own connection the first time
    server.machine.program("breaks", f'echo x >>{marker}; [ "$(wc -l <{marker})" -gt 1 ] || sleep 60')
    threading.Thread(target=drop_once_it_runs, args=(server, marker)).start()

    assert shell.run(["breaks"], repeatable=True).ok
    assert marker.read_text() == "x\nx\n"


def test_a_command_that_somebody_kills_is_no_lost_connection(host):
    shell, server = host
    server.machine.program("xl", "echo half; echo so far >&2; kill -9 $PPID")

    result = shell.run(["xl", "create", "a b"], repeatable=True)
    assert (result.rc, result.stdout, result.stderr) == (SIGNALLED, "half\n", "so far\n")
    assert result.describe() == "xl create 'a b': ended by a signal: so far"
    with pytest.raises(CommandFailed, match="xl list: ended by a signal"):
        shell.check(["xl", "list"])
    assert len(server.transports) == 1, "the connection that was there went on"


def test_after_a_lost_connection_a_command_that_changes_things_is_not_run_again(host):
    shell, server = host
    marker = server.machine.root / "ran"
    server.machine.program("breaks", f"echo x >>{marker}; sleep 60")
    threading.Thread(target=drop_once_it_runs, args=(server, marker)).start()

    with pytest.raises(HostUnreachable, match="connection lost during breaks"):
        shell.run(["breaks"])
    assert marker.read_text() == "x\n"
    assert shell.run(["true"]).ok, "the next command opens a new connection"


def drop_once_it_runs(server, marker):
    def probe():
        return Done(None) if marker.exists() else NotYet("not yet")

    wait_until(probe, subject="the command runs", deadline=Deadline.after(10), interval_s=0.02)
    server.drop()


# -- files


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_a_file_goes_there_and_back(host, size):
    shell, server = host
    content = os.urandom(size)
    path = str(server.machine.root / "a file'$x")

    shell.put(content, path)

    assert shell.get(path) == content


@pytest.mark.parametrize("size", [0, 300_000])
def test_a_file_is_brought_into_one_of_ours(host, tmp_path, size):
    shell, server = host
    content = os.urandom(size)
    source = server.machine.root / "core"
    source.write_bytes(content)

    shell.fetch(str(source), tmp_path / "here")

    assert (tmp_path / "here").read_bytes() == content


def test_a_file_that_cannot_be_brought_is_named(host, tmp_path):
    shell, server = host
    missing = str(server.machine.root / "none")

    with pytest.raises(InfrastructureError, match=f"cannot read {missing}"):
        shell.fetch(missing, tmp_path / "here")


def test_a_local_file_is_put_by_path(host, tmp_path):
    shell, server = host
    source = tmp_path / "source"
    source.write_bytes(b"content")
    shell.put(source, str(server.machine.root / "target"))

    assert (server.machine.root / "target").read_bytes() == b"content"


def test_what_did_not_arrive_whole_is_an_error(host):
    shell, server = host
    server.machine.program("sha256sum", f"echo {hashlib.sha256(b'other').hexdigest()} file")

    with pytest.raises(InfrastructureError, match="another SHA-256"):
        shell.put(b"content", str(server.machine.root / "target"))


def test_a_folder_that_is_missing_is_named(host):
    shell, server = host
    missing = str(server.machine.root / "no" / "file")
    with pytest.raises(InfrastructureError, match=f"cannot write {missing}"):
        shell.put(b"x", missing)
    with pytest.raises(InfrastructureError, match=f"cannot read {missing}"):
        shell.get(missing)


def test_a_host_without_sftp_is_told_so(host):
    shell, server = host
    server.machine.sftp = False
    with pytest.raises(HostUnreachable, match="sftp"):
        shell.put(b"x", str(server.machine.root / "file"))


# -- root by sudo


@pytest.fixture
def sudo_host(tmp_path):
    with shell_on(tmp_path, sudo=True) as (shell, server):
        server.machine.program("sudo", 'echo "$*" >>sudo.log; [ "$1" = -n ] || exit 9; shift; exec "$@"')
        yield shell, server


def sudoed(server):
    log = server.machine.root / "sudo.log"
    return log.read_text().splitlines() if log.exists() else []


def test_with_sudo_root_runs_what_needs_it_and_the_user_all_else(sudo_host):
    shell, server = sudo_host
    server.machine.program("dmesg", "echo of root")

    assert shell.run(["echo", "a  b"]).stdout == "a  b\n"
    assert shell.run(["dmesg"]).stdout == "of root\n"
    assert sudoed(server) == ["-n dmesg"]


def test_with_sudo_files_are_the_user_s_and_what_root_made_is_read_by_root(sudo_host, tmp_path):
    shell, server = sudo_host
    path = str(server.machine.root / "a b")
    shell.put(b"content\xff", path)
    assert shell.get(path) == b"content\xff"
    assert sudoed(server) == []

    made = server.machine.root / "storage" / "runs" / "r" / "pvhck-r-1.ppm"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"picture\xff")
    shell.spec = dataclasses.replace(shell.spec, storage=str(server.machine.root / "storage"))
    assert shell.get(str(made)) == b"picture\xff"
    shell.fetch(str(made), tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == b"picture\xff"
    assert sudoed(server) == [f"-n cat {made}"] * 2


def test_a_folder_that_is_not_the_user_s_is_said_with_whose_it_has_to_be(sudo_host):
    shell, server = sudo_host
    with pytest.raises(InfrastructureError, match="cannot write") as caught:
        shell.put(b"x", str(server.machine.root / "no" / "file"))
    assert f"the folder must be {shell.spec.user}'s" in caught.value.mend
    with pytest.raises(InfrastructureError, match="cannot read"):
        shell.get(str(server.machine.root / "none"))


def test_a_stream_of_root_s_is_ended_by_root(sudo_host):
    shell, server = sudo_host
    server.machine.program("xenstore-watch", "echo ready; exec sleep 60")
    with shell.stream(["xenstore-watch", "/a"]) as lines:
        assert lines.next_line(Deadline.after(10)) == "ready"
    processes_gone(server)
    started, ended = sudoed(server)
    assert started == "-n xenstore-watch /a"
    assert ended.startswith("-n kill ")


def test_a_stream_and_a_hold_of_the_user_s_need_no_root(sudo_host):
    shell, server = sudo_host
    with shell.stream(["sh", "-c", "echo ready; exec sleep 60"]) as lines:
        assert lines.next_line(Deadline.after(10)) == "ready"
    processes_gone(server)
    with shell.hold(["flock", str(server.machine.root / "lock"), "cat"]) as hold:
        hold.send("line")
        assert hold.next_line(Deadline.after(10)) == "line"
    assert sudoed(server) == []


# -- streams and holds


def test_lines_of_a_stream_are_read_while_it_runs(host):
    shell, server = host
    with shell.stream(["sh", "-c", "echo 'one ä'; echo two; exec sleep 60"]) as lines:
        assert lines.next_line(Deadline.after(10)) == "one ä"
        assert lines.next_line(Deadline.after(10)) == "two"
        assert lines.next_line(Deadline.after(0.05)) is None
        assert not lines.lost
    processes_gone(server)


def test_a_lost_stream_is_told_from_a_silent_one(host):
    shell, server = host
    with shell.stream(["sh", "-c", "echo first; exec sleep 60"]) as lines:
        assert lines.next_line(Deadline.after(10)) == "first"
        server.drop()
        assert lines.next_line(Deadline.after(10)) is None
        assert lines.lost


def test_what_a_stream_complains_of_can_be_read(host):
    shell, _ = host
    with shell.stream(["sh", "-c", "echo 'no such ü' >&2; echo done; exec sleep 60"]) as lines:
        assert lines.next_line(Deadline.after(10)) == "done"
        said = wait_until(
            lambda: Done(text) if (text := lines.complaint()) else NotYet("nothing"),
            subject="a complaint",
            deadline=Deadline.after(10),
            interval_s=0.02,
        )
        assert said == "no such ü"


def test_a_stream_is_ended_when_its_reader_fails(host):
    shell, server = host
    with pytest.raises(KeyError), shell.stream(["sleep", "60"]):
        raise KeyError
    processes_gone(server)


def test_a_held_command_ends_with_its_holder(host):
    shell, server = host
    with shell.hold(["cat"]) as hold:
        assert hold.running
    processes_gone(server)


def test_a_held_command_that_ends_by_itself_is_seen(host):
    shell, _ = host
    with shell.hold(["false"]) as hold:
        wait_until(
            lambda: NotYet("it runs") if hold.running else Done(None),
            subject="it ends",
            deadline=Deadline.after(10),
            interval_s=0.02,
        )


def test_a_held_command_is_started_again_on_a_new_connection(host):
    shell, server = host
    with shell.hold(["cat"]) as hold:
        server.drop()
        wait_until(
            lambda: NotYet("it runs") if hold.running else Done(None),
            subject="the loss is seen",
            deadline=Deadline.after(10),
            interval_s=0.02,
        )
        assert shell.run(["true"], repeatable=True).ok
        assert hold.running
        assert server.machine.commands.count("cat") == 2


# -- tunnels


class Echo(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def web():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_tunnel_carries_many_connections_unchanged(host, web):
    shell, _ = host
    bodies = [os.urandom(200_000) for _ in range(6)]
    with shell.tunnel("127.0.0.1", web) as tunnel, ThreadPoolExecutor(6) as pool:

        def post(body):
            with urllib.request.urlopen(f"http://127.0.0.1:{tunnel.port}/", body, timeout=20) as answer:
                return answer.read()

        assert list(pool.map(post, bodies)) == bodies


def test_a_refused_far_end_is_a_closed_connection(host):
    shell, _ = host
    with shell.tunnel("127.0.0.1", 1) as tunnel, pytest.raises(OSError, match=r".+"):
        urllib.request.urlopen(f"http://127.0.0.1:{tunnel.port}/", timeout=20)


@pytest.mark.usefixtures("slowly_closing_pipes")
def test_a_client_that_hangs_up_on_a_talking_far_end_leaves_the_connection_alone(host):
    shell, server = host
    far = socket.create_server(("127.0.0.1", 0))
    with far, shell.tunnel("127.0.0.1", far.getsockname()[1]) as tunnel:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", tunnel.port), timeout=5) as near:
                talker, _ = far.accept()
                talking = threading.Thread(target=talk_until_cut, args=(talker,))
                talking.start()
                assert near.recv(1) == b"x"
            talking.join(timeout=10)
            assert not talking.is_alive(), "the far end is told that nobody listens"
    assert shell.run(["true"]).ok
    assert len(server.transports) == 1


def talk_until_cut(sock):
    with sock, contextlib.suppress(OSError):
        while True:
            sock.sendall(b"x")


def test_a_closed_tunnel_listens_no_more_and_cuts_what_was_open(host, web):
    shell, _ = host
    tunnel = shell.tunnel("127.0.0.1", web)
    with socket.create_connection(("127.0.0.1", tunnel.port), timeout=5) as sock:
        tunnel.close()
        with contextlib.suppress(ConnectionResetError):  # it was never accepted
            assert sock.recv(1) == b""
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{tunnel.port}/", timeout=5)


def test_the_commands_are_quoted_in_one_piece(host):
    shell, server = host
    shell.run(["echo", "a b", "$(id)"])
    assert shlex.split(server.machine.commands[-1]) == ["echo", "a b", "$(id)"]
