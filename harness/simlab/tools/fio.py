"""fio 3.33 as it answers with ``--output-format=json``, for one job on a raw disk.

Forms recorded in ``tests/fixtures/workload/fio-3.33-*``; the figures are made up.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from typing import Any

from harness.simlab.tools.conditions import DiskFound, ToolConditions, ToolRun, refusal
from harness.simlab.tools.disk import DiskWork, DiskWorkDone, perform
from harness.simlab.tools.options import BadOption, Options, read_options

__all__ = ["play_fio"]

_FLAGS = {"version": "", "thread": "", "time_based": "", "norandommap": "", "group_reporting": ""}
_VALUES = {
    "name": "",
    "filename": "",
    "rw": "",
    "bs": "",
    "iodepth": "",
    "direct": "",
    "ioengine": "",
    "runtime": "",
    "ramp_time": "",
    "size": "",
    "output-format": "",
    "allow_file_create": "",
    "fsync": "",
    "randseed": "",
}
_PATTERNS = ("read", "write", "randread", "randwrite")
_DRIVE = re.compile(r"^\\\\\.\\PhysicalDrive(\d+)$", re.IGNORECASE)
_PERCENTILES = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def play_fio(arguments: Sequence[str], conditions: ToolConditions) -> ToolRun:
    """An fio in a guest."""
    try:
        options, _ = read_options(arguments, _FLAGS, _VALUES)
    except BadOption as error:
        return refusal(f"fio: {error.text}\n")
    if "version" in options:
        return ToolRun(0, "fio-3.33\n", "", 0.0)
    complaint = _complaint(options)
    return refusal(complaint) if complaint else _run(options, conditions)


def _complaint(options: Options) -> str:
    if "name" not in options:
        return "No job(s) defined\n"
    pattern = options.get("rw", "read")
    if pattern not in _PATTERNS:
        known = "\n                    : ".join(_PATTERNS)
        return f"        valid values: {known}\n\nfio: failed parsing rw={pattern}\n"
    if _size(options.get("bs", "4k")) is None:
        return f"fio: failed parsing bs={options['bs']}\n"
    return ""


def _run(options: Options, conditions: ToolConditions) -> ToolRun:
    disk = _disk(options.get("filename", ""), conditions)
    if disk is None:
        # as recorded in fio-3.33-no-file.stderr.txt and fio-3.33-no-file.json
        text = _report(options, _job(options, None, None))
        return ToolRun(1, text, "fio: file creation disallowed by allow_file_create=0\n", 0.0)
    pattern = options.get("rw", "read")
    work = DiskWork(
        write="write" in pattern,
        random="rand" in pattern,
        block=_size(options.get("bs", "4k")) or 1,
        depth=int(options.get("iodepth", "1")),
        seconds=float(options.get("runtime", "1")),
    )
    done = perform(work, disk, conditions)
    ramp = float(options.get("ramp_time", "0"))
    return ToolRun(0, _report(options, _job(options, work, done)), "", done.seconds + ramp)


def _disk(filename: str, conditions: ToolConditions) -> DiskFound | None:
    found = _DRIVE.match(filename)
    return conditions.disks.get(int(found[1])) if found else None


def _size(text: str) -> int | None:
    found = re.fullmatch(r"(\d+)([kKmMgG]?)", text)
    return int(found[1]) * _UNITS[found[2].upper()] if found and int(found[1]) else None


def _report(options: Options, job: dict[str, Any]) -> str:
    now = time.time()
    report = {
        "fio version": "fio-3.33",
        "timestamp": int(now),
        "timestamp_ms": int(now * 1000),
        "time": time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(now)),
        "jobs": [{"jobname": options["name"], **job}],
    }
    return json.dumps(report, indent=2, separators=(",", " : ")) + "\n"


def _job(options: Options, work: DiskWork | None, done: DiskWorkDone | None) -> dict[str, Any]:
    silent = _way(None, 0)
    busy = _way(done, work.block if work else 0)
    writes = work is not None and work.write
    return {
        "groupid": 0,
        "error": 0,
        "eta": 2147483647,
        "elapsed": round(done.seconds) + 1 if done else 0,
        "job options": dict(options),
        "read": silent if writes else busy,
        "write": busy if writes else silent,
        "trim": silent,
        "sync": _sync(options, done),
        "job_runtime": round(done.seconds * 1000) if done else 0,
        "usr_cpu": 4.2 if done else 0.0,
        "sys_cpu": 12.5 if done else 0.0,
        "ctx": done.operations if done else 0,
        "majf": 0,
        "minf": 10,
        "iodepth_level": _shares("1", "2", "4", "8", "16", "32", ">=64"),
        "iodepth_submit": _shares("0", "4", "8", "16", "32", "64", ">=64"),
        "iodepth_complete": _shares("0", "4", "8", "16", "32", "64", ">=64"),
        "latency_ns": _shares("2", "4", "10", "20", "50", "100", "250", "500", "750", "1000"),
        "latency_us": _shares("2", "4", "10", "20", "50", "100", "250", "500", "750", "1000"),
        "latency_ms": _shares(
            "2", "4", "10", "20", "50", "100", "250", "500", "750", "1000", "2000", ">=2000"
        ),
        "latency_depth": work.depth if work else 1,
        "latency_target": 0,
        "latency_percentile": 100.0,
        "latency_window": 0,
    }


def _shares(*names: str) -> dict[str, float]:
    return dict.fromkeys(names, 0.0)


def _way(done: DiskWorkDone | None, block: int) -> dict[str, Any]:
    operations = done.operations if done else 0
    rate = done.per_second if done else 0.0
    mean_ns = done.latency_s * 1e9 if done else 0.0
    runtime = round(done.seconds * 1000) if done else 0
    completion = _latency(mean_ns * 0.97, operations)
    if done:
        # a tail three times the mean at the 99th percentile
        ranks = {f"{rank:.6f}": round(mean_ns * (0.6 + 2.4 * (rank / 99) ** 8)) for rank in _PERCENTILES}
        completion["percentile"] = ranks
    return {
        "io_bytes": operations * block,
        "io_kbytes": operations * block >> 10,
        "bw_bytes": round(rate * block),
        "bw": round(rate * block) >> 10,
        "iops": rate,
        "runtime": runtime,
        "total_ios": operations,
        "short_ios": 0,
        "drop_ios": 0,
        "slat_ns": _latency(mean_ns * 0.03, operations),
        "clat_ns": completion,
        "lat_ns": _latency(mean_ns, operations),
        "bw_min": round(rate * block) >> 10,
        "bw_max": round(rate * block) >> 10,
        "bw_agg": 100.0 if done else 0.0,
        "bw_mean": rate * block / 1024,
        "bw_dev": 0.0,
        "bw_samples": 1 if done else 0,
        "iops_min": round(rate),
        "iops_max": round(rate),
        "iops_mean": rate,
        "iops_stddev": 0.0,
        "iops_samples": 1 if done else 0,
    }


def _latency(mean_ns: float, count: int) -> dict[str, Any]:
    return {
        "min": round(mean_ns / 2),
        "max": round(mean_ns * 5),
        "mean": mean_ns,
        "stddev": mean_ns / 3,
        "N": count,
    }


def _sync(options: Options, done: DiskWorkDone | None) -> dict[str, Any]:
    if done is None or options.get("fsync", "0") == "0":
        return {"total_ios": 0, "lat_ns": _latency(0.0, 0)}
    every = int(options["fsync"])
    count = done.operations // every
    latency = _latency(done.latency_s * 1e9 * 2, count)
    ranks = {f"{rank:.6f}": round(done.latency_s * 2e9) for rank in _PERCENTILES}
    return {"total_ios": count, "lat_ns": {**latency, "percentile": ranks}}
