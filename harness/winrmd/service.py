"""WS-Management's actions on remote shells, from envelope to envelope (facts/winrm.md 5.3)."""

from __future__ import annotations

import base64
import binascii
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from xml.etree import ElementTree as ET

from harness.winrmd import wsfaults
from harness.winrmd.commands import (
    Chunk,
    CommandRequest,
    CommandRunner,
    FinishedCommand,
    Output,
    Reply,
    RunningCommand,
    Stream,
)
from harness.winrmd.settings import LongLine, WinRmSettings
from harness.winrmd.shells import Command, Shell, Shells, new_id
from harness.winrmd.soap import (
    ANONYMOUS,
    RSP,
    Action,
    Message,
    WsFault,
    child_text,
    escape,
    parse_duration,
    parse_message,
    render_answer,
    render_fault,
    render_identity,
)

__all__ = ["Caller", "Service"]

_log = logging.getLogger(__name__)

_CMD_URI = f"{RSP}/cmd"
_CONFIG_URI = "http://schemas.microsoft.com/wbem/wsman/1/config"
_DEFAULT_CODEPAGE = 437
_DEFAULT_ENVELOPE = 153_600  # what pywinrm asks for, and stock Windows of old allowed
_ENVELOPE_OVERHEAD = 4096  # header, command state and end-of-stream elements of a Receive's answer
_ELEMENT_OVERHEAD = 200  # one Stream element without its text
_TOO_LONG = Reply(stderr=b"The command line is too long.\r\n", exit_code=1)


@dataclass(frozen=True)
class Caller:
    """Who asks: the account that logged in, and the address the request came from."""

    user: str
    address: str


