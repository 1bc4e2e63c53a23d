"""A simulated guest as the module is to see it: its answers become a ``GuestState``, its files real files."""

from __future__ import annotations

import base64
import dataclasses
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pwsh_state import GuestState
from pwsh_windows import Windows

from harness.guest.transfer import make_iso

sys.path.append(str(Path(__file__).parents[1] / "sim"))  # the bench of the simulated guest's own tests
from guest_machine import Bench, bench

from harness.model import Arch
from harness.operations import PnpDevice
from harness.simlab.guest.system import System

__all__ = ["MODELS", "OLD_MODELS", "Model", "model", "state_of"]

_OLD = {"os": "Windows 7 (simulated)", "arch": Arch.X86, "memory_mib": 1024}
_SERVICES = (
    "xenbus", "xenfilt", "xenbus_monitor", "xeniface", "xenagent", "xenvif", "xennet", "xenvbd", "xendisk",
    "disk", "WinRM", "EventLog",
)  # fmt: skip


def state_of(system: System) -> GuestState:
    """All that can be asked of a simulated guest: its own answers, and its folder of xenstore."""
    ops, machine = system.operations, system.life.machine
    home = f"/local/domain/{machine.domid}"
    nodes = {home: ""} | {path: value for path, value, _ in machine.store.walk(home)}
    relative = {path.removeprefix(f"{home}/"): value for path, value in nodes.items() if path != home}
    devices = ops.pnp_devices(prefix="")
    return GuestState(
        system=ops.system_facts(),
        security=ops.security_facts(),
        memory=ops.memory(),
        devices=devices,
        services=ops.services(names=_SERVICES),
        packages=ops.driver_packages(),
        certificates=ops.certificates(store="Root") + ops.certificates(store="TrustedPublisher"),
        pending=ops.pending_reboots(),
        adapters=ops.network_adapters(),
        disks=ops.disks(),
        volumes=ops.volumes(),
        events=ops.events_since(record=0, limit=10_000),
        xenstore=nodes | relative if _serves_xenstore(devices) else None,
    )


def _serves_xenstore(devices: tuple[PnpDevice, ...]) -> bool:
    return any("DEV_IFACE" in device.instance_id and device.problem == 0 for device in devices)


@dataclasses.dataclass(frozen=True)
class Model:
    """A running simulated guest. ``jobs`` are by what became of them, ``target`` a PV disk with a pattern."""

    bench: Bench
    jobs: dict[str, str]
    target: int | None

    def state(self) -> GuestState:
        """All that can be asked of it."""
        return state_of(self.bench.system)

    def put(self, windows: Windows) -> GuestState:
        """Make a Windows of the stubs look like it, files, disks, CD and jobs as well."""
        for name in ("Windows", "ProgramData"):
            shutil.rmtree(windows.folder / name, ignore_errors=True)  # another model's dumps and jobs
        state = windows.put(self.state())
        self._put_cd(windows)
        shutil.copytree(self.bench.system.files.real("C:\\"), windows.folder, dirs_exist_ok=True)
        self._put_exit_codes(windows.folder / "ProgramData" / "pvhck" / "jobs")
        for number, disk in self.bench.system.storage.numbered():
            shutil.copyfile(disk.file, windows.folder / "disks" / str(number))
        return state

    def _put_exit_codes(self, folder: Path) -> None:
        for job in self.jobs.values():
            status = self.bench.ops.job_status(job=job)
            if status.exit_code is not None:
                (folder / job / "exit").write_text(str(status.exit_code))

    def _put_cd(self, windows: Windows) -> None:
        """A folder stands for the drive: its files are those the model reads from the image."""
        folder = windows.folder / "cd"
        folder.mkdir(exist_ok=True)
        for file in self.bench.ops.cd_files(label="PVHCK"):
            facts = self.bench.ops.copy_from_cd(label="PVHCK", name=file.path, path="C:\\cd.tmp")
            content = self.bench.ops.read_file(path="C:\\cd.tmp", offset=0, length=facts.size).content
            (folder / file.path).write_bytes(base64.b64decode(content))

    def show_cd(self, windows: Windows, *, really: bool) -> None:
        """The CD drive's letter, or the folder that stands for it: only `cd_files` goes there."""
        path = windows.folder / "state.json"
        state = json.loads(path.read_text())
        for row in state["cim"]["root/cimv2"]["Win32_LogicalDisk"]:
            if row["FileSystem"] == "CDFS":
                row["DeviceID"] = str(windows.folder / "cd") if really else "D:"
        text = json.dumps(state)
        if text != path.read_text():  # the mocks read it anew when it was written
            path.write_text(text)


def _bare(one: Bench) -> None:
    pass


def _half(one: Bench) -> None:
    one.put_build()
    one.sign_for_tests()
    one.install()
    one.reboot()


def _installed(one: Bench) -> None:
    one.install_all()


def _upgrading(one: Bench) -> None:
    one.install_all()
    one.put_build("9.1.0.43")
    one.install(version="9.1.0.43")


def _crashed(one: Bench) -> None:
    one.install_all()
    one.guest.nmi()
    one.box.await_stop()
    one.guest.cut()
    one.start()


def _uninstalled(one: Bench) -> None:
    one.install_all()
    for package in one.ops.driver_packages():
        if package.original != "xennet.inf":
            one.run(one.ops.uninstall_package(published=package.published).job)


MODELS: dict[str, tuple[Callable[[Bench], None], tuple[str, ...], dict[str, Any]]] = {
    "bare": (_bare, (), {}),
    "one reboot to go": (_half, (), {}),
    "installed": (_installed, (), {}),
    "upgrading": (_upgrading, (), {}),
    "crashed": (_crashed, (), {}),
    "code 10": (_installed, ("device-code-10:xenvif", "version-mismatch:xenvbd"), {}),
    "no xenstore, no network": (_installed, ("device-code-39:xeniface", "network-lost"), {}),
    "uninstalled but for the reboot": (_uninstalled, (), {}),
}
OLD_MODELS: dict[str, tuple[Callable[[Bench], None], tuple[str, ...], dict[str, Any]]] = {
    "old and bare": (_bare, (), _OLD),
    "old and half": (_half, (), _OLD),
    "old and crashed": (_crashed, (), _OLD),
}
_DATA_DISK = ("xvdg", 51808, 6, 1 << 20)


@contextmanager
def model(folder: Path, name: str) -> Iterator[Model]:
    """One of ``MODELS``, running, with a data disk, a CD and jobs."""
    prepare, faults, changes = (MODELS | OLD_MODELS)[name]
    with ExitStack() as stack:
        one = stack.enter_context(bench(folder, *faults, **changes))
        data = one.add_disk(*_DATA_DISK)
        (folder / "file").write_text("on the CD")
        make_iso({"a.txt": folder / "file", "Größe.txt": folder / "file"}, folder / "cd.iso")
        one.disks[1] = dataclasses.replace(one.disks[1], file=folder / "cd.iso")
        one.start()
        lost = one.ops.start_tool(path="iperf3", arguments=("-c", "x", "-t", "99999", "-J")).job
        prepare(one)
        if one.ops.job_status(job=lost).state == "running":
            one.reboot()
        ended = one.ops.start_tool(path="iperf3", arguments=("--version",)).job
        one.run(ended)
        target = 6 if any(disk.target == 6 for disk in one.ops.disks()) else None
        if target is not None:
            one.ops.write_pattern(target=target, seed=1, blocks=4, block_size=512)
        data.write_bytes(data.read_bytes().ljust(4 * 512, b"\0"))
        one.settle()
        yield Model(one, {"ended": ended, "lost": lost}, target)
