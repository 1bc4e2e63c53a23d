"""The booted dom0 as a snapshot in QEMU's images: made once, copied and loaded at each start."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.errors import CommandFailed, CommandTimedOut
from harness.xenlab import qemu
from harness.xenlab.build import Layers
from harness.xenlab.cache import Cache, Layer, file_digest, key_of
from harness.xenlab.dom0 import PRIVATE_KEY
from harness.xenlab.shell import run
from harness.xenlab.sshclient import ssh_run, write_known_hosts

__all__ = ["Dom0", "make_snapshot", "snapshot_layer", "start_from_snapshot"]

_KNOWN_HOSTS = "known_hosts"
_NAME = "ready"
_BOOT_S = 600
_LOAD_S = 120
# dom0-start.sh makes the file when everything runs
_BOOTED = "test -e /run/lab-started && xl list && virsh -c xen:///system version"


@dataclass(frozen=True)
class Dom0:
    """The way into a running dom0."""

    port: int
    key_file: Path
    known_hosts: Path

    @classmethod
    def of(cls, machine: qemu.Machine) -> Dom0:
        """Of a machine that is started or about to be; its host key is written down where clients read it."""
        known_hosts = machine.folder / _KNOWN_HOSTS
        write_known_hosts(known_hosts, host_key=machine.boot_files / "host_key.pub", port=machine.ssh_port)
        return cls(machine.ssh_port, machine.boot_files / PRIVATE_KEY, known_hosts)

    def run(self, script: str, *, limit_s: float = 60.0) -> str:
        """Run a shell script there and give its output.

        Raises:
            CommandFailed, CommandTimedOut: as ``harness.xenlab.shell.run``.
        """
        return ssh_run(
            port=self.port,
            key_file=self.key_file,
            known_hosts=self.known_hosts,
            script=script,
            limit_s=limit_s,
        )

    def set_clock(self) -> None:
        """Set dom0's clock, and by it Xen's, to ours: after a snapshot it stands where it was made."""
        self.run(f"date -u -s @{time.time():.0f} >/dev/null")

    def wait_for(self, script: str, *, subject: str, seconds: float) -> str:
        """Run a script again and again until it succeeds; gives its output."""

        def probe() -> Done[str] | NotYet:
            try:
                return Done(self.run(script, limit_s=30))
            except (CommandFailed, CommandTimedOut) as error:
                return NotYet(str(error))

        return wait_until(probe, subject=subject, deadline=Deadline.after(seconds), interval_s=0.25)


def snapshot_layer(layers: Layers) -> Layer:
    """The layer that ``make_snapshot`` fills: a snapshot fits one QEMU and one command line."""
    version = run(["qemu-system-x86_64", "--version"])
    sources = file_digest(Path(__file__), Path(qemu.__file__))
    return Layer("snapshot", key_of(str(layers.dom0), str(layers.store), version, sources))


def make_snapshot(folder: Path, *, cache: Cache, layers: Layers, progress: Callable[[str], None]) -> None:
    """Boot dom0 on new overlays in ``folder``: ``root.qcow2`` and ``store.qcow2`` with the snapshot."""
    lock = cache.qemu_lock()
    try:
        for name, layer in (("root", layers.dom0), ("store", layers.store)):
            raw = "dom0.raw" if name == "root" else "store.raw"
            # relative, so that the images can be copied to the run folder beside
            backing = f"../{layer}/{raw}"
            run(
                ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", backing, f"{name}.qcow2"],
                cwd=folder,
            )
        machine = qemu.Machine(folder, cache.folder(layers.dom0), qemu.free_port())
        process = qemu.start(machine, lock, snapshot=None, ends_with_us=True)
        try:
            dom0 = Dom0.of(machine)
            progress("booting Xen and dom0")
            dom0.wait_for(_BOOTED, subject="dom0 has booted and xl answers", seconds=_BOOT_S)
            dom0.run("sync; echo 3 >/proc/sys/vm/drop_caches")
            progress("saving the snapshot")
            with qemu.Monitor(machine.socket) as monitor:
                monitor.save_snapshot(_NAME)
                monitor.quit()
            process.wait_gone(60)
        finally:
            process.kill()
            process.wait_gone(30)
    finally:
        lock.close()
    for name in ("qmp.sock", "serial.log", "qemu.log", _KNOWN_HOSTS):
        (folder / name).unlink(missing_ok=True)


def start_from_snapshot(
    machine: qemu.Machine, *, cache: Cache, snapshot: Path, ends_with_us: bool, patience_s: float = 0
) -> tuple[qemu.Process, Dom0]:
    """Copy the snapshot's images into the machine's folder and start QEMU from them; dom0 has our time.

    ``snapshot`` is the folder that ``make_snapshot`` filled; ``patience_s`` is how long one that is
    ending is waited for.

    Raises:
        InfrastructureError: another lab runs, or QEMU does not start.
    """
    lock = cache.qemu_lock(patience_s=patience_s)
    try:
        for name in ("root.qcow2", "store.qcow2"):
            run(["cp", "--reflink=auto", "--sparse=always", snapshot / name, machine.folder / name])
        process = qemu.start(machine, lock, snapshot=_NAME, ends_with_us=ends_with_us)
    finally:
        lock.close()  # QEMU holds it from now on
    dom0 = Dom0.of(machine)
    try:
        _settle(dom0)
    except BaseException:
        process.kill()
        raise
    return process, dom0


def _settle(dom0: Dom0) -> None:
    """Wait until dom0 answers after a snapshot was loaded, and set its clock."""
    dom0.wait_for("xl list", subject="xl list on the nested host", seconds=_LOAD_S)
    dom0.set_clock()