class Service:
    """The service behind an endpoint's listener. Knows nothing of HTTP but its status codes."""

    def __init__(self, runner: CommandRunner, settings: WinRmSettings, machine: str) -> None:
        self.shells = Shells(
            max_shells=settings.max_shells_per_user, max_operations=settings.max_concurrent_operations
        )
        self._runner = runner
        self._settings = settings
        self._machine = machine
        self._actions: Mapping[str, Callable[[Message, Caller], str]] = {
            Action.GET: self._get,
            Action.CREATE: self._create,
            Action.DELETE: self._delete,
            Action.COMMAND: self._command,
            Action.RECEIVE: self._receive,
            Action.SEND: self._send,
            Action.SIGNAL: self._signal,
        }

    def answer(self, envelope: bytes, caller: Caller) -> tuple[int, bytes]:
        """The HTTP status (200 or 500) and the answering envelope."""
        message_id = ""
        try:
            message = parse_message(envelope)
            message_id = message.message_id
            if message.action == Action.IDENTIFY:
                return 200, render_identity(self._settings.product)
            act = self._actions.get(message.action, _refuse_action)
            return 200, render_answer(message, act(message, caller))
        except WsFault as fault:
            return 500, render_fault(message_id, fault, self._machine)
        except Exception as error:  # noqa: BLE001 - a runner that fails is answered for, as Windows does
            _log.exception("a request to the endpoint %s failed", self._machine)
            return 500, render_fault(message_id, wsfaults.internal_error(str(error)), self._machine)

    def identify(self, envelope: bytes) -> bytes | None:
        """The answer to Identify for one who has not logged in; None when it asks for something else."""
        try:
            if parse_message(envelope).action != Action.IDENTIFY:
                return None
        except WsFault:
            return None
        return render_identity(self._settings.product)

    # -- actions

    def _get(self, message: Message, caller: Caller) -> str:
        if message.resource_uri == _CONFIG_URI:
            return _render_config(self._settings)
        if message.resource_uri in {RSP, _CMD_URI}:
            return _render_shell(self.shells.get(message.shell_id, caller.user))
        raise wsfaults.unknown_resource(message.resource_uri)

    def _create(self, message: Message, caller: Caller) -> str:
        _require_cmd(message)
        body = _body(message, "Shell")
        shell = Shell(
            id=new_id(),
            user=caller.user,
            client=caller.address,
            environment={
                variable.get("Name", ""): variable.text or ""
                for variable in body.findall(f"{{{RSP}}}Environment/{{{RSP}}}Variable")
            },
            working_directory=child_text(body, RSP, "WorkingDirectory"),
            codepage=_number(message.options.get("WINRS_CODEPAGE", ""), _DEFAULT_CODEPAGE),
            idle_timeout_s=self._idle_timeout(body),
        )
        self.shells.add(shell)
        return _render_created(shell) + _render_shell(shell)

    def _idle_timeout(self, body: ET.Element) -> float:
        text = child_text(body, RSP, "IdleTimeOut")
        try:
            return parse_duration(text) if text else self._settings.idle_timeout_s
        except ValueError as error:
            raise wsfaults.bad_parameter(f"IdleTimeOut: {error}") from error

    def _delete(self, message: Message, caller: Caller) -> str:
        self.shells.remove(self.shells.get(message.shell_id, caller.user))
        return ""

    def _command(self, message: Message, caller: Caller) -> str:
        shell = self.shells.get(message.shell_id, caller.user)
        body = _body(message, "CommandLine")
        request = CommandRequest(
            command=child_text(body, RSP, "Command"),
            arguments=tuple(element.text or "" for element in body.findall(f"{{{RSP}}}Arguments")),
            environment=shell.environment,
            working_directory=shell.working_directory,
            codepage=shell.codepage,
            user=shell.user,
        )
        if not request.command:
            raise wsfaults.bad_parameter("Command is empty")
        command = self.shells.start(shell, lambda: self._start(request))
        return f"<rsp:CommandResponse><rsp:CommandId>{command.id}</rsp:CommandId></rsp:CommandResponse>"

    def _start(self, request: CommandRequest) -> RunningCommand:
        if len(request.line) > self._settings.command_line_limit:
            silent = self._settings.long_line is LongLine.SILENCE
            return FinishedCommand(Reply() if silent else _TOO_LONG)
        try:
            return self._runner.start(request)
        except FileNotFoundError as error:
            raise wsfaults.file_not_found() from error

    def _receive(self, message: Message, caller: Caller) -> str:
        shell = self.shells.get(message.shell_id, caller.user)
        wanted = _body(message, "Receive").find(f"{{{RSP}}}DesiredStream")
        command = self.shells.command(shell, "" if wanted is None else wanted.get("CommandId", ""))
        return command.replay.answer(message.message_id, lambda: self._output(message, shell, command))

    def _output(self, message: Message, shell: Shell, command: Command) -> str:
        seconds = message.timeout_s if message.timeout_s is not None else self._settings.max_timeout_s
        output = command.running.read_output(
            min(seconds, self._settings.max_timeout_s), self._read_limit(message.max_envelope)
        )
        if not self.shells.holds(shell, command):
            raise wsfaults.aborted() if self.shells.has(shell) else wsfaults.shell_gone()
        if not output.chunks and output.exit_code is None:
            raise wsfaults.timed_out()
        command.reported = output.exit_code is not None
        return _render_output(output, command.id, self._settings.stream_piece)

    def _read_limit(self, max_envelope: int | None) -> int:
        """How many bytes of output fit into an answer."""
        envelope = min(max_envelope or _DEFAULT_ENVELOPE, self._settings.max_envelope_kib * 1024)
        piece = self._settings.stream_piece
        per_piece = (piece + 2) // 3 * 4 + _ELEMENT_OVERHEAD
        room = max(envelope - _ENVELOPE_OVERHEAD, 0)
        whole = room // per_piece * piece
        rest = max(room % per_piece - _ELEMENT_OVERHEAD, 0) * 3 // 4
        return max(whole + rest, 1)

    def _send(self, message: Message, caller: Caller) -> str:
        shell = self.shells.get(message.shell_id, caller.user)
        for stream in _body(message, "Send").findall(f"{{{RSP}}}Stream"):
            command = self.shells.command(shell, stream.get("CommandId", ""))
            if stream.get("Name") != "stdin":
                raise wsfaults.bad_parameter(f"no input stream {stream.get('Name')!r}")
            try:
                data = base64.b64decode("".join((stream.text or "").split()), validate=True)
            except (binascii.Error, ValueError) as error:
                raise wsfaults.bad_parameter(f"stdin is not base64: {error}") from error
            if data:
                command.running.write_stdin(data)
            if stream.get("End", "").lower() in {"true", "1"}:
                command.running.close_stdin()
        return "<rsp:SendResponse/>"

    def _signal(self, message: Message, caller: Caller) -> str:
        shell = self.shells.get(message.shell_id, caller.user)
        body = _body(message, "Signal")
        command = self.shells.command(shell, body.get("CommandId", ""))
        name = child_text(body, RSP, "Code").rpartition("/signal/")[2].lower()
        if name == "terminate" or command.reported:
            self.shells.end_command(shell, command)
        else:
            command.running.terminate()  # ctrl_c, ctrl_break: its end and last output can still be received
        return "<rsp:SignalResponse/>"


def _refuse_action(message: Message, _: Caller) -> str:
    raise wsfaults.unknown_action(message.action)


def _require_cmd(message: Message) -> None:
    if message.resource_uri != _CMD_URI:
        raise wsfaults.unknown_resource(message.resource_uri)


