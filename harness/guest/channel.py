"""The channel to a guest: one kept shell, one kept PowerShell process, many operations.

Two POSTs carry an operation: the request goes to the process's stdin, the
answer comes from its stdout (``harness.wire``). A process that does not
announce itself is given up, visibly, for one process per operation. Every
exchange is logged; passwords and file contents are not.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
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
from harness.guest.exchanges import Exchange, ExchangeLog
from harness.guest.winrm import Endpoint, open_protocol, our_errors
from harness.operations import Operation

__all__ = ["ANNOUNCE_S", "Exchange", "ExchangeLog", "GuestChannel", "WinRmChannel"]

_log = logging.getLogger(__name__)

ANNOUNCE_S = 25  # well below an operation's own time: the one that finds out may still be answered
_RECEIVE_S = 5
_SLACK_S = 10  # how much longer an HTTP answer may take than the service was told to wait
_LAST_SLACK_S = 2  # ... when the deadline is near
_STDIN_BLOCK = 100_000  # below the 150 KB envelope of old guests after base64 (facts/winrm.md 6)
_UTF8 = 65001
_COMPLAINT = 200


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
    complaint: str = ""
    ended: bool = False
    half_written: bool = False  # its stdin holds a part of a line


class WinRmChannel:
    """``GuestChannel`` over WinRM.

    ``warn`` is told, once, when operations have to run in a process each; that happens when
    PowerShell has not announced itself in ``announce_s`` seconds. ``module`` is another text
    than the guest module's own (``harness.guest.probe`` has one).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        warn: Callable[[str], None] = _log.warning,
        announce_s: float = ANNOUNCE_S,
        module: str = "",
    ) -> None:
        self.endpoint = endpoint
        self._module = module or agent.module_text()
        self.log = ExchangeLog()
        self._warn = warn
        self._announce_s = announce_s
        self._owner = threading.get_ident()
        self._protocol: winrm.protocol.Protocol | None = None
        self._shell_id = ""
        self._kept: _Process | None = None
        self._keeps = True
        self._last_id = 0
        self._lost = False

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
        """See ``GuestChannel.close``. A guest that was silent when last asked is not asked again."""
        if self._protocol is not None and not self._lost:
            self._pace(Deadline.after(_RECEIVE_S))
            if self._kept is not None:
                self._end(self._kept)
            if self._shell_id and not self._lost:
                with contextlib.suppress(ChannelError), our_errors(self.endpoint):
                    self._protocol.close_shell(self._shell_id)
        self.abandon()

    def abandon(self) -> None:
        """Close the connection and say nothing: for a guest that is off, or about to be taken away."""
        if self._protocol is not None:
            self._protocol.transport.close_session()
        self._protocol, self._kept, self._shell_id, self._lost = None, None, "", False

    # -- one operation

    def _call(
        self, operation: Operation, params: dict[str, Any], deadline: Deadline, traffic: _Traffic
    ) -> Any:
        self._lost = False
        try:
            return self._ask(operation, params, deadline, traffic)
        except (ChannelBroken, ShellGone, GuestUnreachable) as error:
            self._recover(error)
            if deadline.expired or (traffic.delivered and not operation.repeatable):
                raise
            _log.info("%s: asking %s again after: %s", self.endpoint.url, operation.name, error)
        traffic.delivered = self._lost = False
        try:
            return self._ask(operation, params, deadline, traffic)
        except (ChannelBroken, ShellGone, GuestUnreachable) as error:
            self._recover(error)
            raise

    def _ask(
        self, operation: Operation, params: dict[str, Any], deadline: Deadline, traffic: _Traffic
    ) -> Any:
        with our_errors(self.endpoint):
            process = self._process(deadline)
            try:
                return self._exchange(process, operation, params, deadline, traffic)
            except AnswerTimedOut:
                # it may be stuck: the next operation shall not wait behind this one
                self._kept = None
                raise
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
        traffic.delivered = True
        try:
            self._send(process, line, deadline, last=process is not self._kept)
        except ShellGone:
            traffic.delivered = False  # nobody was there to take it
            raise
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
                    probe = self._send_probe(process, deadline)
                case _:
                    continue  # stale or doubled: not what was asked

    def _request(self, name: str, params: dict[str, Any]) -> wire.Request:
        self._last_id += 1
        return wire.Request(self._last_id, name, params)

    def _send_probe(self, process: _Process, deadline: Deadline) -> int:
        request = self._request("boot_id", {})
        self._send(process, wire.encode_request(request), deadline, last=False)
        return request.id

    # -- processes

    def _process(self, deadline: Deadline) -> _Process:
        if self._kept is not None and not (self._kept.ended or self._kept.half_written):
            return self._kept
        if self._kept is not None:
            self._end(self._kept)
        process = self._start(deadline)
        if not self._keeps:
            return process  # it is asked at once; its announcement comes before the answer
        try:
            announced = self._announced(process, deadline)
        except BaseException:
            self._end(process)
            raise
        if announced:
            self._kept = process
            return process
        self._end(process)
        self._keeps = False
        self._warn(
            f"{self.endpoint.url}: the kept PowerShell process does not announce itself"
            f"{process.complaint and f' ({process.complaint})'}; "
            "from here on each operation starts a process of its own"
        )
        if deadline.expired:
            raise AnswerTimedOut(f"{self.endpoint.url}: PowerShell did not announce itself")
        return self._start(deadline)

    def _start(self, deadline: Deadline) -> _Process:
        if self._protocol is None:
            self._protocol = open_protocol(
                self.endpoint, operation_s=_RECEIVE_S, read_s=_RECEIVE_S + _SLACK_S
            )
        self._pace(deadline)
        if not self._shell_id:
            self._shell_id = self._protocol.open_shell(codepage=_UTF8, noprofile=True)
        command_id = self._protocol.run_command(
            self._shell_id, agent.command_line(), console_mode_stdin=False
        )
        process = _Process(self._shell_id, command_id)
        try:
            self._send(process, wire.encode_module(self._module), deadline, last=False)
        except BaseException:
            self._end(process)
            raise
        return process

    def _announced(self, process: _Process, deadline: Deadline) -> bool:
        """Whether it says in time that it has the module it was given."""
        wanted = wire.module_digest(self._module)
        patience = Deadline.after(deadline.at_most(self._announce_s))
        while not patience.expired:
            try:
                message = self._next_message(process, patience, _Traffic())
            except _Ended:
                return False
            if isinstance(message, wire.Ready):
                return message.module == wanted
        return False

    def _end(self, process: _Process) -> None:
        if self._protocol is not None and not self._lost:
            try:
                with our_errors(self.endpoint):
                    self._protocol.cleanup_command(process.shell_id, process.command_id)
            except GuestUnreachable:
                self._lost = True
            except ChannelError as error:
                _log.debug("%s: %s", self.endpoint.url, error)  # it is gone already
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
        if self._kept is not None:
            # output that was under way may be lost; the rest of its line will bear no mark
            self._kept.unread = b""
        self._lost = isinstance(error, GuestUnreachable)

    # -- bytes

    def _pace(self, deadline: Deadline) -> None:
        """Have the next message answered by about the deadline; the service waits whole seconds only."""
        protocol = self._open()
        wait = max(1, min(_RECEIVE_S, int(deadline.remaining)))
        protocol.operation_timeout_sec = wait
        slack = _SLACK_S if deadline.remaining > wait + _SLACK_S else _LAST_SLACK_S
        protocol.transport.read_timeout_sec = wait + slack

    def _send(self, process: _Process, line: str, deadline: Deadline, *, last: bool) -> None:
        data = line.encode("ascii") + b"\r\n"
        blocks = [data[start : start + _STDIN_BLOCK] for start in range(0, len(data), _STDIN_BLOCK)]
        for number, block in enumerate(blocks, 1):
            self._pace(deadline)
            process.half_written = len(blocks) > 1
            with our_errors(self.endpoint):
                self._open().send_command_input(
                    process.shell_id, process.command_id, block, end=last and number == len(blocks)
                )
        process.half_written = False

    def _next_message(
        self, process: _Process, deadline: Deadline, traffic: _Traffic
    ) -> wire.Ready | wire.Answer | wire.Refusal | None:
        """The next message, None when none came in one Receive.

        Raises:
            _Ended: the process has ended and said all it will ever say.
        """
        while True:
            line, newline, rest = process.unread.partition(b"\n")
            if newline:
                process.unread = rest
                message = self._decode(line)
                if message is not None:
                    return message
                continue
            if process.ended:
                complaint = process.complaint and f": {process.complaint}"
                raise _Ended(f"{self.endpoint.url}: PowerShell ended before it answered{complaint}")
            if deadline.expired or not self._receive(process, deadline, traffic):
                return None

    def _receive(self, process: _Process, deadline: Deadline, traffic: _Traffic) -> bool:
        """Take what the process wrote; whether it wrote anything, or ended."""
        self._pace(deadline)
        try:
            stdout, stderr, _, process.ended = self._open().get_command_output_raw(
                process.shell_id, process.command_id
            )
        except WinRMOperationTimeoutError:
            return False
        traffic.received += len(stdout)
        process.unread += stdout
        if stderr:
            text = stderr.decode("utf-8", errors="replace").strip()
            process.complaint = text.splitlines()[0][:_COMPLAINT] if text else process.complaint
            _log.info("%s: stderr: %s", self.endpoint.url, text[:500])
        return bool(stdout) or process.ended

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


class _Ended(ChannelBroken):
    """The process has ended without the message that was awaited."""


@dataclass
class _Traffic:
    """``delivered``: the request may have reached the process, so that asking again may do it twice."""

    sent: int = 0
    received: int = 0
    delivered: bool = False
