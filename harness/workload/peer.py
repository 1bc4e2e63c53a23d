"""The other end of iperf3: on dom0 for as long as it is needed, or a server that runs elsewhere."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.deadline import Deadline
from harness.errors import InfrastructureError, ToolMissing
from harness.host.host import Host
from harness.workload.iperf3 import parse_version

__all__ = ["Peer", "iperf3_server", "parse_bridge_address"]

_NAMED_PORT = 5201  # iperf3's own, where a named peer is expected to listen
_PORTS = range(5300, 5900)
_ATTEMPTS = 4
_LISTENS_S = 20
_INET = re.compile(r"\binet (\d+\.\d+\.\d+\.\d+)/")


@dataclass(frozen=True)
class Peer:
    """Where a guest finds the server; ``version`` is None where we cannot ask it."""

    address: str
    port: int
    version: tuple[int, int] | None


@contextmanager
def iperf3_server(host: Host) -> Iterator[Peer]:
    """A server for the length of the context, on a port of its own; it ends with its SSH channel.

    With ``iperf_peer`` in the host's section that one is used, and nothing is started.

    Raises:
        ToolMissing: dom0 has no iperf3.
        InfrastructureError: it does not start.
    """
    if host.spec.iperf_peer:
        yield Peer(host.spec.iperf_peer, _NAMED_PORT, None)
        return
    version = _version(host)
    address = _address(host)
    with contextlib.ExitStack() as stack:
        yield Peer(address, _listen(host, stack), version)


def parse_bridge_address(text: str) -> str | None:
    """The first IPv4 address in ``ip -4 -o addr show dev BRIDGE``, None when there is none."""
    found = _INET.search(text)
    return found[1] if found else None


def _version(host: Host) -> tuple[int, int]:
    result = host.shell.run(["iperf3", "--version"], repeatable=True)
    if not result.ok:
        raise ToolMissing(
            f"host {host.name}: dom0 has no iperf3 ({result.describe()})",
            mend=f"install it there, or set iperf_peer in [host {host.name}] of hosts.ini",
        )
    return parse_version(result.stdout)


def _address(host: Host) -> str:
    """dom0's address on the guests' bridge; where it has none, the one we reach it by."""
    result = host.shell.run(["ip", "-4", "-o", "addr", "show", "dev", host.spec.bridge], repeatable=True)
    found = parse_bridge_address(result.stdout) if result.ok else None
    return found or host.spec.address


def _listen(host: Host, stack: contextlib.ExitStack) -> int:
    for _ in range(_ATTEMPTS):
        port = secrets.choice(_PORTS)
        with contextlib.ExitStack() as trial:
            # without --forceflush the line that it listens would come when it ends; reports of every second
            # (-i) would fill the channel, which nobody reads any more, and stop the server
            lines = trial.enter_context(
                host.shell.stream(["iperf3", "-s", "-p", str(port), "-i", "0", "--forceflush"])
            )
            deadline = Deadline.after(_LISTENS_S * host.spec.time_factor)
            while (line := lines.next_line(deadline)) is not None:
                if "listening" in line:
                    stack.push(trial.pop_all())
                    return port
    raise InfrastructureError(
        f"host {host.name}: iperf3 -s listens on none of {_ATTEMPTS} ports it was told",
        mend="try it there: iperf3 -s -p 5301 --forceflush",
    )
