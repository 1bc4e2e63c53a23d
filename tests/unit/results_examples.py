"""Runs made up for tests of results and report: every outcome, hosts, templates, measurements, evidence.

Nothing here was measured anywhere: the numbers are written down below.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.model import Arch, Area, DriverName, FailureKind, GuestKind, Measurement, Outcome
from harness.results import (
    AttemptResult,
    DriverBuildFacts,
    DriverFound,
    GuestFacts,
    PackageFacts,
    RunEnd,
    RunFacts,
    RunRecorder,
    TestFacts,
)

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"

BUILD = DriverBuildFacts(
    "builds/nightly-2031.zip",
    tuple(
        PackageFacts(name, "9.1.2031.0", f"{number:x}" * 64, arch)
        for number, name in enumerate(DriverName, 1)
        for arch in Arch
    ),
)
SYNTHETIC = replace(BUILD, path="synthetic", synthetic=True)

HOSTILE = "<script>alert('x')</script> \"quoted\" & ünïcödé \u202egnp.exe\x1b[31m ${7*7} {{ 7*7 }}"


def guest(template: str = "win2019-x64", kind: GuestKind = GuestKind.SIMULATED) -> GuestFacts:
    if template.endswith("x86"):
        return GuestFacts(template, "Windows 10 22H2", Arch.X86, kind)
    return GuestFacts(template, "Windows Server 2019", Arch.X64, kind)


def run_facts(run_id: str = "run-1", started: str = "2026-01-31T22:00:00Z", **changes: object) -> RunFacts:
    facts = RunFacts(
        id=run_id,
        started=started,
        profile="nightly",
        argv=("pvhck", "run", "--profile", "nightly"),
        harness_version="0.1.0",
        driver_build=BUILD,
        environment={"seed": "1", "python": "3.11.2", "hosts file": "hosts.ini"},
    )
    return replace(facts, **changes)


def ticking(start: int = 0) -> Callable[[], str]:
    """A clock that moves by seven seconds each time it is read."""
    seconds = itertools.count(start, 7)

    def now() -> str:
        passed = next(seconds)
        return f"2026-01-31T{22 + passed // 3600:02d}:{passed // 60 % 60:02d}:{passed % 60:02d}Z"

    return now


def facts_of(
    name: str, area: Area = Area.POWER, drivers: Sequence[DriverName] = (), **changes: object
) -> TestFacts:
    where = changes.pop("guest", guest())
    template = where.template if isinstance(where, GuestFacts) else "none"
    test_id = f"scenarios/{area}/test_{area}.py::{name}[{template}]"
    return replace(TestFacts(test_id, area, tuple(drivers), where), **changes)


def attempt(outcome: Outcome = Outcome.PASSED, number: int = 1, **changes: object) -> AttemptResult:
    base = AttemptResult(
        number,
        outcome,
        started="2026-01-31T22:00:07Z",
        duration_s=12.5,
        host="xen-a",
        toolstack="xl",
        xen_version="4.17",
    )
    return replace(base, **changes)


def screen(width: int = 320, height: int = 200) -> bytes:
    """A PPM as a screen dump gives it: blue with a lighter block."""
    blue, light = b"\x00\x3c\x8c", b"\xd0\xdc\xf0"
    rows = []
    for y in range(height):
        lit = 40 <= y < 60 or (80 <= y < 150 and y % 14 < 6)
        left = 30
        right = (240 - (y * 7) % 90) if 80 <= y < 150 else 120
        rows.append(blue * left + light * (right - left) + blue * (width - right) if lit else blue * width)
    return b"P6\n# screen of a made-up guest\n%d %d\n255\n" % (width, height) + b"".join(rows)


def network_figures(level: float) -> list[Measurement]:
    def one(value: float, streams: int) -> Measurement:
        params = {"streams": streams, "direction": "to host"}
        samples = (value * 0.97, value, value * 1.02)
        return Measurement("tcp_throughput", value, "MB/s", "higher", params, samples, "iperf3", "3.12")

    return [one(level, 1), one(level * 1.8, 8)]


def storage_figures(level: float) -> list[Measurement]:
    def one(metric: str, value: float, unit: str, better: str, **params: str | int) -> Measurement:
        return Measurement(
            metric, value, unit, better, params, (value * 0.95, value, value * 1.08), "diskspd", "2.2"
        )

    return [
        one("read_iops", level * 210, "IOPS", "higher", block_kib=4, depth=32, pattern="random"),
        one("read_latency", 90 / level, "ms", "lower", block_kib=4, depth=1, pattern="random"),
    ]


def reboot_figure(seconds: float) -> Measurement:
    return Measurement("reboot_to_ready", seconds, "s", "lower", {}, (seconds,))


@dataclass(frozen=True)
class Planned:
    """A test with its attempts, in the order they are recorded."""

    facts: TestFacts
    attempts: tuple[AttemptResult, ...]
    measurements: tuple[Measurement, ...] = ()


def write_run(
    reports: Path,
    run_id: str = "run-1",
    *,
    started: str = "2026-01-31T22:00:00Z",
    kind: GuestKind = GuestKind.SIMULATED,
    build: DriverBuildFacts | None = SYNTHETIC,
    level: float = 100.0,
    end: RunEnd | None = RunEnd.FINISHED,
    failing: bool = True,
    hostile: str = "",
) -> Path:
    """A whole run in ``reports/run_id``; ``end`` None leaves it as a kill would. Its folder."""
    x64, x86 = guest("win2019-x64", kind), guest("win10-x86", kind)
    recorder = RunRecorder(reports, run_facts(run_id, started, driver_build=build), str, clock=ticking())
    plan = [*good_tests(x64, "xen-a", level), *good_tests(x86, "xen-b", level / 3), *skipped_tests(x86)]
    if failing:
        evidence = write_evidence(recorder.folder, "write_under_load", hostile)
        plan += bad_tests(x64, x86, evidence, hostile or _crash(run_id))
    recorder.collected(one.facts for one in plan)
    for where, host in ((x64, "xen-a"), (x86, "xen-b")):
        for name in DriverName:
            bad = failing and name is DriverName.XENVBD and where is x86
            state = "problem code 10" if bad else "verified"
            recorder.driver_found(DriverFound(name, "9.1.2031.0", state, host, where.template))
    recorder.warning(hostile or "xenvbd: the signer's certificate expired on 2025-03-01")
    for one in plan:
        record(recorder, one)
    if end is None:
        os.close(recorder._file)  # as the kernel does for a killed run
    else:
        recorder.finish(end)
    return recorder.folder


def record(recorder: RunRecorder, planned: Planned) -> None:
    for one in planned.attempts:
        if one.outcome is Outcome.SKIPPED:
            recorder.skipped(planned.facts.id, one.reason)
        else:
            recorder.test_started(planned.facts.id, one.number)
            last = one is planned.attempts[-1]
            recorder.attempt_finished(planned.facts.id, one, planned.measurements if last else ())


def good_tests(where: GuestFacts, host: str, level: float) -> list[Planned]:
    d = DriverName
    here = {"host": host, "xen_version": "4.17" if host == "xen-a" else "4.4"}

    def passed(
        name: str,
        area: Area,
        drivers: Sequence[DriverName],
        seconds: float,
        *numbers: Measurement,
        **more: object,
    ) -> Planned:
        facts = facts_of(name, area, drivers, guest=where, **more)
        return Planned(facts, (attempt(duration_s=seconds, **here),), numbers)

    reboot = "DF - Reboot restart with IO before and after (Reliability)"
    installed = [passed("test_driver_verified", Area.INSTALL, [name], 41.2) for name in d]
    return [
        *(
            replace(one, facts=replace(one.facts, id=one.facts.id.replace("[", f"[{one.facts.drivers[0]}-")))
            for one in installed
        ),
        passed("test_tcp_throughput", Area.NETWORK, [d.XENVIF, d.XENNET], 63.0, *network_figures(level)),
        passed(
            "test_random_read",
            Area.STORAGE,
            [d.XENVBD],
            88.4,
            *storage_figures(level),
            hck=("Disk Stress (LOGO)",),
        ),
        passed("test_balloon_down_and_up", Area.BALLOON, [d.XENBUS], 52.0),
        passed(
            "test_reboot_is_acknowledged_and_clean",
            Area.POWER,
            [d.XENBUS, d.XENIFACE],
            74.9,
            reboot_figure(2150 / level),
            hck=(reboot,),
        ),
        passed("test_forbidden_writes_are_refused", Area.INTERFACE, [d.XENIFACE], 3.3),
    ]


def skipped_tests(where: GuestFacts) -> list[Planned]:
    d = DriverName
    no_tool = "no iperf3 for x86 windows guests; [tools] of hosts.ini names them"
    too_old = "needs Xen 4.5 or later, host xen-b has 4.4"
    return [
        Planned(
            facts_of("test_udp_loss", Area.NETWORK, [d.XENVIF, d.XENNET], guest=where),
            (attempt(Outcome.SKIPPED, reason=no_tool),),
        ),
        Planned(
            facts_of("test_shutdown_falls_back_to_acpi", Area.POWER, guest=where),
            (attempt(Outcome.SKIPPED, reason=too_old),),
        ),
    ]


def _crash(run_id: str) -> str:
    return f"guest pvhck-{run_id}-3 crashed: bugcheck 0x000000D1 in xenvbd.sys, domain state c"


def bad_tests(x64: GuestFacts, x86: GuestFacts, evidence: tuple[str, ...], crash: str) -> list[Planned]:
    d, k = DriverName, FailureKind
    broken = "host xen-b: cannot clone templates/win10.qcow2: No space left on device"
    differs = "64 MiB were sent, SHA-256 differs: 3 of 1024 blocks are not what was sent"
    silent = "guest silent for 300 s although its host answers; NMI dump taken"
    old = {"host": "xen-b", "xen_version": "4.4"}
    return [
        Planned(
            facts_of("test_write_under_load", Area.STORAGE, [d.XENVBD], guest=x86, hck=("Flush Test",)),
            (attempt(Outcome.FAILED, kind=k.CRASH, reason=crash, evidence=evidence, **old),),
        ),
        Planned(
            facts_of("test_payload_integrity", Area.NETWORK, [d.XENNET], guest=x64),
            (attempt(Outcome.FAILED, kind=k.ASSERTION, reason=differs, duration_s=31.0),),
        ),
        Planned(
            facts_of("test_shutdown_under_load", Area.POWER, [d.XENBUS, d.XENIFACE], guest=x64),
            (attempt(Outcome.FAILED, kind=k.HANG, reason=silent, duration_s=412.0),),
        ),
        Planned(
            facts_of("test_upgrade_from_release", Area.INSTALL, list(d), guest=x86),
            (
                attempt(Outcome.BROKEN, reason=broken, duration_s=4.0, **old),
                attempt(Outcome.BROKEN, 2, reason=broken.replace("xen-b", "xen-a"), duration_s=3.1),
            ),
        ),
        Planned(
            facts_of("test_watch_sees_changes", Area.INTERFACE, [d.XENIFACE], guest=x64),
            (
                attempt(Outcome.BROKEN, reason="host xen-a: SSH connection lost", duration_s=2.0),
                attempt(Outcome.PASSED, 2, **old),
            ),
        ),
        Planned(
            facts_of("test_balloon_below_floor", Area.BALLOON, [d.XENBUS], guest=x86),
            (attempt(Outcome.EXPECTED, reason="erratum 7, until 2026-06-30: stops 40 MiB above the target"),),
        ),
    ]


def write_evidence(folder: Path, name: str, last_line: str) -> tuple[str, ...]:
    """A screen, two texts, a dump, and the name of a file that is not there."""
    where = folder / "evidence" / name
    where.mkdir(parents=True)
    (where / "screen.ppm").write_bytes(screen())
    (where / "xl-list-l.json").write_bytes((FIXTURES / "xen-4.17" / "xl-list-l-win1.txt").read_bytes())
    console = [f"[{second:4d}.000000] made-up console line {second}" for second in range(400)]
    (where / "console.txt").write_text("\n".join([*console, last_line or "*** STOP: 0x000000D1"]))
    (where / "memory.dmp").write_bytes(b"PAGEDUMP\0\0" * 300)
    files = ("screen.ppm", "xl-list-l.json", "console.txt", "memory.dmp", "exchange.log")
    return tuple(f"evidence/{name}/{file}" for file in files)
