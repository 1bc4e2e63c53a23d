"""The harness's kept process in a guest that is not Windows: speaks ``harness.wire``, asks Python objects."""

from __future__ import annotations

import base64
import itertools
import ntpath
import threading
from collections import deque
from collections.abc import Callable

from harness import wire
from harness.operations import GuestOperations, OperationRefused, answer_request
from harness.winrmd.commands import (
    CONTROL_C_EXIT,
    CommandRequest,
    Output,
    OutputBuffer,
    RunningCommand,
    Stream,
)
from harness.winrmd.switches import FaultKind, FaultSwitches

__all__ = ["AgentRunner", "encoded_script", "is_agent_process"]

_POWERSHELL = {"powershell", "powershell.exe"}
_ENCODED = "-encodedcommand"


def encoded_script(request: CommandRequest) -> str | None:
    """The script in ``powershell ... -EncodedCommand <base64 of UTF-16>``; None for anything else."""
    words = request.words
    if not words or ntpath.basename(words[0].strip('"')).lower() not in _POWERSHELL:
        return None
    for word, following in itertools.pairwise(words[1:]):
        # PowerShell takes any beginning of a parameter's name, and -ec
        if len(word) > 1 and (_ENCODED.startswith(word.lower()) or word.lower() == "-ec"):
            try:
                return base64.b64decode(following, validate=True).decode("utf-16-le")
            except ValueError:  # no Base64, no UTF-16
                return None
    return None


def is_agent_process(request: CommandRequest) -> bool:
    """Whether a command is PowerShell with an encoded script: the way the harness starts its process."""
    return encoded_script(request) is not None


class AgentRunner:
    """Runs the harness's process: one thread per process, operations answered by ``guest``.

    A callable ``guest`` is called for each request, so that it may give another object after a
    reboot. ``recognises`` tells the process's command line from others.
    """

    def __init__(
        self,
        guest: GuestOperations | Callable[[], GuestOperations],
        *,
        shell_version: str,
        faults: FaultSwitches | None = None,
        recognises: Callable[[CommandRequest], bool] = is_agent_process,
    ) -> None:
        self._guest: Callable[[], GuestOperations] = guest if callable(guest) else lambda: guest
        self._shell_version = shell_version
        self._faults = faults or FaultSwitches()
        self._recognises = recognises

    def accepts(self, request: CommandRequest) -> bool:
        """See ``CommandRunner.accepts``."""
        return self._recognises(request)

    def start(self, request: CommandRequest) -> RunningCommand:  # noqa: ARG002 - every such process is alike
        """See ``CommandRunner.start``."""
        return _AgentProcess(self._guest, self._shell_version, self._faults)


class _AgentProcess:
    """``RunningCommand``: the process's loop in a thread that ends with stdin or ``terminate``.

    An operation that is under way cannot be broken off; what it answers then is thrown away.
    """

    def __init__(
        self, guest: Callable[[], GuestOperations], shell_version: str, faults: FaultSwitches
    ) -> None:
        self._guest = guest
        self._shell_version = shell_version
        self._faults = faults
        self._output = OutputBuffer()
        self._stdin = threading.Condition()
        self._unread = b""
        self._lines: deque[str] = deque()
        self._stdin_ended = False
        threading.Thread(target=self._run, name="winrmd agent process", daemon=True).start()

    # -- RunningCommand

    def write_stdin(self, data: bytes) -> None:
        """See ``RunningCommand.write_stdin``."""
        with self._stdin:
            if self._stdin_ended:
                return
            *lines, self._unread = (self._unread + data).split(b"\n")
            self._lines += [_text(line) for line in lines]
            self._stdin.notify_all()

    def close_stdin(self) -> None:
        """See ``RunningCommand.close_stdin``. A last line without an end is one too."""
        with self._stdin:
            if self._unread:
                self._lines.append(_text(self._unread))
                self._unread = b""
            self._stdin_ended = True
            self._stdin.notify_all()

    def read_output(self, timeout_s: float, limit: int) -> Output:
        """See ``RunningCommand.read_output``."""
        return self._output.read(timeout_s, limit)

    @property
    def exit_code(self) -> int | None:
        """See ``RunningCommand.exit_code``."""
        return self._output.exit_code

    def terminate(self) -> None:
        """See ``RunningCommand.terminate``."""
        self._output.end(CONTROL_C_EXIT)
        with self._stdin:
            self._lines.clear()
            self._stdin_ended = True
            self._stdin.notify_all()

    # -- the process

    def _run(self) -> None:
        silent = self._faults.strikes(FaultKind.NO_READY) is not None
        first = self._next_line()
        if first is not None:
            try:
                module = wire.decode_module(first)
            except ValueError as error:
                self._output.write(Stream.STDERR, f"{error}\r\n".encode())
                self._output.end(1)
                return
            if silent:
                self._await_end_of_stdin()
            else:
                self._write(wire.encode_ready(wire.Ready(self._shell_version, wire.module_digest(module))))
            while (line := self._next_line()) is not None:
                if line.strip():
                    self._write_answer(self._answer(line))
        self._output.end(0)

    def _next_line(self) -> str | None:
        with self._stdin:
            self._stdin.wait_for(lambda: self._lines or self._stdin_ended)
            return self._lines.popleft() if self._lines else None

    def _await_end_of_stdin(self) -> None:
        with self._stdin:
            self._stdin.wait_for(lambda: self._stdin_ended)

    def _answer(self, line: str) -> str:
        try:
            request = wire.decode_request(line)
        except ValueError as error:
            return wire.encode_refusal(None, "bad-request", str(error))
        try:
            result = answer_request(self._guest(), request.op, request.params)
            return wire.encode_answer(wire.Answer(request.id, result))
        except OperationRefused as refusal:
            return wire.encode_refusal(request.id, refusal.kind, refusal.detail)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in an operation is its answer
            return wire.encode_refusal(request.id, "command-failed", f"{type(error).__name__}: {error}")

    def _write_answer(self, line: str) -> None:
        late = self._faults.strikes(FaultKind.LATE_ANSWER)
        if late is not None:
            self._output.wait_ended(late.seconds)
        if self._faults.strikes(FaultKind.LOSE_ANSWER):
            return
        if self._faults.strikes(FaultKind.HALF_ANSWER):
            line = line[: len(line) // 2]
        self._write(line)
        if self._faults.strikes(FaultKind.DOUBLE_ANSWER):
            self._write(line)

    def _write(self, line: str) -> None:
        self._output.write(Stream.STDOUT, line.encode("ascii") + b"\r\n")


def _text(line: bytes) -> str:
    return line.decode("ascii", errors="replace").rstrip("\r")
