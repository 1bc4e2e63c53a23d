"""Traffic between a guest and its iperf3 peer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from harness.errors import ToolMissing
from harness.guest.guest import Guest
from harness.model import Measurement
from harness.workload.iperf3 import TcpRun, UdpRun, knows_bidir, parse_version
from harness.workload.measure import Direction, summarise
from harness.workload.peer import Peer, iperf3_server
from harness.workload.run import (
    Background,
    GuestTool,
    carry_out,
    measure,
    read_output,
    run_in_guest,
    running,
)

__all__ = ["Traffic"]

_ASK_S = 60
_MARGIN_S = 60


class Traffic:
    """A guest as iperf3's client, its peer as the server. Made by ``Traffic.between``."""

    def __init__(self, guest: Guest, tool: GuestTool, peer: Peer) -> None:
        self._guest = guest
        self._tool = tool
        self._peer = peer
        self._bidir: bool | None = None

    @classmethod
    @contextmanager
    def between(cls, guest: Guest, tool: GuestTool) -> Iterator[Traffic]:
        """With a server that lives as long as the context."""
        with iperf3_server(guest.host) as peer:
            yield cls(guest, tool, peer)

    def tcp(
        self, direction: Direction, *, streams: int, seconds: float, warm_up_s: float = 0, repeats: int = 1
    ) -> tuple[Measurement, ...]:
        """Measure TCP: ``tcp_throughput`` for each way that is measured, and what comes with it."""
        run = TcpRun(self._peer.address, self._peer.port, direction, streams, seconds, warm_up_s)
        if direction is Direction.BOTH and not self._knows_bidir():
            return summarise([self._two_runs(run) for _ in range(repeats)])
        return measure(self._guest, self._tool, run, repeats=repeats)

    def udp(
        self, direction: Direction, *, mbps: int, seconds: float, warm_up_s: float = 0, repeats: int = 1
    ) -> tuple[Measurement, ...]:
        """Measure UDP at an offered load: ``udp_throughput``, ``udp_loss``, ``udp_jitter``."""
        run = UdpRun(self._peer.address, self._peer.port, direction, mbps, seconds, warm_up_s)
        return measure(self._guest, self._tool, run, repeats=repeats)

    @contextmanager
    def load(self, *, streams: int, at_most_s: float) -> Iterator[Background]:
        """Keep the interface busy while the context lasts, both ways where one run can.

        It has a server of its own: one whose client vanished in the middle takes no other for a while.
        """
        direction = Direction.BOTH if self._knows_bidir() else Direction.OUT
        with iperf3_server(self._guest.host) as peer:
            run = TcpRun(peer.address, peer.port, direction, streams, at_most_s)
            with running(self._guest, self._tool.path, run.arguments()) as background:
                yield background

    def _knows_bidir(self) -> bool:
        if self._bidir is None:
            output = run_in_guest(self._guest, self._tool.path, ("--version",), limit_s=_ASK_S)
            ours = knows_bidir(parse_version(output.stdout))
            self._bidir = ours and (self._peer.version is None or knows_bidir(self._peer.version))
        return self._bidir

    def _two_runs(self, run: TcpRun) -> tuple[Measurement, ...]:
        """Both ways by two clients at the same time; a server takes one test at a time, so there are two."""
        if self._peer.version is None:
            raise ToolMissing(
                "iperf3 before 3.7 needs two servers to go both ways, the named peer is one",
                mend="take iperf_peer out of the host's section, or a newer iperf3",
            )
        out = replace(run, direction=Direction.OUT, other_way="busy")
        with contextlib.ExitStack() as stack:
            second = stack.enter_context(iperf3_server(self._guest.host))
            inwards = replace(run, direction=Direction.IN, other_way="busy", port=second.port)
            beside = stack.enter_context(running(self._guest, self._tool.path, inwards.arguments()))
            found = carry_out(self._guest, self._tool, out)
            output = beside.wait(inwards.duration_s + _MARGIN_S)
            return (*found, *read_output(self._guest, inwards, output))
