"""NTttcp from a guest to a receiver: the Windows program and the one for Linux, text or XML.

Forms: published outputs of 5.33 and 5.40 (Windows) and 1.4.0 (Linux), see
``tests/fixtures/workload/README.md``; nothing here was recorded by us yet. Its MB are MiB: in the
XML of 5.33 the mbps beside them are 8.389 times as much.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from harness.errors import OutputNotUnderstood
from harness.lab import ToolName
from harness.model import Measurement
from harness.workload.reading import to_number
from harness.workload.xmltext import read_xml

__all__ = ["NtttcpRun"]

_MBIT_PER_MIB = (1 << 20) * 8 / 1e6
_ROOTS = ("ntttcps", "ntttcpr")
_WINDOWS = re.compile(
    r"Bytes\(MEG\)\s+realtime\(s\)\s+Avg Frame Size\s+Throughput\(MB/s\)\s+"
    r"=+\s+=+\s+=+\s+=+\s+(?P<bytes>\S+)\s+(?P<seconds>\S+)\s+(?P<frame>\S+)\s+(?P<rate>\S+)"
)
_WINDOWS_PACKETS = re.compile(
    r"Packets Sent\s+Packets Received\s+Retransmits\s+Errors\s+Avg\. CPU %\s+"
    r"=+\s+=+\s+=+\s+=+\s+=+\s+\S+\s+\S+\s+(?P<retransmits>\S+)\s+(?P<errors>\S+)\s+(?P<processor>\S+)"
)
_WINDOWS_VERSION = re.compile(r"^(?:Copyright )?Version (?P<version>\S+)", re.MULTILINE)
_LINUX = re.compile(r"INFO:\s+throughput\s*:\s*(?P<rate>[\d.]+)(?P<unit>[KMGT]?)bps")
_LINUX_RETRANSMITS = re.compile(r"INFO:\s+retrans segs\s*:\s*(?P<retransmits>\d+)")
_LINUX_VERSION = re.compile(r"NTTTCP for Linux (?P<version>\S+)")
_UNITS = {"": 1e-6, "K": 1e-3, "M": 1.0, "G": 1e3, "T": 1e6}


@dataclass(frozen=True)
class NtttcpRun:
    """One sender with ``streams`` connections to the same receiver.

    Without synchronisation (-ns, on Linux -N), which a receiver of the other system would not understand.
    """

    peer: str
    port: int
    streams: int
    seconds: float
    warm_up_s: float = 0.0
    windows: bool = True

    @property
    def tool(self) -> ToolName:
        """The program."""
        return ToolName.NTTTCP

    @property
    def duration_s(self) -> float:
        """How long it runs by its own account, warm-up included."""
        return math.ceil(self.seconds) + math.ceil(self.warm_up_s)

    def arguments(self) -> tuple[str, ...]:
        """Its command line."""
        no_sync, warm_up = ("-ns", "-wu") if self.windows else ("-N", "-W")
        warm = (warm_up, str(math.ceil(self.warm_up_s))) if self.warm_up_s > 0 else ()
        mapping = f"{self.streams},*,{self.peer}"
        return ("-s", "-m", mapping, "-p", str(self.port), no_sync, "-t", str(math.ceil(self.seconds)), *warm)

    def read(self, output: str) -> tuple[Measurement, ...]:
        """Throughput and retransmits."""
        if any(f"<{root}" in output for root in _ROOTS):
            rate, again, version = _read_xml(output)
        elif found := _LINUX.search(output):
            rate = to_number("ntttcp", "throughput", found["rate"], output) * _UNITS[found["unit"]]
            again = _optional(_LINUX_RETRANSMITS.search(output), output)
            version = _word(_LINUX_VERSION.search(output))
        else:
            rate, again, version = _read_windows(output)
        params: dict[str, str | int | float] = {
            "direction": "out",
            "streams": self.streams,
            "other_way": "idle",
            "seconds": self.seconds,
        }
        measured = Measurement("tcp_throughput", rate, "Mbit/s", "higher", params, (), "ntttcp", version)
        if again is None:
            return (measured,)
        return (
            measured,
            Measurement("tcp_retransmits", again, "segments", "lower", params, (), "ntttcp", version),
        )


def _read_windows(text: str) -> tuple[float, float | None, str]:
    found = _WINDOWS.search(text)
    if found is None:
        raise OutputNotUnderstood("ntttcp: no totals", text=text)
    rate = to_number("ntttcp", "Throughput(MB/s)", found["rate"], text) * _MBIT_PER_MIB
    return rate, _optional(_WINDOWS_PACKETS.search(text), text), _word(_WINDOWS_VERSION.search(text))


def _read_xml(text: str) -> tuple[float, float | None, str]:
    root = read_xml("ntttcp", text, _ROOTS)
    rate = to_number("ntttcp", "throughput", _total(root, "throughput", "MB/s"), text) * _MBIT_PER_MIB
    again = root.findtext("packets_retransmitted")
    retransmits = None if again is None else to_number("ntttcp", "packets_retransmitted", again, text)
    return rate, retransmits, root.get("version", "")


def _total(root: ET.Element, name: str, unit: str) -> str | None:
    """Of the whole run: the elements of single threads lie one level deeper."""
    return next((found.text for found in root.findall(name) if found.get("metric") == unit), None)


def _optional(found: re.Match[str] | None, text: str) -> float | None:
    return None if found is None else to_number("ntttcp", "retransmits", found["retransmits"], text)


def _word(found: re.Match[str] | None) -> str:
    return found["version"] if found else ""
