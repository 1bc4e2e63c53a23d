"""iperf3 3.12 as it answers: client and server, JSON and the few lines of text that matter.

Forms recorded in ``tests/fixtures/workload/iperf3-3.12-*``; the figures are made up.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.simlab.tools.conditions import ToolConditions, ToolRun, refusal, wobble
from harness.simlab.tools.options import BadOption, Options, read_options

__all__ = ["play_client", "play_server"]

_FLAGS = {
    "server": "s",
    "json": "J",
    "reverse": "R",
    "udp": "u",
    "one-off": "1",
    "version": "v",
    "bidir": "",
    "forceflush": "",
}
_VALUES = {
    "client": "c",
    "port": "p",
    "interval": "i",
    "time": "t",
    "parallel": "P",
    "bitrate": "b",
    "omit": "O",
    "length": "l",
}
_USAGE = "Usage: iperf3 [-s|-c host] [options]\n       iperf3 [-h|--help] [-v|--version]\n"
_VERSION = "iperf 3.12 (cJSON 1.7.15)\nsimulated\nOptional features available: none\n"
_PORT = 5201
_UDP_BLOCK = 1460
_TCP_BLOCK = 131072

# Mbit/s that one stream carries, and how much several together; guess: only the order is meant.
_PV_OUT, _PV_IN, _EMULATED = 9200.0, 7100.0, 420.0
_MANY = 1.35
_SLOW = 1 / 20


@dataclass(frozen=True)
class _Way:
    """One direction of a run: what it carried in total."""

    outwards: bool
    bits_per_second: float
    retransmits: int


def play_server(arguments: Sequence[str]) -> ToolRun:
    """An iperf3 on the host: a server, or its version."""
    try:
        options, _ = read_options(arguments, _FLAGS, _VALUES)
    except BadOption as error:
        return refusal(f"iperf3: {error.text}\n{_USAGE}")
    if "version" in options:
        return ToolRun(0, _VERSION, "", 0.0)
    if "server" not in options:
        return refusal(f"iperf3: parameter error - must either be a client (-c) or server (-s)\n{_USAGE}")
    port = _number(options, "port", _PORT)
    line = "-" * 59
    text = f"{line}\nServer listening on {port} (test #1)\n{line}\n"
    return ToolRun(0, text, "", math.inf, listens=port)


def play_client(arguments: Sequence[str], conditions: ToolConditions) -> ToolRun:
    """An iperf3 in a guest: a client of a server on its host."""
    try:
        options, _ = read_options(arguments, _FLAGS, _VALUES)
    except BadOption as error:
        return refusal(f"iperf3: {error.text}\n{_USAGE}")
    if "version" in options:
        return ToolRun(0, _VERSION, "", 0.0)
    if "client" not in options:
        return refusal(f"iperf3: parameter error - must either be a client (-c) or server (-s)\n{_USAGE}")
    port = _number(options, "port", _PORT)
    if port not in conditions.ports:
        return _refused(options)
    seconds = _number(options, "time", 10)
    omitted = _number(options, "omit", 0)
    report = _udp(options, conditions) if "udp" in options else _tcp(options, conditions)
    text = json.dumps(report, indent="\t", separators=(",", ":\t")) + "\n"
    # guess: nobody here reads the text form, a line stands for it
    return ToolRun(0, text if "json" in options else "iperf Done.\n", "", float(seconds + omitted))


def _refused(options: Options) -> ToolRun:
    reason = "unable to connect to server: Connection refused"
    if "json" not in options:
        return refusal(f"iperf3: error - {reason}\n")
    # with -J, 3.12 exits 0 and has no word on stderr: recorded iperf3-3.12-refused.json
    start = {"connected": [], "version": "iperf 3.12", "system_info": "simulated"}
    report = {"start": start, "intervals": [], "end": {}, "error": reason}
    return ToolRun(0, json.dumps(report, indent="\t", separators=(",", ":\t")) + "\n", "", 0.0)


def _tcp(options: Options, conditions: ToolConditions) -> dict[str, Any]:
    both = "bidir" in options
    directions = (True, False) if both else ("reverse" not in options,)
    ways = [_way(options, conditions, outwards, share=0.6 if both else 1.0) for outwards in directions]
    seconds = float(_number(options, "time", 10))
    streams = _number(options, "parallel", 1)
    end: dict[str, Any] = {"streams": []}
    interval: dict[str, Any] = {"streams": []}
    for number, way in enumerate(ways):
        suffix = "_bidir_reverse" if number else ""
        for stream in range(streams):
            socket = 5 + 2 * (number * streams + stream)
            end["streams"].append(_tcp_stream(way, socket, seconds, streams, first=stream == 0))
            interval["streams"].append(_tcp_interval(way, seconds, streams, socket=socket))
        interval["sum" if not number else "sum_bidir_reverse"] = _tcp_interval(way, seconds, 1)
        end[f"sum_sent{suffix}"] = _tcp_sum(way, seconds, with_retransmits=True)
        end[f"sum_received{suffix}"] = _tcp_sum(way, seconds, with_retransmits=False)
    end["cpu_utilization_percent"] = _processor(options, conditions)
    end["sender_tcp_congestion"] = "cubic"
    end["receiver_tcp_congestion"] = "cubic"
    sockets = {"sock_bufsize": 0, "sndbuf_actual": 65536, "rcvbuf_actual": 65536}
    start = _start(options, "TCP", _TCP_BLOCK, len(ways) * streams, 0)
    start = {**start, "tcp_mss_default": 1460, "target_bitrate": 0, **sockets}
    return {"start": start, "intervals": [interval], "end": end}


def _way(options: Options, conditions: ToolConditions, outwards: bool, share: float) -> _Way:  # noqa: FBT001  # private, and a direction
    streams = _number(options, "parallel", 1)
    rate = (_PV_OUT if outwards else _PV_IN) if conditions.pv_network else _EMULATED
    rate *= share * (_MANY if streams > 1 else 1.0) * (_SLOW if conditions.slow_network else 1.0)
    if conditions.one_way and not outwards:
        rate = 0.0
    word = "out" if outwards else "in"
    rate *= wobble(conditions, ["iperf3", word, str(streams), str(share)])
    return _Way(outwards, rate * 1e6, retransmits=streams if conditions.slow_network else 0)


def _tcp_stream(way: _Way, socket: int, seconds: float, streams: int, *, first: bool) -> dict[str, Any]:
    sent = {
        "socket": socket,
        **_span(seconds, way.bits_per_second / streams),
        "retransmits": way.retransmits if first else 0,
        "max_snd_cwnd": 1048576 if way.outwards else 0,
        "max_snd_wnd": 4194304 if way.outwards else 0,
        "max_rtt": 400 if way.outwards else 0,
        "min_rtt": 200 if way.outwards else 0,
        "mean_rtt": 300 if way.outwards else 0,
        "sender": way.outwards,
    }
    received = {"socket": socket, **_span(seconds, way.bits_per_second / streams), "sender": way.outwards}
    return {"sender": sent, "receiver": received}


def _tcp_interval(way: _Way, seconds: float, streams: int, socket: int | None = None) -> dict[str, Any]:
    where = {} if socket is None else {"socket": socket}
    window = {"snd_cwnd": 1048576, "snd_wnd": 4194304, "rtt": 300, "rttvar": 50, "pmtu": 1500}
    sending: dict[str, Any] = {"retransmits": way.retransmits} if way.outwards else {}
    if way.outwards and socket is not None:
        sending |= window
    span = _span(seconds, way.bits_per_second / streams)
    return {**where, **span, **sending, "omitted": False, "sender": way.outwards}


def _tcp_sum(way: _Way, seconds: float, *, with_retransmits: bool) -> dict[str, Any]:
    extra = {"retransmits": way.retransmits} if with_retransmits else {}
    return {**_span(seconds, way.bits_per_second), **extra, "sender": way.outwards}


def _udp(options: Options, conditions: ToolConditions) -> dict[str, Any]:
    outwards = "reverse" not in options
    streams = _number(options, "parallel", 1)
    seconds = float(_number(options, "time", 10))
    offered = _bits(options.get("bitrate", "1M")) * streams
    block = _number(options, "length", _UDP_BLOCK) or _UDP_BLOCK
    packets = max(1, round(offered * seconds / 8 / block))
    limit = (_PV_OUT if conditions.pv_network else _EMULATED) * 1e6
    passed = min(1.0, limit / offered) * (_SLOW if conditions.slow_network else 1.0)
    if conditions.one_way and not outwards:
        passed = 0.0
    # guess: a receiver knows of lost datagrams by those that do arrive; where none does it counts none
    seen = packets if passed else 0
    lost = round(seen * (1 - passed))
    jitter = 0.02 * wobble(conditions, ["iperf3", "jitter"])

    def figures(share: float, *, arrived: bool, sender: bool) -> dict[str, Any]:
        rate = offered * share * (passed if arrived else 1.0)
        return {
            **_span(seconds, rate),
            "jitter_ms": jitter if arrived else 0,
            "lost_packets": round(lost * share) if arrived else 0,
            "packets": round((seen if arrived else packets) * share),
            "lost_percent": 100 * lost / seen if arrived and seen else 0,
            "sender": sender,
        }

    share = 1 / streams
    per_stream = [
        {"udp": {"socket": 5 + 2 * number, **_with_order(figures(share, arrived=True, sender=outwards))}}
        for number in range(streams)
    ]
    interval_streams = [
        {"socket": 5 + 2 * number, **_udp_interval(figures(share, arrived=not outwards, sender=outwards))}
        for number in range(streams)
    ]
    interval_sum = _udp_interval(figures(1, arrived=not outwards, sender=outwards))
    end = {
        "streams": per_stream,
        "sum": figures(1, arrived=True, sender=outwards),
        "sum_sent": figures(1, arrived=False, sender=True),
        "sum_received": figures(1, arrived=True, sender=False),
        "cpu_utilization_percent": _processor(options, conditions),
    }
    start = _start(options, "UDP", block, streams, round(offered / streams))
    start["target_bitrate"] = round(offered / streams)
    intervals = [{"streams": interval_streams, "sum": interval_sum}]
    return {
        "start": start | {"sock_bufsize": 0, "sndbuf_actual": 65536, "rcvbuf_actual": 65536},
        "intervals": intervals,
        "end": end,
    }


def _with_order(figures: dict[str, Any]) -> dict[str, Any]:
    sender = figures.pop("sender")
    return {**figures, "out_of_order": 0, "sender": sender}


def _udp_interval(figures: dict[str, Any]) -> dict[str, Any]:
    """An interval of a sender counts packets only: it cannot know what arrives."""
    if figures["sender"]:
        for name in ("jitter_ms", "lost_packets", "lost_percent"):
            figures.pop(name)
    sender = figures.pop("sender")
    return {**figures, "omitted": False, "sender": sender}


def _start(options: Options, protocol: str, block: int, connections: int, bitrate: int) -> dict[str, Any]:
    now = time.time()
    port = _number(options, "port", _PORT)
    connected = [
        {
            "socket": 5 + 2 * number,
            "local_host": "192.0.2.2",
            "local_port": 50000 + number,
            "remote_host": options["client"],
            "remote_port": port,
        }
        for number in range(connections)
    ]
    test = {
        "protocol": protocol,
        "num_streams": _number(options, "parallel", 1),
        "blksize": block,
        "omit": _number(options, "omit", 0),
        "duration": _number(options, "time", 10),
        "bytes": 0,
        "blocks": 0,
        "reverse": int("reverse" in options),
        "tos": 0,
        "target_bitrate": bitrate,
    }
    return {
        "connected": connected,
        "version": "iperf 3.12",
        "system_info": "simulated",
        "timestamp": {
            "time": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now)),
            "timesecs": int(now),
        },
        "connecting_to": {"host": options["client"], "port": port},
        "cookie": "simulated",
        "test_start": test,
    }


def _processor(options: Options, conditions: ToolConditions) -> dict[str, float]:
    busy = 35 * wobble(conditions, ["iperf3", "cpu", options.get("parallel", "1")])
    return {
        "host_total": busy,
        "host_user": busy * 0.1,
        "host_system": busy * 0.9,
        "remote_total": busy * 1.2,
        "remote_user": busy * 0.1,
        "remote_system": busy * 1.1,
    }


def _span(seconds: float, bits_per_second: float) -> dict[str, Any]:
    return {
        "start": 0,
        "end": seconds,
        "seconds": seconds,
        "bytes": round(bits_per_second * seconds / 8),
        "bits_per_second": bits_per_second,
    }


def _number(options: Options, name: str, default: int) -> int:
    """As atoi reads it: what is no number counts as 0."""
    text = options.get(name, "")
    if not text:
        return default
    return int(text) if text.isdecimal() else 0


def _bits(text: str) -> float:
    units = {"K": 1e3, "M": 1e6, "G": 1e9}
    unit = units.get(text[-1:].upper())
    digits = text[:-1] if unit else text
    return float(digits) * (unit or 1.0) if digits.replace(".", "", 1).isdecimal() else 1e6
