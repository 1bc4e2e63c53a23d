"""The agent process of a guest that is not Windows, over pywinrm."""

from __future__ import annotations

import base64

import pytest
from test_winrmd_support import SHELL_GONE, Guest, Raw, fault_of, in_thread, receive, serving, talking

from harness import wire
from harness.winrmd import AgentRunner, CommandRequest, Fault, FaultKind, FaultSwitches, encoded_script
from harness.winrmd.agent import is_agent_process

MODULE = "function Get-PvBootId { 'ä' }"
RSP = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"


def start_line(script="loop"):
    encoded = base64.b64encode(script.encode("utf-16-le")).decode()
    return f"powershell.exe -NoProfile -EncodedCommand {encoded}"


# the gzip header is whole, what it announces is not
DAMAGED = base64.b64encode(base64.b64decode(wire.encode_module(MODULE))[:10] + b"\xff" * 40).decode()


class Process:
    """The controller's side of an agent process, over a pywinrm Protocol."""

    def __init__(self, protocol):
        self.protocol = protocol
        self.shell = protocol.open_shell()
        self.command = protocol.run_command(self.shell, start_line(), console_mode_stdin=False)
        self.unread = b""
        self.ended = None
        self.errors = b""

    def send(self, *lines, end=False):
        data = b"".join(line.encode() + b"\r\n" for line in lines)
        self.protocol.send_command_input(self.shell, self.command, data, end=end)

    def ask(self, number, name, **params):
        self.send(wire.encode_request(wire.Request(number, name, params)))

    def receive(self):
        out, error, code, done = self.protocol.get_command_output_raw(self.shell, self.command)
        self.unread += out
        self.errors += error
        self.ended = code if done else None

    def line(self):
        while b"\n" not in self.unread:
            assert self.ended is None, "it ended without another line"
            self.receive()
        line, _, self.unread = self.unread.partition(b"\n")
        return line.decode("ascii").rstrip("\r")

    def message(self):
        return wire.decode_message(self.line())

    def wait(self):
        while self.ended is None:
            self.receive()
        return self.ended


@pytest.fixture
def faults():
    return FaultSwitches()


@pytest.fixture
def guest():
    made = Guest()
    yield made
    made.watch_may_end.set()


@pytest.fixture
def server(guest, faults):
    with serving(AgentRunner(guest, shell_version="5.1.1", faults=faults), faults=faults) as server:
        yield server


@pytest.fixture
def protocol(server):
    with talking(server) as protocol:
        yield protocol


@pytest.fixture
def process(protocol):
    """A process that was given its module."""
    process = Process(protocol)
    process.send(wire.encode_module(MODULE))
    return process


@pytest.fixture
def ready(process):
    """A process that has announced itself."""
    assert process.message() == wire.Ready("5.1.1", wire.module_digest(MODULE))
    return process


def test_it_answers_one_request_after_the_other_by_their_ids(ready):
    for number in (1, 2, 700):
        ready.ask(number, "boot_id")
        assert ready.message() == wire.Answer(number, {"boot_id": "boot-1"})


def test_an_answer_of_a_megabyte_arrives_whole(ready):
    ready.ask(1, "read_file", path="x", offset=0, length=1_000_000)
    assert ready.message().result["content"] == "A" * 1_000_000


@pytest.mark.parametrize(
    ("name", "params", "kind", "detail"),
    [
        ("read_file", {"path": "missing", "offset": 0, "length": 1}, "not-found", "ä file"),
        (
            "read_file",
            {"path": "broken", "offset": 0, "length": 1},
            "command-failed",
            "RuntimeError: it broke",
        ),
        ("read_file", {"path": "x"}, "bad-parameter", "read_file takes path, offset, length; got path"),
        ("dance", {}, "bad-request", "there is no operation 'dance'"),
        ("disks", {}, "command-failed", "AttributeError: 'Guest' object has no attribute 'disks'"),
    ],
)
def test_what_goes_wrong_is_a_refusal_and_the_process_goes_on(ready, name, params, kind, detail):
    ready.ask(1, name, **params)
    assert ready.message() == wire.Refusal(1, kind, detail)
    ready.ask(2, "boot_id")
    assert ready.message().id == 2


@pytest.mark.parametrize("line", ['{"id": 1, "op": "boo', "[]", "null", "ünreadable"])
def test_a_line_that_is_no_request_is_refused_without_an_id(ready, line):
    ready.send(line)
    refusal = ready.message()
    assert (refusal.id, refusal.kind) == (None, "bad-request")


def test_a_request_cut_into_several_sends_is_put_together(ready):
    line = wire.encode_request(wire.Request(5, "boot_id", {})) + "\r\n"
    for part in (line[:10], line[10:-1], line[-1:]):
        ready.protocol.send_command_input(ready.shell, ready.command, part.encode())
    assert ready.message().id == 5


def test_it_ends_with_exit_code_0_at_the_end_of_its_stdin(ready):
    ready.send(end=True)
    assert ready.wait() == 0


def test_one_process_per_operation_needs_one_send(protocol):
    process = Process(protocol)
    request = wire.encode_request(wire.Request(1, "boot_id", {}))
    process.send(wire.encode_module(MODULE), request, end=True)
    assert process.wait() == 0
    assert [type(process.message()) for _ in range(2)] == [wire.Ready, wire.Answer]


