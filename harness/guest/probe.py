"""`pvhck guest probe`: every reading operation on a running Windows, written down with what lies behind it.

The transcript is JSON; beside each answer stand the raw objects of each Windows command as
CLIXML. ``tests/pwsh`` loads it as stub data without editing: a recording of a real Windows
becomes a test. Nothing is changed in the guest.
"""

from __future__ import annotations

import base64
import gzip
import json
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import harness
from harness import wire
from harness.deadline import Deadline
from harness.errors import ChannelBroken, ChannelError, ConfigurationError, OperationFailed
from harness.guest import agent
from harness.guest.channel import GuestChannel, WinRmChannel
from harness.guest.guest import Guest, Login
from harness.guest.redaction import Hidden, hidden_names
from harness.guest.winrm import Endpoint, default_port, peer_fingerprint
from harness.host.domain import DomainSpec, NicSpec
from harness.host.host import Host
from harness.lab import GuestTemplate, WinRmTransport
from harness.operations import OPERATIONS, Effect, Operation

__all__ = [
    "QUESTIONS",
    "Asked",
    "Question",
    "RawAnswer",
    "Transcript",
    "address_channel",
    "domain_channel",
    "probe",
]

SCHEMA = 1
_LIMIT_S = 180.0
_EVENTS = 200
# As many silent operations in a row, and the guest is given up.
_PATIENCE = 2

_PROBE = Operation(
    "probe", "Invoke-PvProbe", Effect.READS, MappingProxyType({"operation": str, "request": str}), dict
)


@dataclass(frozen=True)
class Question:
    """An operation with the parameters it is asked with."""

    op: str
    params: Mapping[str, Any] = field(default_factory=dict)


# A node that every guest has, a file that every Windows has, and things that are not there.
QUESTIONS: tuple[Question, ...] = (
    Question("system_facts"),
    Question("boot_id"),
    Question("security_facts"),
    Question("memory"),
    Question("pnp_devices", {"prefix": ""}),
    Question("pnp_devices", {"prefix": "PCI\\VEN_5853"}),
    Question("pnp_devices", {"prefix": "XENBUS\\"}),
    Question(
        "services",
        {
            "names": [
                "xen", "xenbus", "xenbus_monitor", "xencons", "xenfilt", "xeniface", "xenagent",
                "xenvif", "xennet", "xenvbd", "xencrsh", "xendisk", "WinRM", "disk", "pvhck-missing",
            ]
        },
    ),
    Question("driver_packages"),
    Question("certificates", {"store": "Root"}),
    Question("certificates", {"store": "TrustedPublisher"}),
    Question("pending_reboots"),
    Question("network_adapters"),
    Question("disks"),
    Question("volumes"),
    Question("event_mark"),
    Question("events_since", {"record": 0, "limit": _EVENTS}),
    Question("stop_events", {"record": 0}),
    Question("dump_files"),
    Question("file_facts", {"path": r"C:\Windows\System32\drivers\disk.sys"}),
    Question("file_facts", {"path": r"C:\pvhck\missing"}),
    Question("read_file", {"path": r"C:\Windows\System32\drivers\disk.sys", "offset": 0, "length": 64}),
    Question("cd_files", {"label": "PVHCK"}),
    Question("xenstore_read", {"path": "name"}),
    Question("xenstore_read", {"path": "data"}),
    Question("xenstore_read", {"path": "data/pvhck-missing"}),
    Question("xenstore_watch", {"path": "data/pvhck-missing", "seconds": 1}),
    Question("job_status", {"job": "pvhck-missing"}),
    # xvdg: what a run attaches; in a guest without it the answer is that it is not there
    Question("read_pattern", {"target": 6, "blocks": 1, "block_size": 512}),
)  # fmt: skip


@dataclass(frozen=True)
class RawAnswer:
    """What one Windows command gave, as CLIXML; or its error: id, category, hresult, message."""

    command: str
    parameters: Mapping[str, str]
    objects: str
    error: Mapping[str, str] | None


@dataclass(frozen=True)
class Asked:
    """An operation's answer: ``result`` when ``ok``, else ``error`` with kind and detail."""

    op: str
    params: Mapping[str, Any]
    ok: bool
    result: Any
    error: Mapping[str, str] | None
    duration_s: float
    raw: tuple[RawAnswer, ...]


@dataclass(frozen=True)
class Transcript:
    """All that was asked; ``redacted`` says what was taken out."""

    taken: str
    harness_version: str
    module: str  # SHA-256 of the guest module's text
    redacted: tuple[str, ...]
    operations: tuple[Asked, ...]
    schema: int = SCHEMA

    def write(self, path: Path) -> None:
        """As JSON, ASCII only.

        Raises:
            ConfigurationError: the file cannot be written.
        """
        try:
            path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="ascii")
        except OSError as error:
            raise ConfigurationError(f"cannot write {path}: {error.strerror or error}") from error


