"""A command that runs on a channel."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import paramiko

from harness.simlab.faults import FaultKind
from harness.simlab.shell.process import KILLED, Process, Session, Streams
from harness.simlab.shell.runner import Shell

__all__ = ["run_channel"]

_MISTAKE = 70  # EX_SOFTWARE of sysexits.h
_LOST = (OSError, EOFError, paramiko.SSHException)


class _ChannelInput:
    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def read(self, size: int, /) -> bytes:
        try:
            return self._channel.recv(size)
        except _LOST:
            return b""

    def close(self) -> None:
        """Whoever reads, reads no more."""
        self._channel.in_buffer.close()  # shutdown_read() wakes nobody (paramiko 4.0.0)


class _ChannelOutput:
    """Stdout or stderr of a channel."""

    def __init__(self, channel: paramiko.Channel, silence: Callable[[], None], *, error: bool) -> None:
        self._send = channel.sendall_stderr if error else channel.sendall
        self._silence = silence

    def write(self, data: bytes, /) -> None:
        if not data:
            return
        self._silence()
        try:
            self._send(data)
        except _LOST as error:
            raise BrokenPipeError from error


def run_channel(session: Session, channel: paramiko.Channel, line: bytes | None) -> None:
    """Run a command line to its end, or with None what comes on stdin, as a login shell does."""

    def silence() -> None:
        """Nothing leaves a host that is silent: whoever writes waits for ever."""
        if FaultKind.HOST_SILENT in session.host.faults:
            process.killed.wait()
            raise BrokenPipeError

    streams = Streams(
        _ChannelInput(channel),
        _ChannelOutput(channel, silence, error=False),
        _ChannelOutput(channel, silence, error=True),
    )
    process = Process(
        session, ("sh",), streams, {"HOME": "/root", "PATH": "/usr/sbin:/usr/bin", "USER": "root"}
    )

    def command(process: Process) -> int:
        text = process.read_all() if line is None else line
        return Shell(process).run(text.decode("utf-8", "surrogateescape"))

    try:
        rc = process.run(command)
    except Exception as error:  # noqa: BLE001  # a mistake in the simulator: said here, raised by Clock.close
        _report(session, error)
        with contextlib.suppress(BrokenPipeError):
            streams.stderr.write(f"the simulated host made a mistake: {error!r}\n".encode())
        rc = _MISTAKE
    with contextlib.suppress(BrokenPipeError, *_LOST):
        silence()
        # sshd tells of a signal instead, which paramiko's client takes no notice of (seen when xl was killed
        # on nested 4.17); that any shell lets the command take its place, as bash does, is a guess
        if rc != KILLED:
            channel.send_exit_status(rc)
    with contextlib.suppress(*_LOST):
        channel.close()


def _report(session: Session, error: Exception) -> None:
    def fail() -> None:
        raise error

    session.host.clock.after(0, fail)
