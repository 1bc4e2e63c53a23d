"""The open remote shells of an endpoint and the commands in them."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.winrmd import wsfaults
from harness.winrmd.commands import RunningCommand

__all__ = ["Command", "Replay", "Shell", "Shells", "new_id"]


class Replay:
    """One Receive's answer, kept for a client that asks for it again under the same MessageID.

    pypsrp does so after a read timeout; that Windows gives the same data then is its author's word
    (facts/winrm.md 1.4).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._message_id = ""
        self._answer: list[str] = []
        self._ready = threading.Event()

    def answer(self, message_id: str, make: Callable[[], str]) -> str:
        """What ``make`` gave for this message; it runs once per message."""
        with self._lock:
            repeated = message_id == self._message_id
            if not repeated:
                self._message_id, self._answer, self._ready = message_id, [], threading.Event()
            kept, ready = self._answer, self._ready
        if repeated:
            ready.wait()
            if kept:
                return kept[0]
        try:
            answer = make()
            kept[:] = [answer]
        finally:
            ready.set()
        return answer


@dataclass
class Command:
    """A command in a shell. ``reported`` once the client was told its exit code."""

    id: str
    running: RunningCommand
    replay: Replay = field(default_factory=Replay)
    reported: bool = False


@dataclass
class Shell:
    """An open remote shell. ``streams`` are the output streams as the client asked for them."""

    id: str
    user: str
    client: str
    environment: Mapping[str, str]
    working_directory: str
    codepage: int
    idle_timeout_s: float
    commands: dict[str, Command] = field(default_factory=dict)
    opened: float = field(default_factory=time.monotonic)
    used: float = field(default_factory=time.monotonic)


class Shells:
    """All shells of an endpoint. Thread-safe; commands are ended outside its lock."""

    def __init__(self, *, max_shells: int, max_operations: int) -> None:
        self._lock = threading.Lock()
        self._shells: dict[str, Shell] = {}
        self._max_shells = max_shells
        self._max_operations = max_operations

    @property
    def count(self) -> int:
        """Open shells."""
        with self._lock:
            return len(self._shells)

    @property
    def commands(self) -> int:
        """Commands that no client has signalled the end of."""
        with self._lock:
            return sum(len(shell.commands) for shell in self._shells.values())

    def add(self, shell: Shell) -> None:
        """Open a shell.

        Raises:
            WsFault: the user has too many.
        """
        self._expire()
        with self._lock:
            if sum(other.user == shell.user for other in self._shells.values()) >= self._max_shells:
                raise wsfaults.too_many_shells(shell.user, self._max_shells)
            self._shells[shell.id] = shell

    def get(self, shell_id: str, user: str) -> Shell:
        """A user's shell, whose idle time starts again.

        Raises:
            WsFault: it does not exist (any more).
        """
        self._expire()
        with self._lock:
            shell = self._shells.get(shell_id.upper())
            if shell is None or shell.user != user:
                raise wsfaults.shell_gone()
            shell.used = time.monotonic()
            return shell

    def start(self, shell: Shell, make: Callable[[], RunningCommand]) -> Command:
        """Start a command in a shell.

        Raises:
            WsFault: the shell is gone, or the user has too many commands.
        """
        with self._lock:
            theirs = (other for other in self._shells.values() if other.user == shell.user)
            if sum(len(other.commands) for other in theirs) >= self._max_operations:
                raise wsfaults.too_many_operations(shell.user, self._max_operations)
        command = Command(new_id(), make())
        with self._lock:
            if self._shells.get(shell.id) is shell:
                shell.commands[command.id] = command
                return command
        command.running.terminate()  # the shell went while the command started
        raise wsfaults.shell_gone()

    def command(self, shell: Shell, command_id: str) -> Command:
        """A command of a shell.

        Raises:
            WsFault: it does not exist (any more).
        """
        with self._lock:
            command = shell.commands.get(command_id.upper())
        if command is None:
            raise wsfaults.shell_gone()
        return command

    def holds(self, shell: Shell, command: Command) -> bool:
        """Whether shell and command still exist."""
        with self._lock:
            return self._shells.get(shell.id) is shell and shell.commands.get(command.id) is command

    def has(self, shell: Shell) -> bool:
        """Whether the shell still exists."""
        with self._lock:
            return self._shells.get(shell.id) is shell

    def end_command(self, shell: Shell, command: Command) -> None:
        """End a command and forget it."""
        with self._lock:
            shell.commands.pop(command.id, None)
        command.running.terminate()

    def remove(self, shell: Shell) -> None:
        """Close a shell and end all that runs in it."""
        with self._lock:
            self._shells.pop(shell.id, None)
        _end_all(shell)

    def drop_all(self) -> None:
        """Close every shell, as a reboot does."""
        with self._lock:
            shells = tuple(self._shells.values())
            self._shells.clear()
        for shell in shells:
            _end_all(shell)

    def _expire(self) -> None:
        now = time.monotonic()
        with self._lock:
            idle = [shell for shell in self._shells.values() if now - shell.used > shell.idle_timeout_s]
            for shell in idle:
                del self._shells[shell.id]
        for shell in idle:
            _end_all(shell)


def _end_all(shell: Shell) -> None:
    for command in tuple(shell.commands.values()):
        command.running.terminate()


def new_id() -> str:
    """An id for a shell or a command, as Windows makes them."""
    return str(uuid.uuid4()).upper()
