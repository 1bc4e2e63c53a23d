"""DiskSpd 2.x as it answers with ``-Rxml -L``, for one target that is a raw disk (``#1``).

The form is that of XmlResultParser.cpp of microsoft/diskspd and of a published output (see
``tests/fixtures/workload/README.md``); nothing here was recorded, and the figures are made up.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from harness.simlab.tools.conditions import DiskFound, ToolConditions, ToolRun, refusal
from harness.simlab.tools.disk import DiskWork, DiskWorkDone, perform

__all__ = ["play_diskspd"]

_VERSION = "2.0.21a"
_DATE = "2018/9/21"
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_FLAGS = ("-L", "-Sh", "-Rxml")
# XmlResultParser.cpp: 0 to 99, then up to nine nines, then 100
_PERCENTILES = (
    *map(str, range(100)),
    "99.9",
    "99.99",
    "99.999",
    "99.9999",
    "99.99999",
    "99.999999",
    "99.9999999",
    "100",
)


@dataclass
class _Options:
    block: int = 65536
    depth: int = 2
    threads: int = 1
    seconds: int = 10
    warm_up: int = 5
    write_percent: int = 0
    random: bool = False
    latency: bool = False
    xml: bool = False
    target: str = ""


class _BadOption(Exception):
    pass


def play_diskspd(arguments: Sequence[str], conditions: ToolConditions) -> ToolRun:
    """A diskspd in a guest. The texts of its refusals are guesses."""
    options = _Options()
    try:
        for word in arguments:
            _take(word, options)
    except _BadOption as error:
        return refusal(f"ERROR: {error}\n")
    if not options.target:
        return refusal("ERROR: need at least one target\n")
    found = re.fullmatch(r"#(\d+)", options.target)
    disk = conditions.disks.get(int(found[1])) if found else None
    if disk is None:
        return refusal(
            f"Error opening file: {options.target} [2]\nThere has been an error during threads execution\n"
        )
    work = DiskWork(
        write=options.write_percent > 0,
        random=options.random,
        block=options.block,
        depth=options.depth * options.threads,
        seconds=float(options.seconds),
    )
    done = perform(work, disk, conditions)
    text = _xml(options, done, disk, conditions) if options.xml else "Results for timespan 1:\n"
    return ToolRun(0, text, "", done.seconds + options.warm_up)


def _take(word: str, options: _Options) -> None:
    if not word.startswith("-"):
        options.target = word
    elif word in _FLAGS:
        options.latency |= word == "-L"
        options.xml |= word == "-Rxml"
    elif word[1:2] == "r":
        options.random = True
    elif word[1:2] == "b":
        options.block = _size(word)
    elif word[1:2] in "otdWwCz" and word[2:].isdecimal():
        names = {"o": "depth", "t": "threads", "d": "seconds", "W": "warm_up", "w": "write_percent"}
        if name := names.get(word[1]):
            setattr(options, name, int(word[2:]))
    else:
        raise _BadOption(f"unrecognized option {word}")


def _size(word: str) -> int:
    found = re.fullmatch(r"-b(\d+)([KMG]?)", word)
    if not found:
        raise _BadOption(f"invalid block size {word}")
    return int(found[1]) * _UNITS[found[2]]


def _xml(options: _Options, done: DiskWorkDone, disk: DiskFound, conditions: ToolConditions) -> str:
    results = ET.Element("Results")
    _add_system(results, conditions)
    _add_profile(results, options)
    span = ET.SubElement(results, "TimeSpan")
    _leaf(span, "TestTimeSeconds", f"{done.seconds:.2f}")
    _leaf(span, "ThreadCount", options.threads)
    _leaf(span, "RequestCount", 0)
    _leaf(span, "ProcCount", conditions.processors)
    _add_processors(span, conditions)
    way = "Write" if options.write_percent else "Read"
    if options.latency:
        _add_latency(span, done, way)
    for number in range(options.threads):
        thread = ET.SubElement(span, "Thread")
        _leaf(thread, "Id", number)
        _add_target(thread, options, done, disk, way)
    ET.indent(results, " ")
    return ET.tostring(results, encoding="unicode") + "\n"


def _add_system(results: ET.Element, conditions: ToolConditions) -> None:
    system = ET.SubElement(results, "System")
    _leaf(system, "ComputerName", "SIMULATED")
    tool = ET.SubElement(system, "Tool")
    _leaf(tool, "Version", _VERSION)
    _leaf(tool, "VersionDate", _DATE)
    _leaf(system, "RunTime", time.strftime("%Y/%m/%d %H:%M:%S UTC", time.gmtime()))
    topology = ET.SubElement(system, "ProcessorTopology")
    count = str(conditions.processors)
    mask = hex((1 << conditions.processors) - 1)
    ET.SubElement(
        topology,
        "Group",
        {"Group": "0", "MaximumProcessors": count, "ActiveProcessors": count, "ActiveProcessorMask": mask},
    )
    ET.SubElement(topology, "Node", {"Node": "0", "Group": "0", "Processors": mask})
    ET.SubElement(ET.SubElement(topology, "Socket"), "Group", {"Group": "0", "Processors": mask})


def _add_profile(results: ET.Element, options: _Options) -> None:
    profile = ET.SubElement(results, "Profile")
    for name, value in (("Progress", "0"), ("ResultFormat", "xml"), ("Verbose", "false")):
        _leaf(profile, name, value)
    span = ET.SubElement(ET.SubElement(profile, "TimeSpans"), "TimeSpan")
    _leaf(span, "MeasureLatency", str(options.latency).lower())
    _leaf(span, "Duration", options.seconds)
    _leaf(span, "Warmup", options.warm_up)
    _leaf(span, "Cooldown", 0)
    target = ET.SubElement(ET.SubElement(span, "Targets"), "Target")
    _leaf(target, "Path", options.target)
    _leaf(target, "BlockSize", options.block)
    _leaf(target, "RequestCount", options.depth)
    _leaf(target, "WriteRatio", options.write_percent)
    _leaf(target, "ThreadsPerFile", options.threads)


def _add_processors(span: ET.Element, conditions: ToolConditions) -> None:
    usage = ET.SubElement(span, "CpuUtilization")
    figures = (("UsagePercent", 12.5), ("UserPercent", 2.0), ("KernelPercent", 10.5), ("IdlePercent", 87.5))
    for number in range(conditions.processors):
        processor = ET.SubElement(usage, "CPU")
        _leaf(processor, "Group", 0)
        _leaf(processor, "Id", number)
        for name, value in figures:
            _leaf(processor, name, f"{value:.2f}")
    average = ET.SubElement(usage, "Average")
    for name, value in figures:
        _leaf(average, name, f"{value:.2f}")


def _add_latency(span: ET.Element, done: DiskWorkDone, way: str) -> None:
    latency = ET.SubElement(span, "Latency")
    mean = done.latency_s * 1000
    for name in (way, "Total"):
        _leaf(latency, f"Average{name}Milliseconds", f"{mean:.3f}")
        _leaf(latency, "LatencyStdev" if name == "Total" else f"{name}LatencyStdev", f"{mean / 3:.3f}")
    for rank in _PERCENTILES:
        bucket = ET.SubElement(latency, "Bucket")
        _leaf(bucket, "Percentile", rank)
        value = mean * (0.6 + 2.4 * (float(rank) / 99) ** 8)
        _leaf(bucket, f"{way}Milliseconds", f"{value:.3f}")
        _leaf(bucket, "TotalMilliseconds", f"{value:.3f}")


def _add_target(thread: ET.Element, options: _Options, done: DiskWorkDone, disk: DiskFound, way: str) -> None:
    target = ET.SubElement(thread, "Target")
    count = done.operations // options.threads
    counts = {"Read": 0, "Write": 0, way: count}
    _leaf(target, "Path", options.target)
    _leaf(target, "BytesCount", count * options.block)
    _leaf(target, "FileSize", disk.size)
    _leaf(target, "IOCount", count)
    for name, value in counts.items():
        _leaf(target, f"{name}Bytes", value * options.block)
        _leaf(target, f"{name}Count", value)
    if options.latency:
        mean = done.latency_s * 1000
        _leaf(target, f"Average{way}LatencyMilliseconds", f"{mean:.3f}")
        _leaf(target, f"{way}LatencyStdev", f"{mean / 3:.3f}")
        _leaf(target, "AverageLatencyMilliseconds", f"{mean:.3f}")
        _leaf(target, "LatencyStdev", f"{mean / 3:.3f}")


def _leaf(parent: ET.Element, name: str, value: object) -> None:
    ET.SubElement(parent, name).text = str(value)
