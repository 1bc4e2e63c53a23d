"""``pvhck`` in processes of its own, against hosts that outlive it.

The hosts are simulated in the test's process and reached as ``kind = ssh``: what a run leaves on them
when it is interrupted or killed can be looked at afterwards. Their guests are simulated ones, declared
as stand-ins, because hosts.ini takes simulated guests on simulated hosts only.

Commands are forked from a server that has imported the harness once: importing it takes longer than most
of what is asked of it here.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import multiprocessing.process
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from harness.cli.main import main
from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.lab import HostSpec, load_lab
from harness.simlab import SimLab
from harness.simlab.host.simhost import SimHost

__all__ = ["PVHCK", "Command", "KeptLab", "Said", "begin", "kept_lab", "pvhck"]

PVHCK = Path(sys.executable).with_name("pvhck")

_END_S = 60  # of a machine that does much else
_SHOWN_S = 2
_SHOW = signal.SIGUSR1  # has a command write down where its threads stand
_PRELOADED = (
    "harness.cli.main",
    "harness.cli.guest",
    "harness.cli.lab",
    "harness.cli.report",
    "harness.cli.run",
    "harness.session.plugin",
    "harness.session.fixtures",
    "harness.session.workload_fixtures",
    "harness.simlab",
)
_SIMULATED = """
[host {name}]
kind = simulated
xen = 4.17
memory = 4g
vcpus = 4
{host}

[template win]
guest = simulated
os = Windows 10 (simulated)
arch = x64
memory = 512m
{template}
"""
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(_PRELOADED))


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        """Both of what it said."""
        return self.out + self.err

    def demand(self, code: int, *words: str) -> None:
        """It ended so, said these words (blanks as they come), and showed nobody a traceback."""
        assert self.code == code, f"exit code {self.code}, not {code}:\n{self.all}"
        flat = " ".join(self.all.split())
        missing = [word for word in words if word not in flat]
        assert not missing, f"{missing} not in:\n{self.all}"
        assert "Traceback" not in self.all
        assert "INTERNALERROR" not in self.all
        assert "Exception ignored" not in self.all


class Command:
    """A command that runs. Use it as a context: it does not outlive it."""

    def __init__(self, folder: Path, process: multiprocessing.process.BaseProcess) -> None:
        self._folder = folder
        self._process = process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        self._process.close()

    def wait_for(self, reached: Callable[[], bool], what: str) -> None:
        """Wait until it has come so far; it must still run then."""

        def probe() -> Done[None] | NotYet:
            if reached():
                return Done(None)
            assert self._process.is_alive(), f"it ended before {what}: {self._said(self._code())}"
            return NotYet(f"still not at {what}")

        wait_until(probe, subject=what, deadline=Deadline.after(_END_S), interval_s=0.01)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def end(self) -> Said:
        """Wait for its end."""
        self._process.join(_END_S)
        if self._process.is_alive():
            self.signal(_SHOW)
            self._process.join(_SHOWN_S)
            pytest.fail(f"it does not end, this is where it stands:\n{self._said(0).all}")
        return self._said(self._code())

    def _code(self) -> int:
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def _said(self, code: int) -> Said:
        return Said(code, *((self._folder / name).read_text(errors="replace") for name in ("out", "err")))


def begin(
    folder: Path, *words: str | Path, env: Mapping[str, str] | None = None, limit: int | None = None
) -> Command:
    """Begin a command; ``folder``, which is made, is where it stands and has its temporary files.

    No file of it gets longer than ``limit`` bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    # what it says is there from the start for who looks
    (folder / "out").touch()
    (folder / "err").touch()
    argv = [str(word) for word in words]
    process = _context.Process(target=_in_child, args=(folder, argv, dict(env or {}), limit))
    process.start()
    return Command(folder, process)


def pvhck(folder: Path, *words: str | Path, env: Mapping[str, str] | None = None) -> Said:
    """A command from its beginning to its end."""
    with begin(folder, *words, env=env) as command:
        return command.end()


def _in_child(folder: Path, argv: list[str], env: dict[str, str], limit: int | None) -> None:
    os.chdir(folder)
    os.environ.update({"TMPDIR": str(folder / "tmp"), "HOME": str(folder)} | env)
    # a shell that runs the tests in the background has them ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name in ((1, "out"), (2, "err")):
        with (folder / name).open("wb") as file:
            os.dup2(file.fileno(), number)
    faulthandler.register(_SHOW, file=2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.exit(main(argv))


@dataclass
class KeptLab:
    """One host that outlives the commands; ``section`` and ``template`` say it as hosts.ini does."""

    folder: Path
    sim: SimLab
    model: SimHost
    spec: HostSpec
    section: dict[str, str | None]
    template: dict[str, str | None]
    _files: int = field(default=0)

    def hosts_ini(
        self,
        *,
        host: Mapping[str, str | None] | None = None,
        template: Mapping[str, str | None] | None = None,
        more: str = "",
    ) -> Path:
        """A file for this host, with keys that are another (None: left out)."""
        self._files += 1
        path = self.folder / f"hosts-{self._files}.ini"
        parts = [
            ("host far", self.section | (host or {})),
            ("template win", self.template | (template or {})),
        ]
        text = "".join(
            f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items() if value is not None)
            for name, keys in parts
        )
        path.write_text(text + more)
        return path

    @property
    def guests(self) -> tuple[str, ...]:
        """Domains that are there now, but dom0."""
        return tuple(domain.name for domain in self.model.hypervisor.domains())

    @property
    def lying(self) -> tuple[str, ...]:
        """All that runs have here now: domains, loop devices, files with their locks and folders."""
        runs = self.model.files.real(f"{self.spec.storage}/runs")
        loops = (device for device, _ in self.model.loops.items())
        return (*self.guests, *loops, *sorted(str(path.relative_to(runs)) for path in runs.rglob("*")))


@contextlib.contextmanager
def kept_lab(folder: Path, *, host: str = "", template: str = "") -> Iterator[KeptLab]:
    """A host for the tests of a module; ``host`` and ``template`` are lines of what is simulated."""
    source = folder / "simulated.ini"
    source.write_text(_SIMULATED.format(name="far", host=host, template=template))
    with SimLab(load_lab(source), folder=folder / "lab", seed=1) as sim:
        spec, template = sim.lab.hosts["far"], sim.lab.templates["win"]
        secret = folder / "secret"
        secret.touch(mode=0o600)
        secret.write_text(sim.passwords["win"])
        section: dict[str, str | None] = {
            "address": spec.address,
            "port": str(spec.port),
            "key": str(spec.key_file),
            "known_hosts": str(spec.known_hosts),
            "controller": spec.controller,
            "memory": f"{spec.memory_mib}m",
        }
        declared: dict[str, str | None] = {
            "guest": "stand-in",
            "image": template.image,
            "os": template.os,
            "arch": template.arch.value,
            "memory": f"{template.memory_mib}m",
            "secret": f"file:{secret}",
        }
        yield KeptLab(folder, sim, sim.host("far"), spec, section, declared)
