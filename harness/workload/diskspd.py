"""DiskSpd on a raw disk of a Windows guest, read from its XML.

The form is that of XmlResultParser.cpp of microsoft/diskspd and of a published output of 2.0.21a
(``tests/fixtures/workload/README.md``); nothing here was recorded by us yet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from harness.errors import GuestError, OutputNotUnderstood
from harness.lab import ToolName
from harness.model import Measurement
from harness.workload.disk import Access, DiskFigures, DiskLoad, Order, disk_measurements
from harness.workload.reading import to_number
from harness.workload.xmltext import read_xml

__all__ = ["DiskspdRun"]


@dataclass(frozen=True)
class DiskspdRun:
    """One time span, one thread. ``disk`` is the disk's number in Windows."""

    load: DiskLoad
    disk: int

    @property
    def tool(self) -> ToolName:
        """The program."""
        return ToolName.DISKSPD

    @property
    def duration_s(self) -> float:
        """How long it runs by its own account, warm-up included."""
        return math.ceil(self.load.seconds) + math.ceil(self.load.warm_up_s)

    def arguments(self) -> tuple[str, ...]:
        """Its command line."""
        load = self.load
        block = f"{load.block_kib}K"
        return (
            f"-b{block}",
            f"-d{math.ceil(load.seconds)}",
            f"-W{math.ceil(load.warm_up_s)}",
            "-C0",
            "-t1",
            f"-o{load.depth}",
            f"-r{block}" if load.order is Order.RANDOM else f"-s{block}",
            "-w100" if load.access is Access.WRITE else "-w0",
            "-Sh",  # neither Windows' cache nor the disk's
            "-L",
            "-Rxml",
            f"#{self.disk}",
        )

    def read(self, output: str) -> tuple[Measurement, ...]:
        """Throughput, operations and latencies, over all threads and targets."""
        results = read_xml("diskspd", output, {"Results"})
        if (error := results.findtext(".//TimeSpan/Error")) is not None:
            raise GuestError(f"diskspd: {error.strip()}")
        span = results.find("TimeSpan")
        if span is None:
            raise OutputNotUnderstood("diskspd: no TimeSpan", text=output)
        seconds = to_number("diskspd", "TestTimeSeconds", span.findtext("TestTimeSeconds"), output)
        name = self.load.access.value.capitalize()
        counts = _sum(span, f"{name}Count", output)
        size = _sum(span, f"{name}Bytes", output)
        if seconds <= 0 or not counts:
            raise GuestError(f"diskspd: not one {self.load.access} on disk {self.disk} was done")
        figures = DiskFigures(
            counts / seconds,
            size / seconds,
            _optional(span, f"Latency/Average{name}Milliseconds", output),
            _p99(span, f"{name}Milliseconds", output),
        )
        version = (results.findtext("System/Tool/Version") or "").strip()
        return disk_measurements(self.load, figures, "diskspd", version)


def _sum(span: ET.Element, name: str, text: str) -> float:
    found = span.findall(f"Thread/Target/{name}")
    if not found:
        raise OutputNotUnderstood(f"diskspd: no Thread/Target/{name}", text=text)
    return sum(to_number("diskspd", name, element.text, text) for element in found)


def _optional(span: ET.Element, path: str, text: str) -> float | None:
    found = span.findtext(path)
    return None if found is None else to_number("diskspd", path, found, text)


def _p99(span: ET.Element, name: str, text: str) -> float | None:
    for bucket in span.findall("Latency/Bucket"):
        if (bucket.findtext("Percentile") or "").strip() == "99":
            return _optional(bucket, name, text)
    return None
