"""iperf3: TCP and UDP between a guest, which is the client, and a server.

Read from recorded outputs of 3.12 (``tests/fixtures/workload``); versions before 3.7 know no
``--bidir`` (its release notes), which ``knows_bidir`` tells.

Throughput is what arrived (``sum_received``), retransmits are those of all streams.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from harness.errors import GuestError, InfrastructureError, OutputNotUnderstood
from harness.lab import ToolName
from harness.model import Measurement
from harness.workload.measure import Direction
from harness.workload.reading import Fields, read_json

__all__ = ["TcpRun", "UdpRun", "knows_bidir", "parse_version"]

_MEGA = 1e6
_UDP_PAYLOAD = 1400  # below every MTU on the way: no fragments, whose loss would count many times
_BIDIR_SINCE = (3, 7)
_WHOLE = re.compile(r'\s*\{\s*"start":\s*\{')
_SUMS = '"sum_sent"'
_VERSION = re.compile(r"^iperf (?P<major>\d+)\.(?P<minor>\d+)\S*", re.MULTILINE)


def parse_version(text: str) -> tuple[int, int]:
    """Major and minor of ``iperf3 --version``.

    Raises:
        OutputNotUnderstood: no version in it.
    """
    found = _VERSION.search(text)
    if found is None:
        raise OutputNotUnderstood("iperf3 --version names no version", text=text)
    return int(found["major"]), int(found["minor"])


def knows_bidir(version: tuple[int, int]) -> bool:
    """Whether one run can go both ways at once."""
    return version >= _BIDIR_SINCE


@dataclass(frozen=True)
class TcpRun:
    """One TCP run. Seconds are rounded up to whole ones, which is all iperf3 knows.

    ``other_way`` is for measuring both ways with two runs at the same time.
    """

    peer: str
    port: int
    direction: Direction
    streams: int
    seconds: float
    warm_up_s: float = 0.0
    other_way: Literal["idle", "busy"] = "idle"

    @property
    def tool(self) -> ToolName:
        """The program."""
        return ToolName.IPERF3

    @property
    def duration_s(self) -> float:
        """How long it runs by its own account, warm-up included."""
        return math.ceil(self.seconds) + math.ceil(self.warm_up_s)

    def arguments(self) -> tuple[str, ...]:
        """Its command line."""
        ways = {Direction.OUT: (), Direction.IN: ("-R",), Direction.BOTH: ("--bidir",)}
        return (
            *_common(self.peer, self.port, self.seconds, self.warm_up_s),
            "-P",
            str(self.streams),
            *ways[self.direction],
        )

    def read(self, output: str) -> tuple[Measurement, ...]:
        """Throughput and retransmits each way, and the guest's processor time."""
        version, end = _report(output)
        if self.direction is not Direction.BOTH:
            return (
                *_tcp_way(end, "", self.direction, self, version),
                *_processor(end, self, version),
            )
        return (
            *_tcp_way(end, "", Direction.OUT, self, version),
            *_tcp_way(end, "_bidir_reverse", Direction.IN, self, version),
        )


@dataclass(frozen=True)
class UdpRun:
    """One UDP run at an offered load; ``direction`` is out or in."""

    peer: str
    port: int
    direction: Direction
    mbps: int
    seconds: float
    warm_up_s: float = 0.0

    @property
    def tool(self) -> ToolName:
        """The program."""
        return ToolName.IPERF3

    @property
    def duration_s(self) -> float:
        """How long it runs by its own account, warm-up included."""
        return math.ceil(self.seconds) + math.ceil(self.warm_up_s)

    def arguments(self) -> tuple[str, ...]:
        """Its command line."""
        way = ("-R",) if self.direction is Direction.IN else ()
        load = ("-u", "-b", f"{self.mbps}M", "-l", str(_UDP_PAYLOAD))
        return (*_common(self.peer, self.port, self.seconds, self.warm_up_s), *load, *way)

    def read(self, output: str) -> tuple[Measurement, ...]:
        """What arrived, the share that got lost in percent, and the jitter."""
        version, end = _report(output)
        # before 3.8 or so there is only `sum`, which counts what was sent beside what got lost
        arrived = "sum_received" in end
        total = end.fields("sum_received" if arrived else "sum")
        if not total.number("packets"):
            raise GuestError(f"iperf3: not one datagram was counted ({self.direction}, {self.mbps} Mbit/s)")
        lost = total.number("lost_percent")
        rate = total.number("bits_per_second") / _MEGA * (1.0 if arrived else 1 - lost / 100)
        params = {"direction": self.direction.value, "offered_mbps": self.mbps, "seconds": self.seconds}
        jitter = total.number("jitter_ms")
        return (
            Measurement("udp_throughput", rate, "Mbit/s", "higher", params, (), "iperf3", version),
            Measurement("udp_loss", lost, "%", "lower", params, (), "iperf3", version),
            Measurement("udp_jitter", jitter, "ms", "lower", params, (), "iperf3", version),
        )


def _common(peer: str, port: int, seconds: float, warm_up_s: float) -> tuple[str, ...]:
    # one report at the end instead of one a second: the output of many streams stays small
    words = ("-c", peer, "-p", str(port), "-J", "-i", "0", "-t", str(math.ceil(seconds)))
    return (*words, "-O", str(math.ceil(warm_up_s))) if warm_up_s > 0 else words


def _report(output: str) -> tuple[str, Fields]:
    """The version, and the end of the report, where the sums stand."""
    if not _WHOLE.match(output) and _SUMS in output:
        return "", _end_of_cut(output)
    report = read_json("iperf3", output)
    complaint = report.text("error")
    if "Connection refused" in complaint:
        raise InfrastructureError(
            f"iperf3: {complaint}", mend="the server ended early, or something on its way refuses the port"
        )
    if complaint:
        raise GuestError(f"iperf3: {complaint}")
    return report.fields("start").text("version").removeprefix("iperf "), report.fields("end")


def _end_of_cut(output: str) -> Fields:
    """Of a report of many streams only the last 64 KiB are left: its sums are the last in it."""
    sums = output[output.rindex(_SUMS) :].rstrip().removesuffix("}")
    return read_json("iperf3", "{" + sums)


def _tcp_way(
    end: Fields, suffix: str, direction: Direction, run: TcpRun, version: str
) -> tuple[Measurement, ...]:
    other = "busy" if run.direction is Direction.BOTH else run.other_way
    params = {
        "direction": direction.value,
        "streams": run.streams,
        "other_way": other,
        "seconds": run.seconds,
    }
    rate = end.fields(f"sum_received{suffix}").number("bits_per_second") / _MEGA
    found = [Measurement("tcp_throughput", rate, "Mbit/s", "higher", params, (), "iperf3", version)]
    sent = end.fields(f"sum_sent{suffix}")
    if "retransmits" in sent:  # only where the sender's system tells: never by Windows
        again = sent.number("retransmits")
        found.append(
            Measurement("tcp_retransmits", again, "segments", "lower", params, (), "iperf3", version)
        )
    return tuple(found)


def _processor(end: Fields, run: TcpRun, version: str) -> tuple[Measurement, ...]:
    if "cpu_utilization_percent" not in end:
        return ()
    busy = end.fields("cpu_utilization_percent").number("host_total")
    params = {"direction": run.direction.value, "streams": run.streams, "seconds": run.seconds}
    return (Measurement("tcp_client_processor", busy, "%", "lower", params, (), "iperf3", version),)
