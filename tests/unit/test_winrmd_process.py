"""Real processes behind the endpoint's seam."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from test_winrmd_support import in_thread, serving, talking

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.winrmd import (
    CommandRequest,
    Dispatcher,
    FinishedCommand,
    Output,
    OutputBuffer,
    ProcessRunner,
    Reply,
    Stream,
)
from harness.winrmd.commands import Chunk

LIMIT = 1 << 20


@pytest.fixture
def start():
    """Start a line of sh; what was started is ended."""
    runner = ProcessRunner(lambda request: ["/bin/sh", "-c", request.line])
    started = []

    def start_line(line, **shell):
        started.append(runner.start(CommandRequest(line, **shell)))
        return started[-1]

    yield start_line
    for process in started:
        process.terminate()


def read_all(process):
    """All output by stream, and the exit code."""
    taken = {Stream.STDOUT: b"", Stream.STDERR: b""}
    while True:
        output = process.read_output(10, LIMIT)
        for chunk in output.chunks:
            taken[chunk.stream] += chunk.data
        if output.exit_code is not None:
            return taken[Stream.STDOUT], taken[Stream.STDERR], output.exit_code
        assert output.chunks, "no output in 10 s"


def alive(pid):
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"  # init may take seconds to reap what it inherits


def await_death(pid):
    wait_until(
        lambda: NotYet("alive") if alive(pid) else Done(None),
        subject=f"end of process {pid}",
        deadline=Deadline.after(10),
        interval_s=0.01,
    )


def test_streams_and_exit_code_come_separately(start):
    assert read_all(start("echo out; echo err >&2; exit 4")) == (b"out\n", b"err\n", 4)


def test_a_process_ended_by_a_signal_says_so_as_shells_do(start):
    assert read_all(start("kill -9 $$"))[2] == 137


def test_environment_and_folder_are_the_shells(start, tmp_path):
    process = start(
        "echo $NAME; pwd; echo ${PATH:+path}", environment={"NAME": "ä"}, working_directory=str(tmp_path)
    )
    assert read_all(process)[0] == f"ä\n{tmp_path}\npath\n".encode()


def test_a_folder_of_windows_is_not_looked_for_here(start):
    assert read_all(start("echo x", working_directory="C:\\Temp"))[0] == b"x\n"


def test_a_megabyte_goes_through_stdin_and_comes_back(start):
    process = start("cat")
    data = os.urandom(1_000_000)

    def feed():
        process.write_stdin(data)
        process.close_stdin()

    with in_thread(feed):
        assert read_all(process) == (data, b"", 0)


def test_input_for_a_process_that_does_not_want_it_is_ignored(start):
    process = start("exec <&-; exit 0")
    assert read_all(process)[2] == 0
    process.write_stdin(b"x" * 100_000)
    process.close_stdin()
    process.write_stdin(b"after the end")
    assert process.exit_code == 0


def test_terminate_ends_the_process_and_what_it_started(start):
    process = start("sleep 600 & echo $! $$; wait")
    child, parent = (int(word) for word in process.read_output(10, LIMIT).chunks[0].data.split())
    process.terminate()
    assert not alive(parent)
    await_death(child)
    assert process.read_output(10, LIMIT).exit_code == 0xC000013A


def test_terminate_ends_what_an_ended_process_left_behind(start):
    process = start("sleep 600 & echo $!")
    out, _, code = read_all(process)  # although the child still holds the pipe
    assert (code, alive(int(out))) == (0, True)
    process.terminate()
    await_death(int(out))


def test_terminate_wakes_who_waits_for_output_or_for_stdin_to_be_taken(start):
    reading, writing = start("sleep 600"), start("sleep 600")
    with (
        in_thread(lambda: reading.read_output(60, LIMIT)) as output,
        in_thread(lambda: writing.write_stdin(b"x" * 1_000_000)) as written,
    ):
        reading.terminate()
        writing.terminate()
        assert output() == Output((), 0xC000013A)
        assert written() is None


def test_closing_the_shell_ends_its_processes():
    runner = ProcessRunner(lambda request: ["/bin/sh", "-c", request.line])
    with serving(runner) as server, talking(server) as protocol:
        shell = protocol.open_shell()
        command = protocol.run_command(shell, "echo $$; sleep 600")
        pid = int(protocol.get_command_output_raw(shell, command)[0])
        protocol.close_shell(shell)
        assert not alive(pid)


def test_the_first_runner_that_accepts_a_command_gets_it():
    shell = ProcessRunner(lambda _: ["/bin/echo", "shell"], accepts=lambda request: request.command == "sh")
    runner = Dispatcher(shell, ProcessRunner(lambda request: ["/bin/echo", *request.words]))
    started = [runner.start(CommandRequest("sh")), runner.start(CommandRequest("a  b", ("c",)))]
    assert [read_all(process)[0] for process in started] == [b"shell\n", b"a b c\n"]
    for process in started:
        process.terminate()


def test_a_buffer_gives_what_fits_in_order_and_the_exit_code_last():
    buffer = OutputBuffer()
    buffer.write(Stream.STDOUT, b"abcdef")
    buffer.write(Stream.STDERR, b"gh")
    buffer.end(1)
    buffer.end(2)
    buffer.write(Stream.STDOUT, b"too late")
    assert buffer.read(0, 4) == Output((Chunk(Stream.STDOUT, b"abcd"),), None)
    assert buffer.read(0, 4) == Output((Chunk(Stream.STDOUT, b"ef"), Chunk(Stream.STDERR, b"gh")), 1)
    assert buffer.read(0, 4) == Output((), 1)


def test_a_finished_command_has_its_reply_and_ignores_the_rest():
    command = FinishedCommand(Reply(b"o", b"e", 3))
    command.write_stdin(b"x")
    command.close_stdin()
    command.terminate()
    assert read_all(command) == (b"o", b"e", 3)
