"""Whatever the network and the process do to answers: the caller gets its own, or an error of our tree.

A real endpoint and the harness's process behind it; between the two a runner that spoils the process's
output as it is told, line by line.
"""

from __future__ import annotations

import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from test_guest_support import SmallGuest, ask, channel_to

from harness import wire
from harness.errors import AnswerTimedOut, ChannelError
from harness.lab import WinRmTransport
from harness.operations import FileContent, JobStarted
from harness.winrmd import (
    AgentRunner,
    Chunk,
    CommandRequest,
    Fault,
    FaultKind,
    Output,
    RunningCommand,
    Stream,
)
from harness.winrmd import login as winrm_login

HARMLESS = ["whole", "split", "late", "double", "stale", "unknown", "noise", "stderr", "ready"]
LOSING = ["lost", "half", "glued"]
CUTTING = [FaultKind.DROP, FaultKind.DROP_ANSWER, FaultKind.HTTP_400]
NOISE = (
    b"Windows PowerShell\r\nCopyright (C) 2016 Microsoft\r\n\r\n",
    "Grüße \U0001f600 PVH \r\n".encode(),
    b"\xff\xfe\x00\x80\r\n",
    b"WARNING: something\n",
    b'{"id": 1, "ok": true, "result": null}\r\n',
    b" PVH {}\r\n\r\n",
)
PROGRESS = b'#< CLIXML\r\n<Objs><Obj S="progress">\xc3\xa4</Obj></Objs>\r\n'


class Guest(SmallGuest):
    """Each answer tells which question it is the answer to."""

    def read_file(self, *, path: str, offset: int, length: int) -> FileContent:
        self.asked.append(path)
        return FileContent(path, length, f"\U0001f600 {path}")

    def install_package(self, *, inf: str) -> JobStarted:
        self.asked.append(inf)
        return JobStarted(f"job of {inf}")


class Spoilt:
    """A running process whose output comes as ``spoil`` makes it of each whole line."""

    def __init__(self, inner: RunningCommand, spoil: Callable[[bytes], list[Chunk | None]]) -> None:
        self._inner = inner
        self._spoil = spoil
        self._unread = b""
        self._waiting: deque[Chunk | None] = deque()

    def write_stdin(self, data: bytes) -> None:
        self._inner.write_stdin(data)

    def close_stdin(self) -> None:
        self._inner.close_stdin()

    def terminate(self) -> None:
        self._inner.terminate()

    @property
    def exit_code(self) -> int | None:
        return self._inner.exit_code

    def read_output(self, timeout_s: float, limit: int) -> Output:
        """One piece per Receive; None is a Receive in which nothing comes."""
        if not self._waiting:
            found = self._inner.read_output(min(timeout_s, 0.1), limit)
            if not found.chunks:
                return found
            *lines, self._unread = (self._unread + b"".join(chunk.data for chunk in found.chunks)).split(
                b"\n"
            )
            for line in lines:
                self._waiting += self._spoil(line + b"\n")
        piece = self._waiting.popleft() if self._waiting else None
        return Output((piece,) if piece is not None and piece.data else (), None)