def probe(
    channel: GuestChannel,
    *,
    user: str,
    redact: Callable[[str], str],
    report: Callable[[str], None],
    time_factor: float = 1.0,
) -> Transcript:
    """Ask everything over a channel that carries ``agent.probe_text()``.

    Raises:
        ChannelError: the guest fell silent before it answered anything.
    """
    asked: list[Asked] = []
    silent = 0
    for question in QUESTIONS:
        if silent >= _PATIENCE:
            asked.append(_unanswered(question, "not asked: the guest fell silent", 0.0))
            continue
        report(f"asking {question.op}")
        started = time.monotonic()
        try:
            answer = _ask(channel, question, Deadline.after(_LIMIT_S * time_factor), started)
        except (ChannelError, OperationFailed) as error:
            silent += 1
            if not any(one.ok for one in asked) and silent >= _PATIENCE:
                raise
            answer = _unanswered(question, str(error), time.monotonic() - started)
        else:
            silent = 0
        asked.append(answer)
    return _redacted(asked, user, redact)


def address_channel(
    address: str,
    login: Login,
    *,
    transport: WinRmTransport = WinRmTransport.HTTPS_NTLM,
    fingerprint: str = "",
    legacy_tls: bool = False,
) -> WinRmChannel:
    """A channel for ``probe`` to a Windows that needs no host: for ``--address``.

    Without ``fingerprint`` the certificate that is seen first is believed.
    """
    port = default_port(transport)
    if transport in {WinRmTransport.HTTPS_NTLM, WinRmTransport.HTTPS_BASIC} and not fingerprint:
        fingerprint = peer_fingerprint(address, port, legacy_tls=legacy_tls)
    endpoint = Endpoint(
        address=address,
        port=port,
        transport=transport,
        user=login.user,
        password=login.password,
        fingerprint=fingerprint,
        legacy_tls=legacy_tls,
    )
    return WinRmChannel(endpoint, module=agent.probe_text())


def domain_channel(
    host: Host, domain: str, template: GuestTemplate, login: Login
) -> tuple[Guest, WinRmChannel]:
    """A channel for ``probe`` to a running domain, by the template whose section describes it.

    The guest holds the tunnel, if there is one: ``disconnect`` it afterwards.

    Raises:
        ConfigurationError: the host has no such domain, or the domain no network interface.
    """
    if host.toolstack.find(domain) is None:
        there = ", ".join(one.name for one in host.toolstack.domains() if one.domid != 0) or "none"
        raise ConfigurationError(
            f"host {host.name}: there is no domain {domain}", mend=f"running there: {there}"
        )
    nics = host.toolstack.nics(domain)
    if not nics:
        raise ConfigurationError(f"host {host.name}: {domain} has no network interface: is it running?")
    nic = NicSpec(nics[0].mac, host.spec.bridge)
    spec = DomainSpec(domain, template.memory_mib, template.vcpus, (), (nic,))
    guest = Guest(host, template, spec, login)
    return guest, WinRmChannel(guest.channel().endpoint, module=agent.probe_text())


def _ask(channel: GuestChannel, question: Question, deadline: Deadline, started: float) -> Asked:
    params = dict(question.params)
    try:
        answer = channel.call(_PROBE, {"operation": question.op, "request": json.dumps(params)}, deadline)
    except OperationFailed as error:
        if error.kind != "bad-request":
            raise
        # no PowerShell there: a stand-in or simulated guest has answers and nothing behind them
        answer = _ask_plainly(channel, question, deadline)
    try:
        return Asked(
            op=question.op,
            params=params,
            ok=answer["ok"],
            result=answer["result"],
            error=answer["error"],
            duration_s=round(time.monotonic() - started, 3),
            raw=tuple(
                RawAnswer(one["command"], one["parameters"], _unpacked(one["packed"]), one["error"])
                for one in answer["raw"]
            ),
        )
    except (KeyError, TypeError, ValueError, OSError, EOFError, zlib.error) as error:
        raise ChannelBroken(f"the probe's answer to {question.op} is malformed: {error!r}") from error


def _ask_plainly(channel: GuestChannel, question: Question, deadline: Deadline) -> dict[str, Any]:
    try:
        result = channel.call(OPERATIONS[question.op], dict(question.params), deadline)
    except OperationFailed as error:
        return {"ok": False, "result": None, "error": {"kind": error.kind, "detail": error.detail}, "raw": []}
    return {"ok": True, "result": result, "error": None, "raw": []}


def _unpacked(packed: str) -> str:
    return gzip.decompress(base64.b64decode(packed, validate=True)).decode("utf-8")


def _unanswered(question: Question, why: str, seconds: float) -> Asked:
    error = {"kind": "unanswered", "detail": why}
    return Asked(question.op, dict(question.params), ok=False, result=None, error=error,
                 duration_s=round(seconds, 3), raw=())  # fmt: skip


def _redacted(asked: list[Asked], user: str, redact: Callable[[str], str]) -> Transcript:
    facts = next((one.result for one in asked if one.op == "system_facts" and one.ok), None)
    computer = str(facts.get("computer_name", "")) if isinstance(facts, dict) else ""
    texts = [raw.objects for one in asked for raw in one.raw]
    hidden = Hidden(hidden_names(computer, user, texts), redact)
    return Transcript(
        taken=datetime.now(UTC).isoformat(timespec="seconds"),
        harness_version=harness.__version__,
        module=wire.module_digest(agent.module_text()),
        redacted=hidden.kinds,
        operations=tuple(hidden.clean(one) for one in asked),
    )
