"""NTttcp 5.40 for Windows as it answers on its screen, as a sender or receiver.

The form is that of a published output (``tests/fixtures/workload/README.md``); nothing here was
recorded, and the figures are made up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from harness.simlab.tools.conditions import ToolConditions, ToolRun, refusal, wobble

__all__ = ["play_ntttcp", "play_ntttcp_server"]

_MIB = 1 << 20
_PORT = 5001
_VALUES = ("-m", "-l", "-t", "-wu", "-cd", "-p", "-a")
_FLAGS = ("-s", "-r", "-ns", "-u")
_MAPPING = re.compile(r"(\d+),\*,(\S+)")


def play_ntttcp_server(arguments: Sequence[str]) -> ToolRun:
    """A receiver on the host; it runs until it is ended. The port takes a value after -p, as on Linux."""
    options = _read(arguments)
    if options is None or "-r" not in options:
        return refusal("ntttcp: parameter error\n")
    port = int(options.get("-p", str(_PORT)))
    return ToolRun(0, "NTTTCP for Linux 1.4.0\n", "", math.inf, listens=port)


def play_ntttcp(arguments: Sequence[str], conditions: ToolConditions) -> ToolRun:
    """An NTttcp in a guest. The texts of its refusals are guesses."""
    options = _read(arguments)
    if options is None:
        return refusal("ERROR: incorrect parameter\n")
    mapping = _MAPPING.fullmatch(options.get("-m", ""))
    if mapping is None or ("-s" in options) == ("-r" in options):
        return refusal("ERROR: -m and one of -s and -r are needed\n")
    if "-s" in options and int(options.get("-p", str(_PORT))) not in conditions.ports:
        return refusal("ERROR: connect failed: 10061\n")
    seconds = int(options.get("-t", "60"))
    waits = int(options.get("-wu", "0")) + int(options.get("-cd", "0"))
    threads = int(mapping[1])
    mib_per_s = (1100.0 if conditions.pv_network else 50.0) / (20 if conditions.slow_network else 1)
    if conditions.one_way and "-r" in options:
        mib_per_s = 0.0
    mib_per_s *= wobble(conditions, ["ntttcp", mapping[1]])
    return ToolRun(0, _text(mib_per_s, seconds, threads), "", float(seconds + waits))


def _read(arguments: Sequence[str]) -> dict[str, str] | None:
    words = iter(arguments)
    options: dict[str, str] = {}
    for word in words:
        if word in _FLAGS:
            options[word] = ""
        elif word in _VALUES:
            options[word] = next(words, "")
        else:
            return None
    return options


def _text(mib_per_s: float, seconds: int, threads: int) -> str:
    per_thread = mib_per_s * 1024 / threads
    rows = "".join(
        f"{number:6} {seconds:8.3f} {per_thread:16.3f} {65536:13.3f}\n" for number in range(threads)
    )
    buffers = mib_per_s * _MIB / 65536
    packets = int(mib_per_s * _MIB * seconds / 1448)
    return (
        "Copyright Version 5.40\nNetwork activity progressing...\n\n\n"
        "Thread  Time(s) Throughput(KB/s) Avg B / Compl\n"
        "======  ======= ================ =============\n"
        f"{rows}\n\n#####  Totals:  #####\n\n\n"
        "   Bytes(MEG)    realtime(s) Avg Frame Size Throughput(MB/s)\n"
        "================ =========== ============== ================\n"
        f"{mib_per_s * seconds:16.6f} {seconds:11.3f} {1448:14.3f} {mib_per_s:16.3f}\n\n\n"
        "Throughput(Buffers/s) Cycles/Byte       Buffers\n"
        "===================== =========== =============\n"
        f"{buffers:21.3f} {3.2:11.3f} {buffers * seconds:13.3f}\n\n\n"
        "DPCs(count/s) Pkts(num/DPC)   Intr(count/s) Pkts(num/intr)\n"
        "============= ============= =============== ==============\n"
        f"{5000:13.3f} {4.5:13.3f} {9000:15.3f} {2.5:14.3f}\n\n\n"
        "Packets Sent Packets Received Retransmits Errors Avg. CPU %\n"
        "============ ================ =========== ====== ==========\n"
        f"{packets:12} {packets // 2:16} {0:11} {0:6} {22.5:10.3f}\n"
    )