class SpoilingRunner(AgentRunner):
    """Processes whose lines are spoilt by ``plan``, one act per line; afterwards lines stay whole."""

    def __init__(self, guest: object, seed: int) -> None:
        super().__init__(guest, shell_version="5.1")
        self.plan: list[str] = []
        self._dice = random.Random(seed)  # hypothesis draws in its own thread only
        self._old: list[bytes] = []

    def start(self, request: CommandRequest) -> RunningCommand:
        return Spoilt(super().start(request), self._spoil)

    def _spoil(self, line: bytes) -> list[Chunk | None]:
        act = self.plan.pop(0) if self.plan else "whole"
        if act == "ready":
            before = [wire.encode_ready(wire.Ready("5.1", "0" * 64)).encode() + b"\r\n"]
        elif act == "unknown":
            before = [wire.encode_answer(wire.Answer(10**6, "another's")).encode() + b"\r\n"]
        elif act == "stale":
            before = self._old[-3:]
        elif act == "noise":
            before = [self._dice.choice(NOISE)]
        elif act == "glued":
            before = [b"Progress 10%"]
        else:
            before = []
        whole = {"lost": b"", "half": line[: len(line) // 2] + b"\r\n", "double": line + line}.get(act, line)
        pieces: list[Chunk | None] = [
            Chunk(Stream.STDOUT, piece) for piece in self._cut(b"".join(before) + whole, act)
        ]
        self._old.append(line)
        if act == "late":
            return [None, None, *pieces]
        if act == "stderr":
            at = len(PROGRESS) - 20  # in the middle of a character
            errors = [Chunk(Stream.STDERR, PROGRESS[:at]), Chunk(Stream.STDERR, PROGRESS[at:])]
            return [*pieces[:1], errors[0], *pieces[1:], errors[1]]
        return pieces

    def _cut(self, data: bytes, act: str) -> list[bytes]:
        if act in {"whole", "late", "double", "lost"} or not data:
            return [data]
        places = sorted(self._dice.randint(0, len(data)) for _ in range(self._dice.randint(1, 4)))
        return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@contextlib.contextmanager
def spoiling(seed: int) -> Iterator[tuple[Any, Any, SpoilingRunner, Guest]]:
    guest = Guest()
    runner = SpoilingRunner(guest, seed)
    with channel_to(guest, runner=runner) as (channel, server, _):
        yield channel, server, runner, guest


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.guest.channel._RECEIVE_S", 1)
        yield


SEEDS = st.integers(0, 2**32)
quick = settings(
    max_examples=25,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # to shrink would take minutes: servers run
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@quick
@given(st.lists(st.sampled_from(HARMLESS), min_size=1, max_size=8), SEEDS)
def test_answers_split_late_doubled_and_among_others_are_each_the_caller_s_own(
    plan: list[str], seed: int
) -> None:
    with spoiling(seed) as (channel, server, runner, guest):
        # the first line is the announcement: there is one, of the right module
        runner.plan = [act if act not in {"double", "ready"} else "whole" for act in plan[:1]] + plan[1:]
        for number in range(len(plan) + 1):
            path = f"{number}.txt"
            assert ask(channel, "read_file", path=path, offset=0, length=number)["path"] == path
            assert ask(channel, "install_package", inf=f"{number}.inf") == {"job": f"job of {number}.inf"}
        assert channel.keeps_process
        assert server.counters.commands == 1
    asked = [one for one in guest.asked if one != "boot_id"]  # with which it looks whether the process lives
    assert len(asked) == len(set(asked)), "none was asked twice"


@settings(quick, max_examples=10)
@given(st.lists(st.sampled_from([*HARMLESS, *LOSING]), min_size=1, max_size=5), SEEDS)
@example(["half"], 0)
def test_a_lost_answer_is_asked_for_once_more_and_said_so_or_is_an_error(plan: list[str], seed: int) -> None:
    log = logging.getLogger("harness.guest.channel")
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        with spoiling(seed) as (channel, _, runner, guest):
            ask(channel, "boot_id")
            runner.plan = list(plan)
            for number in range(3):
                _one(channel, guest, said, f"{number}.txt", f"{number}.inf")
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _one(channel: Any, guest: Guest, said: list[str], path: str, inf: str) -> None:
    with contextlib.suppress(ChannelError):
        assert ask(channel, "read_file", path=path, offset=0, length=1)["path"] == path
    again = guest.asked.count(path)
    assert 1 <= again <= 2
    before = len([line for line in said if "asking read_file again" in line])
    assert before >= again - 1
    with contextlib.suppress(ChannelError):
        assert ask(channel, "install_package", inf=inf) == {"job": f"job of {inf}"}
        assert guest.asked.count(inf) == 1
    assert guest.asked.count(inf) <= 1, "what starts something is never asked for twice"


@quick
@given(
    st.lists(st.sampled_from(HARMLESS), max_size=4),
    st.sampled_from(CUTTING),
    st.integers(1, 4),
    SEEDS,
)
def test_a_connection_cut_between_request_and_answer_gives_no_other_answer(
    plan: list[str], kind: FaultKind, first: int, seed: int
) -> None:
    with spoiling(seed) as (channel, server, runner, guest):
        ask(channel, "boot_id")
        runner.plan = list(plan)
        server.faults.set(Fault(kind, first=first, times=1))
        for number in range(3):
            _one(channel, guest, ["asking read_file again"] * 9, f"{number}.txt", f"{number}.inf")
        server.faults.clear()
        assert ask(channel, "read_file", path="last", offset=0, length=1)["path"] == "last"


@settings(quick, max_examples=6)
@given(SEEDS)
def test_an_answer_that_comes_after_its_time_is_nobody_s(seed: int) -> None:
    with spoiling(seed) as (channel, _, runner, guest):
        ask(channel, "boot_id")
        guest.may_go_on.clear()
        runner.plan = ["stale", "stale", "stale"]
        with pytest.raises(AnswerTimedOut):
            ask(channel, "memory", seconds=0.2)
        guest.may_go_on.set()
        for number in range(3):
            path = f"{number}.txt"
            assert ask(channel, "read_file", path=path, offset=0, length=1)["path"] == path


@settings(quick, max_examples=12)
@given(st.sampled_from([*NOISE, PROGRESS]), st.integers(1, 40))
def test_a_banner_before_the_announcement_costs_nothing(banner: bytes, step: int) -> None:
    guest = Guest()

    class Greeting(AgentRunner):
        def start(self, request: CommandRequest) -> RunningCommand:
            def greet(line: bytes) -> list[Chunk | None]:
                whole = banner + line if not greeted else line
                greeted.append(line)
                cut = range(0, len(whole), step if len(whole) < 400 else len(whole))
                return [Chunk(Stream.STDOUT, whole[at : at + cut.step]) for at in cut]

            greeted: list[bytes] = []
            return Spoilt(super().start(request), greet)

    with channel_to(guest, runner=Greeting(guest, shell_version="5.1")) as (channel, _, warnings):
        assert ask(channel, "read_file", path="x", offset=0, length=1)["path"] == "x"
        assert (channel.keeps_process, warnings) == (True, [])


# -- envelopes damaged on their way


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    kind = draw(st.sampled_from(["cut", "drop", "flip", "insert", "empty", "swap"]))
    part = draw(st.floats(0, 0.999))
    odd = draw(
        st.sampled_from([b"x", b"<", b">", b"&", b"\xff", b"\0", b"</s:Body>", b"\xc3\xa4", b"Length=x"])
    )
    name, instead = draw(
        st.sampled_from(
            [
                (b"RelatesTo>", b"RelatesFrom>"),
                (b"uuid:", b"uuid:0"),
                (b"State/Running", b"State/Done"),
                (b'Name="stdout"', b'Nam="stdout"'),
                (b"CommandId>", b"Command>"),
                (b"ShellId", b"ShellI"),
                (b"octet-stream", b"octet"),
                (b"Length=", b"Length=9"),
            ]
        )
    )

    def damage(data: bytes) -> bytes:
        at = int(len(data) * part)
        return {
            "cut": data[:at],
            "drop": data[:at] + data[at + 7 :],
            "flip": data[:at] + bytes([data[at] ^ 0x15]) + data[at + 1 :] if data else data,
            "insert": data[:at] + odd + data[at:],
            "empty": b"",
            "swap": data.replace(name, instead),
        }[kind]

    return damage


@settings(quick, max_examples=40)
@given(damages(), st.integers(1, 6))
def test_a_damaged_envelope_is_an_answer_or_an_error_of_ours(
    damage: Callable[[bytes], bytes], which: int
) -> None:
    guest = Guest()
    with channel_to(guest) as (channel, server, _):
        plain = server._service.answer
        seen = []

        def answer(envelope: bytes, caller: Any) -> tuple[int, bytes]:
            status, body = plain(envelope, caller)
            seen.append(1)
            return status, damage(body) if len(seen) == which else body

        server._service.answer = answer
        for _ in range(2):
            with contextlib.suppress(ChannelError):
                ask(channel, "read_file", path="x", offset=0, length=1, seconds=5)
        assert ask(channel, "read_file", path="y", offset=0, length=1)["path"] == "y"


@settings(quick, max_examples=20)
@given(damages(), st.integers(1, 5))
def test_a_damaged_sealed_message_is_an_error_of_ours_and_never_an_answer(
    damage: Callable[[bytes], bytes], which: int
) -> None:
    guest = Guest()
    seen = []
    plain = winrm_login.render_sealed

    def render(message: Any, protocol: str) -> bytes:
        body = plain(message, protocol)
        seen.append(1)
        return damage(body) if len(seen) == which else body

    with (
        pytest.MonkeyPatch.context() as patch,
        channel_to(guest, WinRmTransport.HTTP_NTLM) as (channel, _, _),
    ):
        patch.setattr(winrm_login, "render_sealed", render)
        for path in "xy":
            with contextlib.suppress(ChannelError):
                assert ask(channel, "read_file", path=path, offset=0, length=1, seconds=5)["path"] == path
        assert ask(channel, "read_file", path="z", offset=0, length=1)["path"] == "z"
