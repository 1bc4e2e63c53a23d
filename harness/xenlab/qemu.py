"""The QEMU that carries the nested Xen: its command line, its process, its monitor."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from harness.deadline import Deadline, Done, NotYet, WaitTimedOut, wait_until
from harness.errors import ConfigurationError, InfrastructureError
from harness.xenlab.cache import Lock
from harness.xenlab.dom0 import INIT

__all__ = ["Machine", "Monitor", "Process", "free_port", "machine_argv", "start"]

_XEN_ARGUMENTS = (
    "console=com1 com1=115200,8n1 dom0_mem=2048M,max:2048M dom0_max_vcpus=2 "
    "loglvl=warning guest_loglvl=all conring_size=256k cpuidle=no noreboot spec-ctrl=no"
)
# nothing here is worth protecting from side channels, and under TCG that protection is dear
_LINUX_ARGUMENTS = (
    f"root=LABEL=root ro console=hvc0 quiet init={INIT} "
    "mitigations=off init_on_alloc=0 cryptomgr.notests apparmor=0 audit=0"
)
_SOCKET_PATH_LIMIT = 107  # sun_path, less the final zero: unix(7)


@dataclass(frozen=True)
class Machine:
    """What one QEMU runs on. ``folder`` holds ``root.qcow2``, ``store.qcow2`` and what QEMU writes."""

    folder: Path
    boot_files: Path
    ssh_port: int

    @property
    def socket(self) -> Path:
        """Of the monitor."""
        return self.folder / "qmp.sock"


def machine_argv(machine: Machine, *, snapshot: str | None = None) -> list[str]:
    """QEMU's command line (facts/nested-xen.md, where each choice is explained).

    The CPU must stay ``qemu64``: richer ones crash dom0 or Xen's idle loop. Networks listen on loopback only.
    """
    boot = machine.boot_files
    argv = [
        "qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "qemu64,+svm,+npt",
        "-smp", "2", "-m", "6144",
        "-kernel", str(boot / "xen.elf"), "-append", _XEN_ARGUMENTS,
        "-initrd", f"{_escaped(boot / 'vmlinuz')} {_LINUX_ARGUMENTS},{_escaped(boot / 'initrd.img')}",
    ]  # fmt: skip
    for number, name in enumerate(("root", "store")):
        path = _escaped(machine.folder / f"{name}.qcow2")
        # unsafe: nothing here is to survive a power cut, and flushes cost minutes under TCG
        argv += ["-drive", f"file={path},format=qcow2,if=none,id=d{number},cache=unsafe"]
        argv += ["-device", f"virtio-blk-pci,drive=d{number}"]
    argv += [
        "-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{machine.ssh_port}-10.0.2.9:22",
        "-device", "e1000,netdev=n0",
        "-display", "none", "-serial", f"file:{machine.folder / 'serial.log'}",
        "-qmp", f"unix:{machine.socket},server=on,wait=off",
        "-no-reboot", "-nodefaults",
    ]  # fmt: skip
    return argv if snapshot is None else [*argv, "-loadvm", snapshot]


@dataclass(frozen=True)
class Process:
    """A process, told from a later one with the same id by its start time (clock ticks since boot)."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has this id now; ``started`` is 0 when there is none."""
        return cls(pid, _start_time(pid))

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.started != 0 and _start_time(self.pid) == self.started

    def kill(self) -> None:
        """End it at once."""
        if self.alive:
            os.kill(self.pid, signal.SIGKILL)

    def wait_gone(self, seconds: float) -> bool:
        """Wait for its end; whether it came."""
        try:
            wait_until(
                lambda: NotYet("running") if self.alive else Done(value=True),
                subject=f"process {self.pid} ends",
                deadline=Deadline.after(seconds),
                interval_s=0.1,
            )
        except WaitTimedOut:
            return False
        return True


