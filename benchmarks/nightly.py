"""A whole night in small: how close a run over many hosts comes to the shortest possible."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.compare import Comparison
from harness.deadline import Deadline
from harness.guest.guest import Login
from harness.guest.provision import make_guest, remove_guest
from harness.host.area import RunArea
from harness.host.host import Host
from harness.host.sshlogin import Credentials
from harness.lab import HostSpec, load_lab, resolve_secret
from harness.results import RunResults, load_results
from harness.simlab import SimLab

__all__ = ["guests", "nightly"]

_HOSTS, _TESTS = 20, 300
_SHORTEST_S, _LONGEST_S = 1.0, 14.0  # of a test, scaled: a real one takes minutes
_AT_MOST = 1.15
_AT_MOST_BOUND_S = 120  # longer, and our own cost would not show
_GUESTS_PER_HOST = 10

_PVHCK = (sys.executable, "-c", "import sys; from harness.cli import main; sys.exit(main())")
_PLAIN = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", "-c", "/dev/null")

_SCENARIOS = """\
import resource
import threading

import pytest

SECONDS = {seconds}


@pytest.mark.parametrize("number", range(len(SECONDS)))
def test_work(guest, measure, number):
    threading.Event().wait(SECONDS[number])
    used = resource.getrusage(resource.RUSAGE_SELF)
    measure("worker_memory", used.ru_maxrss / 1024, "MiB", better="lower")
    measure("worker_cpu", used.ru_utime + used.ru_stime, "s", better="lower")
"""
_LAB = """\
[host h{number}]
kind = simulated
xen = 4.17
memory = 16g
vcpus = 64
max_guests = {guests}
"""
_TEMPLATE = "[template win]\nguest = simulated\nos = Windows 10\narch = x64\nmemory = 1g\nvcpus = 1\n"


@dataclass(frozen=True)
class _Night:
    results: RunResults
    seconds: float


def nightly() -> list[Comparison]:
    """300 scenarios on 20 simulated hosts, after a first run that tells how long each takes."""
    dice = random.Random(5)  # the same night each time
    seconds = [round(dice.uniform(_SHORTEST_S, _LONGEST_S), 2) for _ in range(_TESTS)]
    bound = max(*seconds, sum(seconds) / _HOSTS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = _plain_start(folder / "plain")
        nights = [_night(folder, seconds) for _ in range(2)]  # the second knows the durations of the first
    checks = [] if bound <= _AT_MOST_BOUND_S else [f"the bound itself is {bound:.0f} s"]
    checks += [_wrong(night) for night in nights if _wrong(night)]
    return [
        Comparison(
            what=f"{_TESTS} scenarios on {_HOSTS} hosts, {what}, without xdist's own start",
            ours_s=night.seconds - plain,
            other="the shortest possible: total work / slots",
            other_s=bound,
            at_most=_AT_MOST if night is nights[-1] else None,
            note=f"{night.seconds:.0f} s with it; plain pytest-xdist, empty tests: {plain:.0f} s; "
            + _per_worker(night.results),
            checks=tuple(checks),
        )
        for what, night in zip(("durations unknown", "durations known"), nights, strict=True)
    ]


def guests() -> list[Comparison]:
    """200 simulated guests that are all up at once, driven by threads of one process, against one alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "hosts.ini"
        source.write_text(_lab(_GUESTS_PER_HOST))
        with SimLab(load_lab(source), folder=folder / "lab", seed=1) as lab:
            template = lab.lab.templates["win"]
            login = Login(template.user, lab.passwords["win"])
            all_up = threading.Barrier(_HOSTS * _GUESTS_PER_HOST, timeout=600)
            credentials = Credentials(lambda ref: resolve_secret(ref).reveal())
            hosts = tuple(lab.lab.hosts.values())

            def drive(spec: HostSpec, number: int) -> None:
                # a connection for each guest, as workers have
                with Host(spec, credentials) as host, RunArea(host.shell, f"bench-{number}") as area:
                    guest = make_guest(host, area, template, 1, login, report=_silent)
                    guest.start()
                    guest.wait_ready(Deadline.after(600))
                    if number:
                        all_up.wait()
                    for _ in range(5):
                        guest.operations.memory()
                    remove_guest(guest, area)

            started = time.perf_counter()
            drive(hosts[0], 0)
            alone = time.perf_counter() - started
            failed, started = [], time.perf_counter()
            with ThreadPoolExecutor(_HOSTS * _GUESTS_PER_HOST) as pool:
                work = [
                    pool.submit(drive, spec, number)
                    for spec in hosts
                    for number in range(1, _GUESTS_PER_HOST + 1)
                ]
                failed = [str(error) for one in work if (error := one.exception()) is not None]
            all_s = time.perf_counter() - started
    count = _HOSTS * _GUESTS_PER_HOST
    return [
        Comparison(
            what=f"{count} guests cloned, booted, asked and removed at once, each",
            ours_s=all_s / count,
            other="one alone",
            other_s=alone,
            at_most=None,
            note=f"{all_s:.0f} s for all, none failed" if not failed else "",
            checks=(f"{len(failed)} failed: {failed[0]}",) if failed else (),
        )
    ]


def _silent(text: str) -> None:
    """Nobody watches."""


def _night(folder: Path, seconds: Sequence[float]) -> _Night:
    scenarios = folder / "scenarios" / "power"
    scenarios.mkdir(parents=True, exist_ok=True)
    (scenarios / "test_work.py").write_text(_SCENARIOS.format(seconds=json.dumps(list(seconds))))
    (folder / "hosts.ini").write_text(_lab(1))
    reports = folder / "reports"
    words = (
        "run",
        "--hosts",
        folder / "hosts.ini",
        "--scenarios",
        folder / "scenarios",
        "--reports",
        reports,
    )
    taken = _timed(folder, (*_PVHCK, *words))
    return _Night(load_results((reports / "latest").resolve()), taken)


def _plain_start(folder: Path) -> float:
    folder.mkdir()
    tests = "".join(f"def test_nothing_{number}(): pass\n" for number in range(_TESTS))
    (folder / "test_nothing.py").write_text(tests)
    return _timed(folder, (*_PLAIN, "-p", "xdist", "-n", str(_HOSTS), "test_nothing.py"))


def _timed(folder: Path, words: Sequence[object]) -> float:
    started = time.perf_counter()
    subprocess.run([str(word) for word in words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _lab(guests_per_host: int) -> str:
    sections = [_LAB.format(number=number, guests=guests_per_host) for number in range(_HOSTS)]
    return "\n".join([*sections, _TEMPLATE])


def _wrong(night: _Night) -> str:
    passed = sum(1 for test in night.results.tests if test.outcome == "passed")
    return "" if passed == _TESTS else f"{passed} of {_TESTS} passed"


def _per_worker(results: RunResults) -> str:
    """The most that a worker came to: it says so after each test."""
    most: dict[str, float] = {}
    for test in results.tests:
        for one in test.measurements:
            most[one.metric] = max(most.get(one.metric, 0.0), one.value)
    return f"a worker: {most.get('worker_memory', 0):.0f} MiB, {most.get('worker_cpu', 0):.1f} s of CPU"
