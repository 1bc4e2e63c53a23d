"""From pywinrm to Windows' commands: the channel, the endpoint, the real engine, the module."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pwsh_process import start_command
from pwsh_state import EMPTY, GOOD, ODD, ODD_TEXT, GuestState, expected
from pwsh_windows import Windows

from harness.errors import AnswerTimedOut, ChannelBroken, OperationFailed
from harness.guest.calls import operations_over
from harness.guest.channel import WinRmChannel
from harness.guest.winrm import Endpoint
from harness.lab import WinRmTransport
from harness.operations import GuestOperations
from harness.winrmd import (
    CommandRequest,
    Credentials,
    Fault,
    FaultKind,
    ProcessRunner,
    ServerCertificate,
    WinRmServer,
    is_agent_process,
)

USER, PASSWORD = "Administrator", "pass wörd"
_BIG = 1_000_000
_SIMPLE = (
    "system_facts",
    "boot_id",
    "security_facts",
    "driver_packages",
    "pending_reboots",
    "network_adapters",
    "disks",
    "volumes",
    "memory",
    "event_mark",
)


@pytest.fixture(scope="module", params=["server2019"])
def windows(request: pytest.FixtureRequest, make_windows: Callable[[str], Windows]) -> Windows:
    made = make_windows(request.param)
    made.put(GOOD)
    return made


@contextlib.contextmanager
def _talking(
    windows: Windows, transport: WinRmTransport, *, kept: bool = True
) -> Iterator[tuple[GuestOperations, WinRmServer, WinRmChannel]]:
    starts = start_command(windows.engine, windows.prelude)

    def rewrite(request: CommandRequest) -> list[str]:
        # the harness's own command line, with the stubs of Windows' commands before its bootstrap
        assert is_agent_process(request), request.line
        environment = [f"{name}={value}" for name, value in windows.env.items()]
        if kept:
            return ["env", *environment, *starts]
        # the engine's output reaches us only at its end: no announcement in time
        return ["env", *environment, "sh", "-c", f'out=$({shlex.join(starts)}); printf "%s\\n" "$out"']

    secure = transport.value.startswith("https")
    server = WinRmServer(
        "127.0.7.1",
        0,
        credentials=Credentials(USER, PASSWORD),
        runner=ProcessRunner(rewrite),
        certificate=ServerCertificate.make("WIN1") if secure else None,
    )
    server.start()
    try:
        endpoint = Endpoint("127.0.7.1", server.port, transport, USER, PASSWORD, server.fingerprint)
        channel = WinRmChannel(endpoint, announce_s=60 if kept else 1)
        try:
            yield operations_over(channel), server, channel
        finally:
            channel.close()
        assert (server.counters.shells, server.counters.commands) == (0, 0)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def kept_guest(windows: Windows) -> Iterator[tuple[GuestOperations, WinRmServer, WinRmChannel]]:
    with _talking(windows, WinRmTransport.HTTPS_NTLM) as parts:
        yield parts


@pytest.mark.parametrize("state", [GOOD, EMPTY, ODD], ids=["good", "empty", "odd"])
def test_the_typed_results_are_the_guest_s_state(
    windows: Windows, kept_guest: tuple[GuestOperations, WinRmServer, WinRmChannel], state: GuestState
) -> None:
    operations, _, channel = kept_guest
    windows.put(state)
    for name in _SIMPLE:
        found = getattr(operations, name)()
        if name == "system_facts":  # the engine says its own version
            found = dataclasses.replace(found, shell_version=state.system.shell_version)
        assert found == expected(state, name, {}), name
    assert operations.pnp_devices(prefix="") == state.devices
    assert operations.events_since(record=0, limit=3) == state.events[-3:]
    assert channel.keeps_process


def test_two_messages_carry_an_operation(
    windows: Windows, kept_guest: tuple[GuestOperations, WinRmServer, WinRmChannel]
) -> None:
    operations, server, _ = kept_guest
    windows.put(GOOD)
    operations.boot_id()
    before = server.counters.messages
    for _ in range(5):
        operations.boot_id()
    assert server.counters.messages - before == 10
    assert server.counters.commands == 1


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "one-each"])
@pytest.mark.parametrize("transport", [WinRmTransport.HTTPS_NTLM, WinRmTransport.HTTP_NTLM])
def test_odd_text_and_a_megabyte_come_through_either_way(
    windows: Windows, tmp_path: Path, transport: WinRmTransport, *, kept: bool
) -> None:
    windows.put(GOOD)
    file = tmp_path / "ein Ordner $x 'y'" / "größe `n.bin"
    content = base64.b64encode(ODD_TEXT.encode() + bytes(range(256))).decode()
    with _talking(windows, transport, kept=kept) as (operations, _, channel):
        facts = operations.write_file(path=str(file), content=content)
        assert facts.size == len(file.read_bytes())
        assert operations.read_file(path=str(file), offset=0, length=10_000).content == content

        big = bytes(range(256)) * (_BIG // 256)
        file.write_bytes(big)
        read = operations.read_file(path=str(file), offset=0, length=len(big))
        assert base64.b64decode(read.content) == big
        assert channel.keeps_process is kept


def test_an_operation_that_throws_is_the_guest_s_answer_and_costs_nothing_else(
    windows: Windows, kept_guest: tuple[GuestOperations, WinRmServer, WinRmChannel]
) -> None:
    operations, server, _ = kept_guest
    windows.put(GOOD)
    with pytest.raises(OperationFailed, match="not-found"):
        operations.file_facts(path="/none/such file")
    with pytest.raises(OperationFailed, match="command-failed"):
        operations.pull_file(url="http://127.0.7.1:1/x", path="/tmp/never", sha256="0" * 64)
    assert operations.boot_id().boot_id == GOOD.system.boot_id
    assert server.counters.commands == 1


def test_a_lost_connection_and_a_lost_shell_are_survived_by_the_real_process_too(
    windows: Windows, kept_guest: tuple[GuestOperations, WinRmServer, WinRmChannel]
) -> None:
    operations, server, _ = kept_guest
    windows.put(GOOD)
    server.faults.set(Fault(FaultKind.DROP_ANSWER, times=1))
    assert operations.boot_id().boot_id == GOOD.system.boot_id
    server.drop_shells()
    assert operations.boot_id().boot_id == GOOD.system.boot_id
    assert server.counters.commands == 1


def test_an_engine_that_cannot_start_is_told_apart_from_a_silent_one(windows: Windows) -> None:
    runner = ProcessRunner(lambda _: ["sh", "-c", "echo 'no engine' >&2; exit 3"])
    server = WinRmServer("127.0.7.1", 0, credentials=Credentials(USER, PASSWORD), runner=runner)
    server.start()
    try:
        endpoint = Endpoint("127.0.7.1", server.port, WinRmTransport.HTTP_BASIC, USER, PASSWORD)
        channel = WinRmChannel(endpoint)
        with pytest.raises((ChannelBroken, AnswerTimedOut), match="no engine"):
            operations_over(channel).boot_id()
        channel.close()
        assert server.shells == 0
    finally:
        server.stop()
