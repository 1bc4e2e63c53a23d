"""One SSH channel: its lines, its stdin, its end, each within a deadline."""

from __future__ import annotations

import contextlib
import threading

import paramiko

from harness.deadline import Deadline

__all__ = ["LOST", "Hold", "LineReader", "Unread", "as_text", "feed", "read_to_end", "seconds_left"]

LOST = (EOFError, OSError, paramiko.SSHException)

_CHUNK = 1 << 16
_SHORTEST_S = 0.001  # paramiko takes 0 for "do not wait at all"
_OPEN_S = 20


class LineReader:
    """Lines of a command that runs until we end it; it was ``lost`` when the connection broke."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._buffer = b""
        self.lost = False

    def next_line(self, deadline: Deadline) -> str | None:
        """The next line; None when the deadline passes first, or the command was lost."""
        while b"\n" not in self._buffer:
            self._channel.settimeout(seconds_left(deadline))
            try:
                chunk = self._channel.recv(_CHUNK)
            except TimeoutError:
                return None
            if not chunk:
                self.lost = True
                return None
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return as_text(line)

    def complaint(self) -> str:
        """What it wrote to stderr since this was last asked."""
        text = b""
        while self._channel.recv_stderr_ready():
            text += self._channel.recv_stderr(_CHUNK)
        return as_text(text).strip()


class Hold:
    """A command that runs until its stdin closes."""

    def __init__(self, command: str) -> None:
        self.command = command
        self._channel: paramiko.Channel | None = None
        self._lines: LineReader | None = None

    def start(self, transport: paramiko.Transport) -> None:
        """Start it, for the first time or on a new connection."""
        self._channel = transport.open_session(timeout=_OPEN_S)
        self._lines = LineReader(self._channel)
        self._channel.exec_command(self.command)

    def send(self, line: str) -> None:
        """A line on its stdin; one that cannot be sent is lost, as the command is."""
        channel = self._channel
        if channel is not None:
            with contextlib.suppress(*LOST):
                channel.settimeout(_OPEN_S)
                channel.sendall(f"{line}\n".encode())

    def next_line(self, deadline: Deadline) -> str | None:
        """The next line it writes; None when the deadline passes first, or it was lost."""
        lines = self._lines
        try:
            return lines.next_line(deadline) if lines is not None else None
        except LOST:
            return None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        channel = self._channel
        return channel is not None and not channel.closed and not channel.exit_status_ready()

    def end(self) -> None:
        """Close its stdin, and the channel."""
        if self._channel is not None:
            with contextlib.suppress(*LOST):
                self._channel.shutdown_write()
                self._channel.close()


class Unread(Exception):  # it is no fault: many commands read nothing
    """The command ended before it had read all."""


def feed(channel: paramiko.Channel, data: bytes, deadline: Deadline) -> None:
    """Write to a command's stdin.

    Raises:
        TimeoutError: it does not read.
        Unread: it ended.
    """
    sent = 0
    while sent < len(data):
        channel.settimeout(seconds_left(deadline))
        try:
            now = channel.send(data[sent : sent + _CHUNK])
        except TimeoutError:
            raise
        except OSError as error:
            raise Unread from error
        if now == 0:
            raise Unread
        sent += now


def read_to_end(channel: paramiko.Channel, deadline: Deadline) -> tuple[bytes, bytes]:
    """A command's stdout and stderr; its exit code is there then, too.

    Raises:
        TimeoutError: it did not end in time, however much it writes.
    """
    out, err = bytearray(), bytearray()
    # not select(): the pipe behind a channel's fileno() is closed under the thread that feeds
    # it, and its "*" may go to whatever has the descriptor by then (paramiko 4.0.0, pipe.py)
    something = threading.Event()
    channel.in_buffer.set_event(something)
    channel.in_stderr_buffer.set_event(something)
    while True:
        if deadline.expired:
            raise TimeoutError
        ready = False
        if channel.recv_ready():
            out += channel.recv(_CHUNK)
            ready = True
        if channel.recv_stderr_ready():
            err += channel.recv_stderr(_CHUNK)
            ready = True
        if ready:
            continue
        if (channel.eof_received or channel.closed) and not channel.recv_ready():
            # the exit code may come after the end of the output
            if not channel.status_event.wait(deadline.remaining):
                raise TimeoutError
            if not (channel.recv_ready() or channel.recv_stderr_ready()):
                return bytes(out), bytes(err)
            continue
        something.wait(min(1.0, deadline.remaining))


def seconds_left(deadline: Deadline) -> float:
    """What is left, as paramiko takes it for a limit."""
    return max(deadline.remaining, _SHORTEST_S)


def as_text(raw: bytes) -> str:
    """What a command wrote; what is not UTF-8 is replaced."""
    return raw.decode("utf-8", errors="replace")
