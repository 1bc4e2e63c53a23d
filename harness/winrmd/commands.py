"""The seam behind which commands run, and the small runners that need no process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from harness.deadline import Deadline

__all__ = [
    "CONTROL_C_EXIT",
    "Chunk",
    "CommandRequest",
    "CommandRunner",
    "Dispatcher",
    "FinishedCommand",
    "Output",
    "OutputBuffer",
    "Reply",
    "RunningCommand",
    "Stream",
    "TableRunner",
]

CONTROL_C_EXIT = 0xC000013A  # STATUS_CONTROL_C_EXIT: what Windows reports for an ended console program
_UNKNOWN_COMMAND = 1


class Stream(StrEnum):
    """The two streams a command writes to, by their names on the wire."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True)
class CommandRequest:
    """A command as the client asked for it.

    ``command`` and ``arguments`` are as they were sent: clients differ in how they cut the line.
    ``environment`` and ``working_directory`` are the shell's. ``codepage`` is the shell's
    WINRS_CODEPAGE, 437 unless asked for.
    """

    command: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = ""
    codepage: int = 437
    user: str = ""

    @property
    def line(self) -> str:
        """The whole command line, as cmd.exe gets it: everything joined with blanks."""
        return " ".join((self.command, *self.arguments))

    @property
    def words(self) -> tuple[str, ...]:
        """The line cut at blanks; quotes mean nothing here."""
        return tuple(self.line.split())


@dataclass(frozen=True)
class Chunk:
    """Some bytes of one stream, never empty."""

    stream: Stream
    data: bytes


@dataclass(frozen=True)
class Output:
    """What a command wrote. ``exit_code`` is set once it has ended and nothing comes after ``chunks``."""

    chunks: tuple[Chunk, ...]
    exit_code: int | None


class RunningCommand(Protocol):
    """A command that was started. Every method may be called from any thread."""

    def write_stdin(self, data: bytes) -> None:
        """Feed its stdin; after its end this is ignored."""

    def close_stdin(self) -> None:
        """End its stdin."""

    def read_output(self, timeout_s: float, limit: int) -> Output:
        """Take at most ``limit`` bytes of output; waits up to ``timeout_s`` for the first or for the end.

        Without either the answer is empty and has no exit code. What was taken is gone.
        """

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""

    def terminate(self) -> None:
        """End it and all it started; wakes ``read_output`` at once. Harmless when it has ended."""


class CommandRunner(Protocol):
    """Starts commands."""

    def accepts(self, request: CommandRequest) -> bool:
        """Whether this runner is for that command."""

    def start(self, request: CommandRequest) -> RunningCommand:
        """Start it. The endpoint terminates every command in the end, ended or not.

        Raises:
            FileNotFoundError: there is no such program (fault 2147942402).
        """


class OutputBuffer:
    """Output between the thread that makes it and those that read it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._chunks: deque[Chunk] = deque()
        self._exit_code: int | None = None

    def write(self, stream: Stream, data: bytes) -> None:
        """Add output; what comes after ``end`` is dropped."""
        with self._changed:
            if data and self._exit_code is None:
                self._chunks.append(Chunk(stream, data))
                self._changed.notify_all()

    def end(self, exit_code: int) -> None:
        """Nothing more comes. The first exit code counts."""
        with self._changed:
            if self._exit_code is None:
                self._exit_code = exit_code
                self._changed.notify_all()

    @property
    def exit_code(self) -> int | None:
        """See ``RunningCommand.exit_code``."""
        with self._changed:
            return self._exit_code

    def wait_ended(self, timeout_s: float) -> bool:
        """Wait up to ``timeout_s`` seconds for the end; whether it came."""
        with self._changed:
            return self._changed.wait_for(lambda: self._exit_code is not None, timeout_s)

    def read(self, timeout_s: float, limit: int) -> Output:
        """See ``RunningCommand.read_output``."""
        deadline = Deadline.after(timeout_s)
        with self._changed:
            self._changed.wait_for(lambda: self._chunks or self._exit_code is not None, deadline.remaining)
            taken = self._take(limit)
            return Output(taken, None if self._chunks else self._exit_code)

    def _take(self, limit: int) -> tuple[Chunk, ...]:
        taken = []
        while self._chunks and limit > 0:
            chunk = self._chunks.popleft()
            if len(chunk.data) > limit:
                self._chunks.appendleft(Chunk(chunk.stream, chunk.data[limit:]))
                chunk = Chunk(chunk.stream, chunk.data[:limit])
            limit -= len(chunk.data)
            taken.append(chunk)
        return tuple(taken)


@dataclass(frozen=True)
class Reply:
    """What a simple command answers."""

    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int = 0


class FinishedCommand:
    """A command that had ended when it was started."""

    def __init__(self, reply: Reply) -> None:
        self._output = OutputBuffer()
        self._output.write(Stream.STDOUT, reply.stdout)
        self._output.write(Stream.STDERR, reply.stderr)
        self._output.end(reply.exit_code)

    def write_stdin(self, data: bytes) -> None:
        """Nobody reads it."""

    def close_stdin(self) -> None:
        """Nobody reads it."""

    def read_output(self, timeout_s: float, limit: int) -> Output:
        """See ``RunningCommand.read_output``."""
        return self._output.read(timeout_s, limit)

    @property
    def exit_code(self) -> int | None:
        """Known from the start."""
        return self._output.exit_code

    def terminate(self) -> None:
        """It has ended already."""


class TableRunner:
    """Answers command lines from a table; the lines are compared without regard to case.

    A value is a ``Reply`` or is called for one with the request. ``otherwise`` answers the rest;
    without it they are left to other runners.
    """

    def __init__(
        self,
        table: Mapping[str, Reply | Callable[[CommandRequest], Reply]],
        *,
        otherwise: Callable[[CommandRequest], Reply] | None = None,
    ) -> None:
        self._table = {line.lower(): answer for line, answer in table.items()}
        self._otherwise = otherwise

    def accepts(self, request: CommandRequest) -> bool:
        """See ``CommandRunner.accepts``."""
        return self._otherwise is not None or request.line.lower() in self._table

    def start(self, request: CommandRequest) -> RunningCommand:
        """See ``CommandRunner.start``."""
        answer = self._table.get(request.line.lower(), self._otherwise)
        if answer is None:
            return FinishedCommand(_unknown_command(request))
        return FinishedCommand(answer if isinstance(answer, Reply) else answer(request))


class Dispatcher:
    """Gives each command to the first runner that accepts it; the rest is unknown, as cmd.exe says it."""

    def __init__(self, *runners: CommandRunner) -> None:
        self._runners = runners

    def accepts(self, request: CommandRequest) -> bool:  # noqa: ARG002 - it answers everything
        """See ``CommandRunner.accepts``."""
        return True

    def start(self, request: CommandRequest) -> RunningCommand:
        """See ``CommandRunner.start``."""
        for runner in self._runners:
            if runner.accepts(request):
                return runner.start(request)
        return FinishedCommand(_unknown_command(request))


def _unknown_command(request: CommandRequest) -> Reply:
    """What English cmd.exe says to a command it does not know (general knowledge: text and exit code 1)."""
    text = (
        f"'{request.command}' is not recognized as an internal or external command,\r\n"
        "operable program or batch file.\r\n"
    )
    return Reply(stderr=text.encode(), exit_code=_UNKNOWN_COMMAND)