def _body(message: Message, name: str) -> ET.Element:
    if message.body is None or message.body.tag != f"{{{RSP}}}{name}":
        raise wsfaults.bad_parameter(f"the body has no {name}")
    return message.body


def _number(text: str, default: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        raise wsfaults.bad_parameter(f"not a number: {text!r}")
    return int(text)


def _render_created(shell: Shell) -> str:
    return (
        f"<x:ResourceCreated><a:Address>{ANONYMOUS}</a:Address><a:ReferenceParameters>"
        f"<w:ResourceURI>{_CMD_URI}</w:ResourceURI>"
        f'<w:SelectorSet><w:Selector Name="ShellId">{shell.id}</w:Selector></w:SelectorSet>'
        "</a:ReferenceParameters></x:ResourceCreated>"
    )


def _render_shell(shell: Shell) -> str:
    now = time.monotonic()
    return (
        f"<rsp:Shell><rsp:ShellId>{shell.id}</rsp:ShellId><rsp:ResourceUri>{_CMD_URI}</rsp:ResourceUri>"
        f"<rsp:Owner>{escape(shell.user)}</rsp:Owner><rsp:ClientIP>{escape(shell.client)}</rsp:ClientIP>"
        f"<rsp:IdleTimeOut>PT{shell.idle_timeout_s:.3f}S</rsp:IdleTimeOut>"
        "<rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout stderr</rsp:OutputStreams>"
        f"<rsp:ShellRunTime>{_run_time(now - shell.opened)}</rsp:ShellRunTime>"
        f"<rsp:ShellInactivity>{_run_time(now - shell.used)}</rsp:ShellInactivity></rsp:Shell>"
    )


def _run_time(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"P{hours // 24}DT{hours % 24}H{minute}M{second}S"


def _render_config(settings: WinRmSettings) -> str:
    return (
        f"<cfg:Config><cfg:MaxEnvelopeSizekb>{settings.max_envelope_kib}</cfg:MaxEnvelopeSizekb>"
        f"<cfg:MaxTimeoutms>{settings.max_timeout_s * 1000:.0f}</cfg:MaxTimeoutms>"
        "<cfg:MaxBatchItems>32000</cfg:MaxBatchItems>"
        "<cfg:Service>"
        f"<cfg:MaxConcurrentOperationsPerUser>{settings.max_concurrent_operations}"
        "</cfg:MaxConcurrentOperationsPerUser><cfg:MaxConnections>300</cfg:MaxConnections>"
        f"<cfg:AllowUnencrypted>{str(settings.allow_unencrypted).lower()}</cfg:AllowUnencrypted>"
        f"<cfg:Auth><cfg:Basic>{str(settings.basic).lower()}</cfg:Basic>"
        f"<cfg:Negotiate>{str(settings.negotiate).lower()}</cfg:Negotiate></cfg:Auth></cfg:Service>"
        f"<cfg:Winrs><cfg:AllowRemoteShellAccess>true</cfg:AllowRemoteShellAccess>"
        f"<cfg:IdleTimeout>{settings.idle_timeout_s * 1000:.0f}</cfg:IdleTimeout>"
        f"<cfg:MaxShellsPerUser>{settings.max_shells_per_user}</cfg:MaxShellsPerUser></cfg:Winrs></cfg:Config>"
    )


def _render_output(output: Output, command_id: str, piece: int) -> str:
    parts = [
        f'<rsp:Stream Name="{chunk.stream}" CommandId="{command_id}">'
        f"{base64.b64encode(chunk.data).decode()}</rsp:Stream>"
        for chunk in _pieces(output.chunks, piece)
    ]
    if output.exit_code is None:
        state, ending = "Running", ""
    else:
        state, ending = "Done", f"<rsp:ExitCode>{output.exit_code}</rsp:ExitCode>"
        parts += [f'<rsp:Stream Name="{name}" CommandId="{command_id}" End="true"/>' for name in Stream]
    parts.append(
        f'<rsp:CommandState CommandId="{command_id}" State="{RSP}/CommandState/{state}">'
        f"{ending}</rsp:CommandState>"
    )
    return f"<rsp:ReceiveResponse>{''.join(parts)}</rsp:ReceiveResponse>"


def _pieces(chunks: tuple[Chunk, ...], size: int) -> list[Chunk]:
    """Neighbouring chunks of a stream joined, then cut to at most ``size`` bytes."""
    pieces = []
    for stream, group in groupby(chunks, key=lambda chunk: chunk.stream):
        data = b"".join(chunk.data for chunk in group)
        pieces += [Chunk(stream, data[start : start + size]) for start in range(0, len(data), size)]
    return pieces
