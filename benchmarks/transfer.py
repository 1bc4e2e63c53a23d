"""Files to a guest: our transfer against plain HTTP, stdin and appending scripts."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import winrm

from benchmarks.compare import Comparison, median_s, turns
from benchmarks.endpoint import PASSWORD, USER, download, serving
from harness.guest.calls import operations_over
from harness.guest.channel import WinRmChannel
from harness.guest.transfer import FileServer, to_guest
from harness.guest.winrm import Endpoint, open_protocol
from harness.lab import WinRmTransport

__all__ = ["transfer"]

_MIB = 1 << 20
_LARGE_MIB, _STDIN_MIB = 100, 2
_APPENDED = 24 << 10
_BLOCK = 100_000  # as the channel sends: safe on guests with 150 KB envelopes
_PIECE = 2_100  # what fits into an encoded command line (facts/winrm.md 6)
_TIMES = 5


def transfer() -> list[Comparison]:
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(WinRmTransport.HTTPS_NTLM) as (server, endpoint),
        FileServer("127.0.0.1") as files,
    ):
        source, target = Path(folder) / "source", Path(folder) / "target"
        source.write_bytes(os.urandom(_LARGE_MIB * _MIB))
        channel = WinRmChannel(endpoint)
        operations = operations_over(channel)

        def ours() -> object:
            return to_guest(operations, files, source, str(target))

        def plain() -> object:
            with files.offer(source) as url:
                return download(url, target)

        ours(), plain()
        ours_s, plain_s = turns(_TIMES, ours, plain)
        per_mib = ours_s / _LARGE_MIB
        stdin_s = median_s(_TIMES, _by_stdin(endpoint, source, target)) / _STDIN_MIB
        append_s = median_s(2, _by_appending(server.url, source, target)) / (_APPENDED / _MIB)
        channel.close()
        return [
            Comparison(
                f"{_LARGE_MIB} MiB to the guest",
                ours_s,
                "plain HTTP download with hash",
                plain_s,
                at_most=1.5,
            ),
            Comparison("1 MiB to the guest", per_mib, "stdin of a command (Send)", stdin_s, at_most=1),
            Comparison(
                "1 MiB to the guest",
                per_mib,
                "run_ps that appends",
                append_s,
                at_most=1,
                note="theirs without the start of a powershell.exe",
            ),
        ]


def _by_stdin(endpoint: Endpoint, source: Path, target: Path) -> Callable[[], object]:
    data = source.read_bytes()[: _STDIN_MIB * _MIB]

    def send() -> object:
        protocol = open_protocol(endpoint, operation_s=20, read_s=30)
        shell = protocol.open_shell()
        command = protocol.run_command(shell, f"cat > '{target}'", console_mode_stdin=False)
        for start in range(0, len(data), _BLOCK):
            block = data[start : start + _BLOCK]
            protocol.send_command_input(shell, command, block, end=start + _BLOCK >= len(data))
        _, _, code = protocol.get_command_output(shell, command)
        protocol.cleanup_command(shell, command)
        protocol.close_shell(shell)
        assert (code, target.read_bytes()) == (0, data)
        return code

    return send


def _by_appending(url: str, source: Path, target: Path) -> Callable[[], object]:
    data = source.read_bytes()[:_APPENDED]

    def append() -> object:
        target.write_bytes(b"")
        session = winrm.Session(
            url, auth=(USER, PASSWORD), transport="ntlm", server_cert_validation="ignore", proxy=None
        )
        for start in range(0, len(data), _PIECE):
            piece = base64.b64encode(data[start : start + _PIECE]).decode()
            answer = session.run_ps(f"append '{target}' '{piece}'")
            assert answer.status_code == 0
        assert target.read_bytes() == data
        return data

    return append
