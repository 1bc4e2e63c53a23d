"""A running command on a simulated host: its words, its streams, its end."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from harness.simlab.host.simhost import SimHost

__all__ = [
    "KILLED",
    "Command",
    "CommandError",
    "FileOutput",
    "Input",
    "Output",
    "Pipe",
    "Process",
    "Processes",
    "Session",
    "Streams",
    "nowhere",
]

KILLED = 128 + 15


class Input(Protocol):
    """Where a command reads from."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes, waiting for the first; empty at the end."""


class Output(Protocol):
    """Where a command writes to."""

    def write(self, data: bytes, /) -> object:
        """Take all of it. Raises ``OSError`` when nobody reads any more or the disk is full."""


class CommandError(Exception):
    """A command ends with these words on stderr and this exit code."""

    def __init__(self, words: str, rc: int = 1) -> None:
        super().__init__(words)
        self.words = words
        self.rc = rc


class Processes:
    """The process table of a host. Thread-safe; closing it kills them all."""

    def __init__(self) -> None:
        self._running: dict[int, Process] = {}
        self._numbers = itertools.count(2000)
        self._lock = threading.Lock()

    def add(self, process: Process) -> int:
        """Enter a process; gives its number."""
        with self._lock:
            pid = next(self._numbers)
            self._running[pid] = process
            return pid

    def remove(self, pid: int) -> None:
        """A process has ended."""
        with self._lock:
            self._running.pop(pid, None)

    def find(self, pid: int) -> Process | None:
        """A running process."""
        with self._lock:
            return self._running.get(pid)

    def items(self) -> tuple[Process, ...]:
        """All that run now."""
        with self._lock:
            return tuple(self._running.values())

    def close(self) -> None:
        """Kill all that run."""
        for process in self.items():
            process.kill()


class Streams(NamedTuple):
    """What a command reads and writes."""

    stdin: Input
    stdout: Output
    stderr: Output


@dataclass(frozen=True)
class Session:
    """What all commands of one connection share. ``drop`` breaks the connection."""

    host: SimHost
    table: Processes
    commands: Mapping[str, Command]
    drop: Callable[[], None]


class Process:
    """One command. ``killed`` is set when somebody ends it; what waits has to look there."""

    def __init__(
        self, session: Session, argv: Sequence[str], streams: Streams, environment: Mapping[str, str]
    ) -> None:
        self.session = session
        self.host = session.host
        self.argv = tuple(argv)
        self.stdin, self.stdout, self.stderr = streams
        self.environment = dict(environment)
        self.killed = threading.Event()
        self._on_kill: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self.pid = session.table.add(self)

    @property
    def args(self) -> tuple[str, ...]:
        """The words behind the command's name."""
        return self.argv[1:]

    def out(self, text: str) -> None:
        """Write text to stdout."""
        self.stdout.write(text.encode("utf-8", "surrogateescape"))

    def err(self, text: str) -> None:
        """Write text to stderr."""
        self.stderr.write(text.encode("utf-8", "surrogateescape"))

    def read_all(self) -> bytes:
        """All of stdin."""
        parts = []
        while data := self.stdin.read(1 << 16):
            parts.append(data)
        return b"".join(parts)

    def child(self, argv: Sequence[str], streams: Streams | None = None) -> Process:
        """A process that dies with this one; its streams are ours unless others are given."""
        own = Streams(self.stdin, self.stdout, self.stderr)
        process = Process(self.session, argv, streams or own, self.environment)
        self.on_kill(process.kill)
        return process

    def on_kill(self, action: Callable[[], None]) -> None:
        """Do something when this process is killed; at once if it already was."""
        with self._lock:
            if not self.killed.is_set():
                self._on_kill.append(action)
                return
        action()

    def kill(self) -> None:
        """End it: what it waits for comes to an end."""
        with self._lock:
            self.killed.set()
            actions, self._on_kill = self._on_kill, []
        for action in actions:
            action()

    def run(self, command: Command) -> int:
        """Run a command as this process, to its end; gives the exit code."""
        try:
            rc = command(self)
        except CommandError as error:
            rc = self._complain(error.words, error.rc)
        except BrokenPipeError:
            rc = 141  # SIGPIPE
        except (ValueError, IndexError):
            rc = self._complain(f"{self.argv[0]}: missing or bad operand: {' '.join(self.args)}\n", 2)
        except OSError as error:
            rc = self._complain(f"{self.argv[0]}: {error.filename or ''}: {error.strerror}\n", 1)
        finally:
            self.session.table.remove(self.pid)
        return KILLED if self.killed.is_set() else rc

    def _complain(self, words: str, rc: int) -> int:
        try:
            self.err(words)
        except OSError:
            return 141
        return rc


Command = Callable[[Process], int]


class Pipe:
    """What one command writes another reads. Closing it ends the reader's input."""

    def __init__(self) -> None:
        self._parts: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def write(self, data: bytes, /) -> None:
        """See ``Output.write``."""
        with self._changed:
            if self._closed:
                raise BrokenPipeError
            if data:
                self._parts.append(data)
                self._changed.notify_all()

    def read(self, size: int, /) -> bytes:
        """See ``Input.read``."""
        with self._changed:
            self._changed.wait_for(lambda: self._parts or self._closed)
            if not self._parts:
                return b""
            part = self._parts.popleft()
            if len(part) > size:
                self._parts.appendleft(part[size:])
            return part[:size]

    def close(self) -> None:
        """No more will be written, or read."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class FileOutput:
    """A file of the host that is written to; made empty unless ``append``."""

    def __init__(self, host: SimHost, path: str, *, append: bool) -> None:
        self._host = host
        self._path = path
        self._real: Path = host.files.real(path)
        if not append or not self._real.exists():
            self._real.open("wb").close()

    def write(self, data: bytes, /) -> None:
        """See ``Output.write``."""
        self._host.files.check_room(self._path)
        with self._real.open("ab") as file:
            file.write(data)


class _Nowhere:
    def write(self, data: bytes, /) -> int:
        return len(data)

    def read(self, size: int, /) -> bytes:
        del size
        return b""


nowhere = _Nowhere()
"""/dev/null, for reading and writing."""
