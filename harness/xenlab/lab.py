"""The nested Xen lab: built once, then a running host in seconds.

For a test session, in one call::

    with XenLab("4.17").session(progress=print) as lab:  # starts from the snapshot; ends with this process
        lab.write_hosts_ini(folder / "hosts.ini")      # [host nested], [template standin-bare], [... -all]
        ...                                            # harness.lab.load it, harness.host.Host, and go
        lab.reset()                                    # back to the snapshot: no domains, templates only

A lab that ``pvhck lab xen up`` left running is used as it is found and stays; else one is started and taken
down at the end. At most one runs on a machine: two share the cores fifty times slower (facts/nested-xen.md).

Before ``reset`` close every connection to the host (``Host.close()``): those of before are dead.
``pvhck lab xen build|up|down|ssh|status|demo`` are the functions ``lab_build`` and so on at the end.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self

from harness.errors import ConfigurationError, InfrastructureError
from harness.winrmd import ServerCertificate
from harness.xenlab import qemu
from harness.xenlab.build import Layers, build_layers, current_layers
from harness.xenlab.cache import Cache
from harness.xenlab.debian import ensure_build_packages, missing_build_packages
from harness.xenlab.guestdisk import CERTIFICATE, PASSWORD
from harness.xenlab.hostsini import HostFacts, hosts_ini_text
from harness.xenlab.recipe import RELEASES
from harness.xenlab.snapshot import Dom0, make_snapshot, snapshot_layer, start_from_snapshot
from harness.xenlab.sshclient import ssh_argv

__all__ = [
    "DEFAULT_XEN",
    "LabStatus",
    "RunningLab",
    "XenLab",
    "lab_build",
    "lab_demo",
    "lab_down",
    "lab_ssh",
    "lab_status",
    "lab_up",
]

Progress = Callable[[str], None]

DEFAULT_XEN = next(iter(RELEASES))
_STATE = "lab.json"
_QUIT_S = 30


@dataclass(frozen=True)
class _State:
    """The lab that runs, as its file in the run folder has it; layers by their names."""

    pid: int
    started: int
    xen: str
    ssh_port: int
    dom0: str
    store: str
    snapshot: str
    ends_with_us: bool


def _silent(_: str) -> None:
    """Nobody wants to hear of the progress."""


@dataclass(frozen=True)
class LabStatus:
    """What there is. ``missing`` names the layers a build would make, or packages it would install."""

    xen: str
    folder: Path
    missing: tuple[str, ...]
    running: str  # the version that runs, "" for none
    ssh_port: int | None

    @property
    def built(self) -> bool:
        """Whether ``up`` can start at once."""
        return not self.missing

    def lines(self) -> tuple[str, ...]:
        """For people."""
        built = "built" if self.built else f"to be built: {', '.join(self.missing)}"
        port = f"127.0.0.1:{self.ssh_port}"
        running = f"Xen {self.running} is running, SSH on {port}" if self.running else "none is running"
        return (f"nested lab with Xen {self.xen} in {self.folder}", f"  {built}", f"  {running}")


class RunningLab:
    """A nested Xen host that answers. Use it as a context: it is taken down at the end."""

    def __init__(
        self,
        xen: str,
        machine: qemu.Machine,
        process: qemu.Process,
        dom0: Dom0,
        *,
        store: Path,
        start_again: Callable[[], qemu.Process],
    ) -> None:
        self.xen = xen
        self.dom0 = dom0
        self._machine = machine
        self._process = process
        self._store = store
        self._start_again = start_again

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    @property
    def ssh_port(self) -> int:
        """On 127.0.0.1; user root."""
        return self.dom0.port

    @property
    def key_file(self) -> Path:
        """The private key that dom0 lets in."""
        return self.dom0.key_file

    @property
    def known_hosts(self) -> Path:
        """dom0's host key, in the form OpenSSH and paramiko read."""
        return self.dom0.known_hosts

    @property
    def password_file(self) -> Path:
        """The password of the stand-in guests' Administrator."""
        return self._store / PASSWORD

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate that every stand-in guest shows."""
        return ServerCertificate((self._store / CERTIFICATE).read_bytes(), b"").fingerprint

    @property
    def serial_log(self) -> Path:
        """What Xen and dom0 wrote on their console since the start."""
        return self._machine.folder / "serial.log"

    @property
    def alive(self) -> bool:
        """Whether QEMU still runs."""
        return self._process.alive

    def ssh_argv(self, *command: str) -> list[str]:
        """OpenSSH's command line into dom0; without a command a shell."""
        return ssh_argv(
            port=self.ssh_port, key_file=self.key_file, known_hosts=self.known_hosts, command=command
        )

    def hosts_ini(self) -> str:
        """A whole hosts.ini for this lab."""
        facts = HostFacts(
            xen=self.xen,
            port=self.ssh_port,
            key_file=self.key_file,
            known_hosts=self.known_hosts,
            password_file=self.password_file,
            fingerprint=self.fingerprint,
        )
        return hosts_ini_text(facts)

    def write_hosts_ini(self, path: Path) -> Path:
        """Write ``hosts_ini`` into a file; gives its path."""
        path.write_text(self.hosts_ini())
        return path

    def reset(self) -> None:
        """Back to the snapshot: dom0 freshly booted, no guests, no clones, our time.

        By a QEMU of its own: one that loads a snapshot while a guest runs in it may never answer again.
        SSH connections of before are dead afterwards: close them first.
        """
        self._end()
        self._process = self._start_again()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The whole host stands still meanwhile; connections to it stay as they are."""
        with qemu.Monitor(self._machine.socket) as monitor:
            monitor.stop()
            try:
                yield
            finally:
                monitor.go_on()

    def down(self) -> None:
        """End it. Nothing of it is worth a clean shutdown: the next start is from the snapshot."""
        self._end()
        shutil.rmtree(self._machine.folder, ignore_errors=True)

    def _end(self) -> None:
        if self._process.alive:
            try:
                with qemu.Monitor(self._machine.socket) as monitor:
                    monitor.quit()
            except InfrastructureError:
                self._process.kill()
        if not self._process.wait_gone(_QUIT_S):
            self._process.kill()
            self._process.wait_gone(_QUIT_S)
        self._machine.socket.unlink(missing_ok=True)


class XenLab:
    """The lab of a cache folder."""

    def __init__(self, xen: str = DEFAULT_XEN, cache: Cache | None = None) -> None:
        """``xen`` is one of ``RELEASES``."""
        if xen not in RELEASES:
            raise ConfigurationError(
                f"there is no nested lab with Xen {xen}", mend=f"one of {', '.join(RELEASES)}"
            )
        self.release = RELEASES[xen]
        self.cache = cache or Cache.default()

    def build(self, progress: Progress = _silent) -> None:
        """Make whatever is missing, the snapshot with a booted dom0 last.

        Raises:
            ToolMissing: packages are missing on this machine and we are not root; names the one line to run.
            ConfigurationError: not root, or apt does not know a package.
            InfrastructureError: another process builds or runs the lab.
        """
        lock = self.cache.build_lock()
        try:
            progress("looking at this machine's packages")
            ensure_build_packages()
            layers = self._layers()
            build_layers(self.cache, layers, self.release, progress)
            snapshot = snapshot_layer(layers)
            maker = partial(make_snapshot, cache=self.cache, layers=layers, progress=progress)
            self.cache.make(snapshot, maker)
            self.cache.drop_unused(frozenset((*layers.all, snapshot)))
        finally:
            lock.close()

    def up(self, *, ends_with_us: bool = True) -> RunningLab:
        """Start it from the snapshot; ``xl list`` has answered by then and the clock is right.

        Raises:
            ConfigurationError: it is not built.
            InfrastructureError: one is running already, or QEMU does not start.
        """
        missing = self._missing()
        if missing:
            raise ConfigurationError(
                f"the nested lab with Xen {self.release.xen} is not built ({', '.join(missing)})",
                mend=f"pvhck lab xen build --xen {self.release.xen}",
            )
        running = self.attach()
        if running is not None:
            raise InfrastructureError("a nested Xen is already running here", mend="pvhck lab xen down")
        layers = self._layers()
        folder = self.cache.run_folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        state = _State(
            pid=0,
            started=0,
            xen=self.release.xen,
            ssh_port=qemu.free_port(),
            dom0=str(layers.dom0),
            store=str(layers.store),
            snapshot=str(snapshot_layer(layers)),
            ends_with_us=ends_with_us,
        )
        return self._running(state, *self._start(state))

    def attach(self) -> RunningLab | None:
        """The lab that is running now, whoever started it; None if none is."""
        state = self._state()
        if state is None:
            return None
        process = qemu.Process(state.pid, state.started)
        if not process.alive:
            return None
        return self._running(state, process, Dom0.of(self._machine(state)))

    @contextmanager
    def session(self, progress: Progress = _silent) -> Iterator[RunningLab]:
        """A lab while the context lasts: the one that runs, reset, or a new one; built if need be.

        Raises:
            InfrastructureError: the one that runs was made from other sources; or see ``build`` and ``up``.
        """
        running = self.attach()
        if running is not None:
            self._check_age()
            progress("using the nested Xen that is running, back at its snapshot")
            running.reset()
            yield running
            return
        if self._missing():
            self.build(progress)
        progress("starting nested Xen from its snapshot")
        with self.up() as lab:
            yield lab

    def down(self) -> bool:
        """End the running lab; whether there was one."""
        running = self.attach()
        if running is None:
            return False
        running.down()
        return True

    def status(self) -> LabStatus:
        """What there is and what runs.

        Raises:
            ConfigurationError: apt on this machine does not know a package the lab is made of.
        """
        running = self.attach()
        return LabStatus(
            xen=self.release.xen,
            folder=self.cache.root,
            missing=self._missing(),
            running=running.xen if running else "",
            ssh_port=running.ssh_port if running else None,
        )

    def _missing(self) -> tuple[str, ...]:
        """What a build would make or install."""
        packages = missing_build_packages()
        if packages:
            return packages
        layers = self._layers()
        snapshot = snapshot_layer(layers)
        return tuple(layer.name for layer in (*layers.all, snapshot) if not self.cache.has(layer))

    def _check_age(self) -> None:
        """Whether the running lab is what a build would make now."""
        state = self._state()
        if state is None or state.snapshot != str(snapshot_layer(self._layers())):
            raise InfrastructureError(
                f"the nested Xen that is running is another one than Xen {self.release.xen} of this source",
                mend="pvhck lab xen down",
            )

    def _layers(self) -> Layers:
        return current_layers(self.release, self.cache)

    def _machine(self, state: _State) -> qemu.Machine:
        return qemu.Machine(self.cache.run_folder, self.cache.root / state.dom0, state.ssh_port)

    def _running(self, state: _State, process: qemu.Process, dom0: Dom0) -> RunningLab:
        return RunningLab(
            state.xen,
            self._machine(state),
            process,
            dom0,
            store=self.cache.root / state.store,
            start_again=lambda: self._start(state, patience_s=_QUIT_S)[0],
        )

    def _start(self, state: _State, *, patience_s: float = 0) -> tuple[qemu.Process, Dom0]:
        """Start QEMU from the snapshot, and note for later calls which one it is."""
        process, dom0 = start_from_snapshot(
            self._machine(state),
            cache=self.cache,
            snapshot=self.cache.root / state.snapshot,
            ends_with_us=state.ends_with_us,
            patience_s=patience_s,
        )
        now = replace(state, pid=process.pid, started=process.started)
        (self.cache.run_folder / _STATE).write_text(json.dumps(asdict(now)))
        return process, dom0

    def _state(self) -> _State | None:
        try:
            return _State(**json.loads((self.cache.run_folder / _STATE).read_text()))
        except (OSError, ValueError, TypeError):
            return None


# -- pvhck lab xen ...


def lab_build(xen: str, progress: Progress) -> None:
    """``pvhck lab xen build``."""
    XenLab(xen).build(progress)
    progress(f"the nested lab with Xen {xen} is built")


def lab_up(xen: str, progress: Progress) -> RunningLab:
    """``pvhck lab xen up``: builds if need be; stays until ``down``."""
    lab = XenLab(xen)
    if not lab.status().built:
        lab.build(progress)
    running = lab.up(ends_with_us=False)
    running.write_hosts_ini(lab.cache.run_folder / "hosts.ini")
    progress(f"nested Xen {xen} answers; pvhck run --hosts {lab.cache.run_folder / 'hosts.ini'}")
    return running


def lab_down(progress: Progress) -> None:
    """``pvhck lab xen down``."""
    progress("ended" if XenLab().down() else "no nested Xen was running")


def lab_ssh(*command: str) -> list[str]:
    """``pvhck lab xen ssh``: the command line to execute.

    Raises:
        ConfigurationError: no lab is running.
    """
    running = XenLab().attach()
    if running is None:
        raise ConfigurationError("no nested Xen is running here", mend="pvhck lab xen up")
    return running.ssh_argv(*command)


def lab_status(xen: str) -> tuple[str, ...]:
    """``pvhck lab xen status``: lines for people."""
    return XenLab(xen).status().lines()


def lab_demo(xen: str, progress: Progress, job: Callable[[Path], int]) -> int:
    """``pvhck lab xen demo``: run ``job`` with the lab's hosts.ini; gives what the job gives."""
    lab = XenLab(xen)
    with lab.session(progress) as running:
        return job(running.write_hosts_ini(lab.cache.run_folder / "hosts.ini"))
