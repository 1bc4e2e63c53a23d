"""``pvhck run`` on small simulated labs with fault switches on, each run in a process of its own.

The processes are forked from a server that has imported the harness once: importing it takes longer
than most of these runs. What a run leaves on its hosts is seen by a witness that stands in the
process between the run and its simulated lab; apart from that it is the command as people call it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import harness.session.simulated
from harness.cli.main import main
from harness.model import DriverName
from harness.package import make_build
from harness.results import DriverSheet, RunResults, TestResult, load_results
from harness.session import aftermath
from harness.simlab import SimLab
from harness.simlab.host.simhost import SimHost

__all__ = ["VERSIONS", "FaultRun", "RunSpec", "Runs"]

VERSIONS = "9.1.0.1", "9.1.0.2"  # of the build to upgrade from, and of the one under test

_AT_ONCE = 4  # they wait more than they work
_END_S = 300
_RESET_S = 15  # a simulated guest is up again in three
_LEFT, _SAID, _STRUCK = "left.json", "said.txt", "struck.json"
_PRELOADED = (
    "harness.cli.main",
    "harness.session.plugin",
    "harness.session.fixtures",
    "harness.session.workload_fixtures",
    "harness.simlab",
)

# Times of a busy machine for what comes right; what does not is not waited for long.
_PROFILE: dict[str, dict[str, object]] = {
    "install": {"boot_s": 30, "install_s": 30, "settle_s": 3},
    "network": {
        "seconds": 1,
        "warm_up_s": 0,
        "repeats": 1,
        "streams": [1],
        "payload_mib": 1,
        "offload_seconds": 1,
    },
    "storage": {
        "disk_mib": 64,
        "seconds": 1,
        "repeats": 1,
        "block_sizes_kib": [4],
        "depths": [1],
        "pattern_blocks": 4,
        "flushes": 2,
    },
    "balloon": {"steps": 1, "cycles": 1, "settle_s": 10, "impossible_s": 0.2, "recover_s": 10},
    "power": {"cycles": 1, "acknowledge_s": 10, "shutdown_s": 20, "reboot_s": 30, "refusal_s": 1},
    "interface": {"keys": 2, "watches": 1, "watch_s": 2},
}


@dataclass(frozen=True)
class RunSpec:
    """One run: which scenarios (pytest's ``-k``), which switches, what of lab and profile is another.

    ``host`` and ``time_factor`` are the first host's; the others have neither. ``profile`` goes over
    ``_PROFILE``, by area and key. ``words`` are further options of the command. ``turn`` tells two runs of
    the same apart.
    """

    select: str
    guest: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    hosts: int = 1
    time_factor: float = 1.0
    template: Mapping[str, str] = field(default_factory=dict)
    profile: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    build: bool = True
    words: tuple[str, ...] = ()
    turn: int = 1

    def write(self, folder: Path, builds: Sequence[Path]) -> list[str]:
        """Write hosts.ini and profile; gives the words of the command. ``builds``: an older, a newer one."""
        hosts = [self._host(number) for number in range(self.hosts)]
        (folder / "hosts.ini").write_text("\n".join([*hosts, self._template()]))
        tables = {area: {**keys, **self.profile.get(area, {})} for area, keys in _PROFILE.items()}
        (folder / "tiny.toml").write_text(
            "".join(
                f"[{area}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
                for area, keys in tables.items()
            )
        )
        older, newer = builds
        build = ["--upgrade-from", str(older), "--build", str(newer)] if self.build else []
        lab = ["--hosts", "hosts.ini", "--profile", "./tiny.toml"]
        return ["run", "-j", "1", *lab, "-k", self.select, *build, *self.words]

    def _host(self, number: int) -> str:
        text = f"[host sim-{'abc'[number]}]\nkind = simulated\nxen = 4.17\nmemory = 4g\nvcpus = 4\n"
        if number == 0:
            text += f"time_factor = {self.time_factor}\n"
            text += f"faults = {' '.join(self.host)}\n" if self.host else ""
        return text

    def _template(self) -> str:
        keys = {"guest": "simulated", "os": "Windows 10 (simulated)", "arch": "x64", "memory": "512m"}
        keys |= self.template
        if self.guest:
            keys["faults"] = " ".join(self.guest)
        return "[template win]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


@dataclass(frozen=True)
class FaultRun:
    """What became of a run. ``left`` is what lay on the hosts when the run let go of its lab.

    ``struck`` are switches that were found on, as hosts.ini has them.
    """

    folder: Path
    exit_code: int
    said: str
    left: tuple[str, ...]
    struck: frozenset[str]
    results: RunResults

    def test(self, name: str) -> TestResult:
        """The test whose id ends in ``name`` before its brackets."""
        found = [test for test in self.results.tests if test.id.partition("[")[0].endswith(f"::{name}")]
        assert found, f"no {name} among {[test.id for test in self.results.tests]}"
        return found[0]

    def sheet(self, driver: str) -> DriverSheet:
        """The verdict sheet of a driver."""
        return next(sheet for sheet in self.results.verdict.drivers if sheet.name is DriverName(driver))

    def evidence(self, test: TestResult) -> dict[str, Path]:
        """The files of evidence of a test's deciding attempt, by name, all of them there."""
        home = self.folder / "reports" / self.results.run.id
        paths = {Path(path).name: home / path for path in test.evidence}
        assert all(path.is_file() for path in paths.values())
        return paths


class Runs:
    """Runs that are asked for once and looked at by several tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self._asked: list[tuple[RunSpec, Future[FaultRun]]] = []
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(_PRELOADED))
        # one build for all: what making it takes would be longer than many of the runs
        self._builds = [make_build(folder / version, version=version) for version in VERSIONS]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self, spec: RunSpec) -> Future[FaultRun]:
        """Have it run as soon as there is room."""
        for asked, future in self._asked:
            if asked == spec:
                return future
        folder = self._folder / f"run{len(self._asked)}"
        future = self._pool.submit(self._run, spec, folder)
        self._asked.append((spec, future))
        return future

    def of(self, spec: RunSpec) -> FaultRun:
        """How it ended."""
        return self.begin(spec).result()

    def _run(self, spec: RunSpec, folder: Path) -> FaultRun:
        folder.mkdir()
        words = spec.write(folder, self._builds)
        process = self._context.Process(target=_in_child, args=(folder, words))
        process.start()
        process.join(_END_S)
        late = process.is_alive()
        if late:
            process.kill()
            process.join()
        said = (folder / _SAID).read_text()
        assert not late, f"pvhck {' '.join(words)} did not end in {_END_S} s:\n{said}"
        code = process.exitcode
        process.close()
        assert code is not None
        latest = folder / "reports" / "latest"
        assert latest.is_dir(), f"pvhck {' '.join(words)} ended with {code}:\n{said}"
        left = json.loads((folder / _LEFT).read_text())
        struck = frozenset(json.loads((folder / _STRUCK).read_text()))
        return FaultRun(folder, code, said, tuple(left), struck, load_results(latest))


def _in_child(folder: Path, words: list[str]) -> None:
    """The whole life of a run's process."""
    harness.session.simulated.SimLab = _Witness
    aftermath._ALL_S = _RESET_S  # most guests that are reset here never answer again
    os.chdir(folder)
    with (folder / _SAID).open("w", buffering=1) as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        code = main(words)
    sys.exit(code)


class _Witness(SimLab):
    """Notes what lies on the hosts when the run is done with them."""

    def close(self) -> None:
        left = [item for name in self._running for item in _lying_on(self.host(name))]
        Path(_LEFT).write_text(json.dumps(left))
        faults = [*(self.host(name).faults for name in self._running), *self.guest_faults]
        Path(_STRUCK).write_text(json.dumps(sorted({str(fault) for one in faults for fault in one.struck})))
        super().close()


def _lying_on(host: SimHost) -> Iterator[str]:
    for domain in host.hypervisor.domains():
        yield f"{host.name}: domain {domain.name}"
    runs = host.files.real(f"{host.spec.storage}/runs")
    for path in sorted(runs.rglob("*")):
        yield f"{host.name}: {path.relative_to(runs)}"
