"""The channel to a guest: one kept shell, one kept PowerShell process, many operations.

Two POSTs carry an operation: the request goes to the process's stdin, the
answer comes from its stdout (``harness.wire``). A process that does not
announce itself is given up, visibly, for one process per operation. Every
exchange is logged; passwords and file contents are not.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import winrm.protocol
from winrm.exceptions import WinRMOperationTimeoutError

from harness import wire
from harness.deadline import Deadline
from harness.errors import (
    AnswerTimedOut,
    ChannelBroken,
    ChannelError,
    GuestUnreachable,
    OperationFailed,
    ShellGone,
)
from harness.guest import agent
from harness.guest.winrm import Endpoint, open_protocol, our_errors
from harness.operations import Operation

__all__ = ["Exchange", "ExchangeLog", "GuestChannel", "WinRmChannel"]

_log = logging.getLogger(__name__)

_ANNOUNCE_S = 60
_RECEIVE_S = 5
_READ_S = 15
_STDIN_BLOCK = 100_000  # below the 150 KB envelope of old guests after base64 (facts/winrm.md 6)
_UTF8 = 65001


@dataclass(frozen=True)
class Exchange:
    """One operation asked: how long it took and how it ended. Never a parameter's value."""

    at: float
    op: str
    request_bytes: int
    answer_bytes: int
    duration_s: float
    ended: str


class ExchangeLog:
    """What went over a channel, kept in order for the evidence."""

    def __init__(self, limit: int = 2000) -> None:
        self._exchanges: deque[Exchange] = deque(maxlen=limit)

    def add(self, exchange: Exchange) -> None:
        """Keep one; the oldest goes when there are too many."""
        self._exchanges.append(exchange)

    def lines(self) -> str:
        """All of them as JSON lines."""
        return "".join(json.dumps(asdict(exchange)) + "\n" for exchange in tuple(self._exchanges))

    def write(self, path: Path) -> None:
        """All of them into a file."""
        path.write_text(self.lines(), encoding="utf-8")


class GuestChannel(Protocol):
    """A way to have operations carried out in a guest. One object per thread."""

    log: ExchangeLog

    def call(self, operation: Operation, params: dict[str, Any], deadline: Deadline) -> Any:
        """Carry out an operation and give its result as plain JSON values.

        Raises:
            OperationFailed: the guest says no.
            ChannelError: no answer; which kind says why.
        """

    def close(self) -> None:
        """Leave nothing behind in the guest."""


@dataclass
class _Process:
    """A PowerShell process in the guest and what it has said and not yet been read."""

    shell_id: str
    command_id: str
    unread: bytes = b""
    ended: bool = False