@pytest.mark.parametrize("line", ["not a module", "AAAA", wire.encode_module(MODULE)[:-30], DAMAGED])
def test_a_module_that_cannot_be_read_ends_the_process(protocol, line):
    process = Process(protocol)
    process.send(line)
    assert process.wait() == 1
    assert process.errors
    assert process.unread == b""


def test_a_slow_operation_keeps_receive_waiting_and_is_answered_in_the_end(server, guest, ready):
    ready.ask(1, "xenstore_watch", path="a", seconds=30)
    assert guest.watching.wait(10)
    with in_thread(ready.message) as message:
        assert server.wait_for(lambda now: now.messages >= 6, 10)
        guest.watch_may_end.set()
        assert message() == wire.Answer(1, {"path": "a", "fired": True})


def test_terminate_does_not_wait_for_a_slow_operation(server, guest, ready):
    ready.ask(1, "xenstore_watch", path="a", seconds=30)
    assert guest.watching.wait(10)
    ready.protocol.cleanup_command(ready.shell, ready.command)
    assert not guest.watch_may_end.is_set()
    assert server.counters.commands == 0


def test_a_callable_gives_the_guest_for_each_request(faults):
    guests = [Guest(), Guest()]
    runner = AgentRunner(guests.pop, shell_version="x", faults=faults)
    with serving(runner) as server, talking(server) as protocol:
        process = Process(protocol)
        process.send(wire.encode_module(MODULE))
        process.message()
        for left in (1, 0):
            process.ask(1, "boot_id")
            assert isinstance(process.message(), wire.Answer)
            assert len(guests) == left


def test_a_stopped_guest_leaves_no_process_waiting(server, ready):
    raw_answers = []
    with Raw(server) as raw:
        server.drop_shells()
        raw_answers.append(raw.soap(f"{RSP}/Receive", receive(ready.command), shell=ready.shell)[1])
    assert fault_of(raw_answers[0])[0] == SHELL_GONE
    assert server.counters.commands == 0


@pytest.mark.parametrize(
    ("line", "script"),
    [
        (start_line("exit 3"), "exit 3"),
        (start_line("ü").replace("-EncodedCommand", "-enc"), "ü"),
        (start_line("ü").replace("-EncodedCommand", "-EC"), "ü"),
        (start_line("x").replace("powershell.exe", r'"C:\Windows\System32\PowerShell.EXE"'), "x"),
        ("powershell.exe -EncodedCommand", None),
        ("powershell.exe -EncodedCommand ?!", None),
        ("powershell.exe -Command x", None),
        ("cmd.exe -EncodedCommand AAAA", None),
        ("hostname", None),
    ],
)
def test_the_script_of_an_encoded_command_is_found(line, script):
    assert encoded_script(CommandRequest(line)) == script
    command, *arguments = line.split()
    assert is_agent_process(CommandRequest(command, tuple(arguments))) == (script is not None)


def test_no_ready_is_silence_until_the_end_of_stdin(protocol, faults):
    faults.set(Fault(FaultKind.NO_READY))
    process = Process(protocol)
    request = wire.encode_request(wire.Request(1, "boot_id", {}))
    process.send(wire.encode_module(MODULE), request)
    process.send(end=True)
    assert process.wait() == 0
    assert process.message() == wire.Answer(1, {"boot_id": "boot-1"})
    assert process.unread == b""


def test_a_lost_answer_never_comes_and_the_next_does(ready, faults):
    faults.set(Fault(FaultKind.LOSE_ANSWER, times=1))
    ready.ask(1, "boot_id")
    ready.ask(2, "boot_id")
    assert ready.message().id == 2
    assert faults.struck(FaultKind.LOSE_ANSWER) == 1


def test_a_doubled_answer_comes_twice(ready, faults):
    faults.set(Fault(FaultKind.DOUBLE_ANSWER, first=2, times=1))
    for number in (1, 2, 3):
        ready.ask(number, "boot_id")
    assert [ready.message().id for _ in range(4)] == [1, 2, 2, 3]


def test_half_an_answer_is_a_line_that_makes_no_sense(ready, faults):
    faults.set(Fault(FaultKind.HALF_ANSWER, times=1))
    ready.ask(1, "boot_id")
    with pytest.raises(ValueError, match=r"Unterminated|Expecting|delimiter"):
        ready.message()
    ready.ask(2, "boot_id")
    assert ready.message().id == 2


def test_a_late_answer_comes_after_its_time_or_not_at_all_once_terminated(server, ready, faults):
    faults.set(Fault(FaultKind.LATE_ANSWER, times=1, seconds=0.02), Fault(FaultKind.DOUBLE_ANSWER, times=1))
    ready.ask(1, "boot_id")
    assert [ready.message().id for _ in range(2)] == [1, 1]
    faults.set(Fault(FaultKind.LATE_ANSWER, seconds=3600))
    ready.ask(2, "boot_id")
    ready.protocol.cleanup_command(ready.shell, ready.command)
    assert server.counters.commands == 0
