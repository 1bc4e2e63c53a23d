"""A host whose commands answer from a table, mostly recorded outputs of Xen 4.17; and a guest on it."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.deadline import Deadline
from harness.errors import CommandFailed, ConfigurationError
from harness.guest.channel import ExchangeLog
from harness.guest.guest import Guest, Login
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.host import Host
from harness.host.sshlogin import Credentials
from harness.host.toolstack.choose import Chosen
from harness.host.toolstack.tables import parse_info, parse_list
from harness.host.toolstack.xl import XlToolstack
from harness.host.xenstore import Xenstore
from harness.lab import GuestTemplate, HostKind, HostSpec, SecretRef
from harness.model import Arch, CommandResult, GuestKind
from harness.operations import Operation

FIXTURES = Path(__file__).parents[1] / "fixtures"
SPEC = HostSpec("xen1", HostKind.SSH, "192.0.2.1", storage="/srv/pvhck", memory_mib=1024)

Answer = str | bytes | tuple[int, str, str] | Exception | Callable[[Sequence[str]], tuple[int, str, str]]


def recorded(name: str, folder: str = "xen-4.17") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a recorded command."""
    lines = (FIXTURES / folder / f"{name}.txt").read_text().splitlines(keepends=True)
    end = lines.index("--- stderr\n") if "--- stderr\n" in lines else len(lines)
    code = int(lines[1].split("=")[-1].split()[-1])
    return code, "".join(lines[2:end]), "".join(lines[end + 1 :])


NO_NODE = recorded("xenstore-read-missing")
# The guest of the recorded outputs: it waits for something, as guests mostly do.
WIN1 = parse_list(recorded("xl-list")[1])[-1]


class FakeShell:
    """``SshShell`` from a table: whole command lines, or their first words. Unknown ones end with 127."""

    def __init__(self, spec: HostSpec, answers: Mapping[str, Answer]) -> None:
        self.spec = spec
        self.answers = dict(answers)
        self.asked: list[str] = []
        self.files: dict[str, bytes] = {}

    def run(
        self, argv: Sequence[str], *, timeout_s: float = 30, stdin: str = "", repeatable: bool = False
    ) -> CommandResult:
        line = shlex.join(argv)
        self.asked.append(line)
        code, out, err = self._answer(line, argv)
        return CommandResult(tuple(argv), code, out, err, 0.0)

    def check(self, argv: Sequence[str], *, timeout_s: float = 30, repeatable: bool = False) -> str:
        result = self.run(argv)
        if not result.ok:
            raise CommandFailed(f"host {self.spec.name}: {result.describe()}")
        return result.stdout

    def put(self, source: bytes, path: str) -> None:
        answer = self.answers.get(f"put {path.rpartition('/')[0]}")
        if isinstance(answer, Exception):
            raise answer
        self.files[path] = source
        self.asked.append(f"put {path}")

    def get(self, path: str) -> bytes:
        answer = self.answers[f"get {path}"]
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, bytes)
        return answer

    def close(self) -> None:
        self.asked.append("close")

    def _answer(self, line: str, argv: Sequence[str]) -> tuple[int, str, str]:
        words = line.split(" ")
        for length in range(len(words), 0, -1):
            answer = self.answers.get(" ".join(words[:length]))
            if isinstance(answer, Exception):
                raise answer
            if callable(answer):
                return answer(argv)
            if isinstance(answer, tuple):
                return answer
            if isinstance(answer, str):
                return 0, answer, ""
        return 127, "", f"sh: 1: {argv[0]}: not found\n"


RECORDED_XL: Mapping[str, Answer] = {
    "xm info": (127, "", "sh: 1: xm: not found\n"),
    "xl info": recorded("xl-info"),
    "xl list": recorded("xl-list"),
    "xl list -l win1": recorded("xl-list-l-win1"),
    "xl dmesg": recorded("xl-dmesg-head"),
    "xl network-list win1": recorded("xl-network-list"),
    "xenstore-ls -f -p /local/domain/2": recorded("xenstore-ls-fp-guest"),
    "xenstore-ls -f -p /libxl/2": recorded("xenstore-ls-libxl"),
    "tail -c": (1, "", "tail: cannot open\n"),
    "xenstore-read": NO_NODE,
}


def no_secret(ref: SecretRef) -> str:
    raise ConfigurationError(f"secret {ref}: not set or empty")


def make_host(answers: Mapping[str, Answer], *, opened: bool = True, **changes: Any) -> Host:
    """A host over a ``FakeShell``; ``opened`` has its toolstack chosen already."""
    spec = dataclasses.replace(SPEC, **changes)
    host = Host(spec, Credentials(no_secret))
    shell: Any = FakeShell(spec, answers)
    host.shell = shell
    host.xenstore = Xenstore(shell)
    if opened:
        info = parse_info(recorded("xl-info")[1])
        host._chosen = Chosen(XlToolstack(shell, info.version), info, "the test says so")
    return host


def shell_of(host: Host) -> FakeShell:
    shell: Any = host.shell
    return shell


class FakeChannel:
    """``GuestChannel`` from a table by operation: a result, an error, or a function of the parameters."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = dict(answers)
        self.log = ExchangeLog()
        self.asked: list[str] = []

    def call(self, operation: Operation, params: dict[str, Any], deadline: Deadline) -> Any:
        self.asked.append(operation.name)
        answer = self.answers[operation.name]
        if isinstance(answer, Exception):
            raise answer
        result = answer(**params) if callable(answer) else answer
        return json.loads(json.dumps(result))  # as it comes over the wire

    def close(self) -> None:
        self.asked.append("close")

    def abandon(self) -> None:
        self.asked.append("close")


TEMPLATE = GuestTemplate("win2019", GuestKind.WINDOWS, "templates/win2019.qcow2", "Server 2019", Arch.X64)


def make_guest(host: Host, answers: Mapping[str, Any], **changes: Any) -> Guest:
    """The guest win1 of the recorded outputs, spoken to by a ``FakeChannel``."""
    domain = DomainSpec(
        "win1",
        256,
        1,
        (DiskSpec("/srv/pvhck/win1.img", "hda"),),
        (NicSpec("00:16:3e:00:00:01", "xenbr0"),),
        console_log="/srv/pvhck/runs/r1/win1.console",
    )
    guest = Guest(host, dataclasses.replace(TEMPLATE, **changes), domain, Login("tester", "geheim"))
    channel: Any = FakeChannel(answers)
    guest._channel = channel
    return guest