class WinRmChannel:
    """``GuestChannel`` over WinRM.

    ``warn`` is told, once, when operations have to run in a process each.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        warn: Callable[[str], None] = _log.warning,
        announce_s: float = _ANNOUNCE_S,
    ) -> None:
        self.endpoint = endpoint
        self.log = ExchangeLog()
        self._warn = warn
        self._announce_s = announce_s
        self._owner = threading.get_ident()
        self._protocol: winrm.protocol.Protocol | None = None
        self._shell_id = ""
        self._kept: _Process | None = None
        self._keeps = True
        self._last_id = 0

    @property
    def keeps_process(self) -> bool:
        """Whether operations share one process."""
        return self._keeps

    def call(self, operation: Operation, params: dict[str, Any], deadline: Deadline) -> Any:
        """See ``GuestChannel.call``."""
        self._check_thread()
        started = time.monotonic()
        exchange = _Traffic()
        ended = "ok"
        try:
            return self._call(operation, params, deadline, exchange)
        except (ChannelError, OperationFailed) as error:
            ended = f"{type(error).__name__}: {error}"
            raise
        finally:
            self.log.add(
                Exchange(
                    at=time.time(),
                    op=operation.name,
                    request_bytes=exchange.sent,
                    answer_bytes=exchange.received,
                    duration_s=round(time.monotonic() - started, 4),
                    ended=ended,
                )
            )

    def close(self) -> None:
        """See ``GuestChannel.close``. A guest that is gone needs no tidying."""
        if self._protocol is None:
            return
        with contextlib.suppress(ChannelError), our_errors(self.endpoint):
            if self._kept is not None:
                self._end(self._kept)
            if self._shell_id:
                self._protocol.close_shell(self._shell_id)
        self._protocol.transport.close_session()
        self._protocol, self._kept, self._shell_id = None, None, ""

    # -- one operation

    def _call(
        self, operation: Operation, params: dict[str, Any], deadline: Deadline, traffic: _Traffic
    ) -> Any:
        try:
            return self._ask(operation, params, deadline, traffic)
        except (ChannelBroken, ShellGone, GuestUnreachable) as error:
            self._recover(error)
            if not operation.repeatable or deadline.expired:
                raise
            _log.info("%s: asking %s again after: %s", self.endpoint.url, operation.name, error)
        return self._ask(operation, params, deadline, traffic)

    def _ask(
        self, operation: Operation, params: dict[str, Any], deadline: Deadline, traffic: _Traffic
    ) -> Any:
        with our_errors(self.endpoint):
            process = self._process(deadline)
            try:
                return self._exchange(process, operation, params, deadline, traffic)
            finally:
                if process is not self._kept:
                    self._end(process)

    def _exchange(
        self,
        process: _Process,
        operation: Operation,
        params: dict[str, Any],
        deadline: Deadline,
        traffic: _Traffic,
    ) -> Any:
        request = self._request(operation.name, params)
        line = wire.encode_request(request)
        traffic.sent += len(line)
        self._send(process, line, last=process is not self._kept)
        probe: int | None = None
        while True:
            message = self._next_message(process, deadline, traffic)
            match message:
                case wire.Answer(id=number, result=result) if number == request.id:
                    return result
                case wire.Refusal(id=number, kind=kind, detail=detail) if number == request.id:
                    raise OperationFailed(operation.name, kind, detail)
                case wire.Answer(id=number) | wire.Refusal(id=int(number)) if number == probe:
                    # the process answers in order: what we waited for came and was lost on the way
                    raise ChannelBroken(f"{self.endpoint.url}: the answer to {operation.name} was lost")
                case wire.Refusal(id=None, detail=detail):
                    raise ChannelBroken(f"{self.endpoint.url}: a request arrived damaged: {detail}")
                case None if deadline.expired:
                    raise AnswerTimedOut(
                        f"{self.endpoint.url}: no answer to {operation.name} in {deadline.seconds:.0f} s"
                    )
                case None if probe is None and process is self._kept:
                    probe = self._send_probe(process)
                case _:
                    continue  # stale or doubled: not what was asked

    def _request(self, name: str, params: dict[str, Any]) -> wire.Request:
        self._last_id += 1
        return wire.Request(self._last_id, name, params)

    def _send_probe(self, process: _Process) -> int:
        request = self._request("boot_id", {})
        self._send(process, wire.encode_request(request), last=False)
        return request.id

    # -- processes

    def _process(self, deadline: Deadline) -> _Process:
        if self._keeps and self._kept is not None and not self._kept.ended:
            return self._kept
        process = self._start()
        if self._announced(process, deadline):
            if self._keeps:
                self._kept = process
            return process
        self._end(process)
        if deadline.expired or not self._keeps:
            raise AnswerTimedOut(f"{self.endpoint.url}: PowerShell did not announce itself")
        self._keeps = False
        self._warn(
            f"{self.endpoint.url}: the kept PowerShell process does not announce itself; "
            "from here on each operation starts a process of its own"
        )
        return self._start()

    def _start(self) -> _Process:
        if self._protocol is None:
            self._protocol = open_protocol(self.endpoint, operation_s=_RECEIVE_S, read_s=_READ_S)
        if not self._shell_id:
            self._shell_id = self._protocol.open_shell(codepage=_UTF8, noprofile=True)
        command_id = self._protocol.run_command(
            self._shell_id, agent.command_line(), console_mode_stdin=False
        )
        process = _Process(self._shell_id, command_id)
        self._send(process, wire.encode_module(agent.module_text()), last=False)
        return process

    def _announced(self, process: _Process, deadline: Deadline) -> bool:
        if not self._keeps:
            return True  # it is asked at once; its announcement comes before the answer
        patience = Deadline.after(deadline.at_most(self._announce_s))
        while not patience.expired and not process.ended:
            if isinstance(self._next_message(process, patience, _Traffic()), wire.Ready):
                return True
        return False

    def _end(self, process: _Process) -> None:
        if self._protocol is not None:
            with contextlib.suppress(ChannelError), our_errors(self.endpoint):
                self._protocol.cleanup_command(process.shell_id, process.command_id)
        process.ended = True
        if process is self._kept:
            self._kept = None

    def _recover(self, error: ChannelError) -> None:
        """Cures measured in facts/winrm.md 1.4: a new TCP connection, and a new shell where it is gone."""
        if self._protocol is not None:
            self._protocol.transport.close_session()
        if isinstance(error, ShellGone):
            self._shell_id = ""
            self._kept = None
        elif self._kept is not None and self._kept.ended:
            self._kept = None

    # -- bytes

    def _send(self, process: _Process, line: str, *, last: bool) -> None:
        data = line.encode("ascii") + b"\r\n"
        blocks = [data[start : start + _STDIN_BLOCK] for start in range(0, len(data), _STDIN_BLOCK)]
        for number, block in enumerate(blocks, 1):
            self._open().send_command_input(
                process.shell_id, process.command_id, block, end=last and number == len(blocks)
            )

    def _next_message(
        self, process: _Process, deadline: Deadline, traffic: _Traffic
    ) -> wire.Ready | wire.Answer | wire.Refusal | None:
        """The next message, None when none came in one Receive."""
        while True:
            line, newline, rest = process.unread.partition(b"\n")
            if not newline:
                break
            process.unread = rest
            message = self._decode(line)
            if message is not None:
                return message
        if process.ended:
            raise ChannelBroken(f"{self.endpoint.url}: PowerShell ended before it answered")
        if deadline.expired:
            return None
        try:
            stdout, stderr, _, process.ended = self._open().get_command_output_raw(
                process.shell_id, process.command_id
            )
        except WinRMOperationTimeoutError:
            return None
        traffic.received += len(stdout)
        process.unread += stdout
        if stderr:
            _log.info("%s: stderr: %s", self.endpoint.url, stderr.decode("utf-8", errors="replace")[:500])
        return self._next_message(process, deadline, traffic) if stdout else None

    def _decode(self, line: bytes) -> wire.Ready | wire.Answer | wire.Refusal | None:
        text = line.decode("ascii", errors="replace").rstrip("\r")
        try:
            return wire.decode_message(text)
        except ValueError as error:
            raise ChannelBroken(f"{self.endpoint.url}: {error}") from error

    def _open(self) -> winrm.protocol.Protocol:
        if self._protocol is None:
            raise ShellGone(f"{self.endpoint.url}: the channel is closed")
        return self._protocol

    def _check_thread(self) -> None:
        # pywinrm mixes up NTLM states when threads share an object (facts/winrm.md 1.4)
        if threading.get_ident() != self._owner:
            raise RuntimeError("a WinRmChannel belongs to the thread that made it")


@dataclass
class _Traffic:
    sent: int = 0
    received: int = 0