def start(machine: Machine, lock: Lock, *, snapshot: str | None, ends_with_us: bool) -> Process:
    """Start QEMU; it holds ``lock`` from now on, and ends with this process if asked.

    Raises:
        ConfigurationError: the cache's path is too long for a socket.
        InfrastructureError: it ended at once; its last words are told.
    """
    if len(os.fsencode(machine.socket)) > _SOCKET_PATH_LIMIT:
        raise ConfigurationError(
            f"{machine.socket} is too long for a socket's name", mend="set PVHCK_CACHE to a shorter path"
        )
    argv = machine_argv(machine, snapshot=snapshot)
    if ends_with_us:
        argv = ["setpriv", "--pdeathsig", "KILL", *argv]
    log = machine.folder / "qemu.log"
    child = _spawn(argv, log, lock)
    process = Process.of(child.pid)
    try:
        wait_until(
            lambda: Done(value=True) if machine.socket.exists() else _still(child),
            subject="QEMU opens its monitor",
            deadline=Deadline.after(60),
            interval_s=0.05,
        )
    except (_EndedEarly, WaitTimedOut) as error:
        process.kill()
        words = log.read_text(errors="replace").strip() or "it said nothing"
        raise InfrastructureError(f"QEMU did not start: {words}") from error
    return process


def free_port() -> int:
    """A TCP port of the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Monitor:
    """QEMU's monitor (QMP), for one conversation."""

    def __init__(self, path: Path, *, limit_s: float = 120.0) -> None:
        """Raises InfrastructureError when nobody answers there."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(limit_s)
        try:
            self._socket.connect(str(path))
            self._lines = self._socket.makefile("r", encoding="utf-8")
            self._next()
        except OSError as error:
            self._socket.close()
            raise InfrastructureError(f"QEMU's monitor {path} does not answer: {error}") from error
        self._execute("qmp_capabilities")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def save_snapshot(self, name: str) -> None:
        """Write memory, devices and disks into a snapshot of the images."""
        self._human(f"savevm {name}")

    def stop(self) -> None:
        """Have its processors stand still, as a host that is frozen."""
        self._execute("stop")

    def go_on(self) -> None:
        """Have them run again."""
        self._execute("cont")

    def quit(self) -> None:
        """End QEMU."""
        self._execute("quit")

    def _human(self, line: str) -> None:
        said = self._execute("human-monitor-command", {"command-line": line})
        if said:  # these commands say something only when they fail
            raise InfrastructureError(f"QEMU's monitor, {line}: {said.strip()}")

    def _execute(self, command: str, arguments: dict[str, str] | None = None) -> str:
        request = {"execute": command, "arguments": arguments or {}}
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            while "return" not in (answer := self._next()):
                if "error" in answer:
                    raise InfrastructureError(f"QEMU's monitor, {command}: {answer['error']}")
        except OSError as error:
            raise InfrastructureError(f"QEMU's monitor, {command}: {error}") from error
        return answer["return"] if isinstance(answer["return"], str) else ""

    def _next(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise ConnectionResetError("the connection was closed")
        message: dict[str, Any] = json.loads(line)
        return message


class _EndedEarly(Exception):
    """QEMU is not there any more."""


def _spawn(argv: list[str], log: Path, lock: Lock) -> subprocess.Popen[bytes]:
    """Start from a thread that lives as long as the child.

    The kernel's signal at the parent's death comes when the *thread* that forked ends
    (prctl(2), PR_SET_PDEATHSIG).
    """
    started: list[subprocess.Popen[bytes] | OSError] = []
    ready = threading.Event()

    def keep() -> None:
        try:
            with log.open("wb") as output:
                child = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=(lock.fileno(),),
                    start_new_session=True,  # a Ctrl-C of ours is not meant for it
                )
        except OSError as error:
            started.append(error)
            ready.set()
            return
        started.append(child)
        ready.set()
        child.wait()

    threading.Thread(target=keep, name="qemu", daemon=True).start()
    ready.wait()
    if isinstance(started[0], OSError):
        raise InfrastructureError(f"QEMU cannot be started: {started[0]}") from started[0]
    return started[0]


def _still(child: subprocess.Popen[bytes]) -> NotYet:
    if child.poll() is not None:
        raise _EndedEarly
    return NotYet("no monitor socket")


def _start_time(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] == "Z" else int(fields[19])  # state, and field 22: proc(5)


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")
