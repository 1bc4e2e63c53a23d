"""A ``Machine`` for tests of the simulated guest: a domain without a host around it."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.lab import GuestTemplate, NicModel, WinRmTransport
from harness.model import INSTALL_ORDER, Arch, DriverName, GuestKind, XenVersion
from harness.operations import GuestOperations, JobStatus
from harness.package.synthetic import CERTIFICATE, Defect, make_build
from harness.simlab.clock import Clock, Pace
from harness.simlab.faults import FaultScope, parse_faults
from harness.simlab.guest import blank_disk, make_guest
from harness.simlab.guest.system import System
from harness.simlab.host.backends import serve_frontends
from harness.simlab.host.layout import DiskPaths, DomainFacts, NicPaths, disk_nodes, domain_nodes, nic_nodes
from harness.simlab.host.leases import AddressRange
from harness.simlab.host.store import Store
from harness.simlab.machine import MachineDisk, MachineNic, StopReason
from harness.winrmd import ServerCertificate

__all__ = ["MAC", "PASSWORD", "Bench", "Box", "bench", "template"]

MAC = "00:16:3e:0a:0b:0c"
PASSWORD = "not a secret"
_MIB = 1024
_WAIT_S = 10
_CERTIFICATE = ServerCertificate.make("test")

_SYSTEM = MachineDisk("hda", 768, 0, None, 40 << 30, emulated=True, pv=True)
_CD = MachineDisk("hdc", 5632, 2, None, 0, emulated=True, pv=False, cdrom=True, read_only=True)


def template(**changes: object) -> GuestTemplate:
    plain = GuestTemplate(
        "win10",
        GuestKind.SIMULATED,
        "templates/win10.qcow2",
        "Windows 10 (simulated)",
        Arch.X64,
        transport=WinRmTransport.HTTP_BASIC,
    )
    return replace(plain, **changes)


class Box:
    """One life of a domain."""

    def __init__(self, bench: Bench, domid: int) -> None:
        self.bench = bench
        self.name = "win1"
        self.domid = domid
        self.maxmem_kib = bench.template.memory_mib * _MIB
        self.videoram_kib = 16 * _MIB
        self.vcpus = 2
        self.store = bench.store
        self.clock = bench.clock
        self.pace = bench.pace
        self.seed = 7
        self.paused = False
        self.memory = self.maxmem_kib
        self.most_memory = self.maxmem_kib
        self.callback = False
        self.stopped: StopReason | None = None
        self.host_ports = frozenset({5201})
        self._unplugged = (False, False)
        self._changed = threading.Condition()

    @property
    def disks(self) -> tuple[MachineDisk, ...]:
        gone = self._unplugged[0]
        return tuple(
            replace(disk, emulated=disk.emulated and (disk.cdrom or not gone)) for disk in self.bench.disks
        )

    @property
    def nics(self) -> tuple[MachineNic, ...]:
        gone = self._unplugged[1]
        return tuple(replace(nic, model=None if gone else nic.model) for nic in self.bench.nics)

    def private_folder(self) -> Path:
        return self.bench.folder / "private"

    def lease(self, mac: str) -> str:
        known = self.bench.addresses
        if mac not in known:
            known[mac] = self.bench.network.take(lambda: True, lambda: None)
        return known[mac]

    def console(self, text: str) -> None:
        self.bench.console += text

    def hypervisor_line(self, text: str) -> None:
        self.bench.lines.append(text)

    def set_memory(self, kib: int) -> bool:
        if kib > self.most_memory:
            return False
        self.memory = kib
        return True

    def set_callback(self, *, active: bool) -> None:
        self.callback = active

    def unplug(self, *, disks: bool, nics: bool) -> None:
        self._unplugged = (self._unplugged[0] or disks, self._unplugged[1] or nics)

    def stop(self, reason: StopReason) -> None:
        with self._changed:
            self.stopped = reason
            self._changed.notify_all()

    # -- for tests

    def await_stop(self) -> StopReason:
        with self._changed:
            assert self._changed.wait_for(lambda: self.stopped is not None, _WAIT_S), "the guest runs on"
        assert self.stopped is not None
        return self.stopped

    def key(self, path: str) -> str:
        return self.store.get(f"/local/domain/{self.domid}/{path}")

    def ask(self, request: str) -> None:
        self.store.write(f"/local/domain/{self.domid}/control/shutdown", request)

    def target(self, mib: int) -> None:
        """xl mem-set: the target is that much less the video memory."""
        value = mib * _MIB - self.videoram_kib
        self.store.write(f"/local/domain/{self.domid}/memory/target", str(value))


@dataclass
class Bench:
    """A guest, its disks, and the lives of its domain one after the other."""

    folder: Path
    template: GuestTemplate
    faults: tuple[str, ...]
    clock: Clock
    pace: Pace
    store: Store
    disks: list[MachineDisk]
    nics: list[MachineNic]
    network: AddressRange
    console: str = ""
    lines: list[str] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)
    boxes: list[Box] = field(default_factory=list)
    _served: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        faults = parse_faults(self.faults, FaultScope.GUEST, "template win10")
        self.guest = make_guest(self.template, PASSWORD, faults, 1, _CERTIFICATE)

    @property
    def box(self) -> Box:
        return self.boxes[-1]

    @property
    def system(self) -> System:
        """The running system; its parts are looked at, never changed."""
        found = self.guest._system
        assert found is not None
        return found

    @property
    def ops(self) -> GuestOperations:
        return self.system.operations

    # -- lives

    def start(self) -> Box:
        """A new domain; returns when services are up and WinRM listens, or should."""
        box = self.make_box()
        self.guest.power_on(box)
        self.await_up()
        return box

    def make_box(self) -> Box:
        box = Box(self, len(self.boxes) + 1)
        self.boxes.append(box)
        self._write_nodes(box)
        return box

    def await_up(self) -> None:
        self.until(lambda: "services are running" in self.console, "services are running")
        self.console = self.console.replace("services are running", "")
        self.settle()

    def settle(self, seconds: float = Pace.connect) -> None:
        """Until all that was queued by now, or is due in so many seconds of pace, has happened."""
        done = threading.Event()
        life = self.guest._life
        life.after(seconds, lambda: life.post(done.set))
        assert done.wait(_WAIT_S)

    def reboot(self) -> Box:
        """A reboot by the guest itself, as `shutdown /r` does it."""
        self.ops.restart()
        assert self.box.await_stop() is StopReason.REBOOT
        self.guest.cut()
        return self.start()

    def until(self, condition: Callable[[], bool], subject: str) -> None:
        def probe() -> Done[None] | NotYet:
            return Done(None) if condition() else NotYet("not yet")

        wait_until(probe, subject=subject, deadline=Deadline.after(_WAIT_S), interval_s=0.005)

    # -- devices

    def add_disk(self, name: str, number: int, target: int, size: int) -> Path:
        path = self.folder / f"{name}.img"
        path.write_bytes(b"")
        self.disks.append(MachineDisk(name, number, target, path, size, emulated=False, pv=True))
        return path

    def plug_disk(self, disk: MachineDisk) -> None:
        paths = DiskPaths(self.box.domid, disk.number, "qdisk")
        detail = {"params": "", "mode": "w", "device-type": "cdrom" if disk.cdrom else "disk", "node": ""}
        self._put(disk_nodes(paths, disk.vdev, disk.size, detail))

    def plug_nic(self, nic: MachineNic) -> None:
        paths = NicPaths(self.box.domid, nic.index)
        self._put(nic_nodes(paths, nic.mac, "xenbr0", emulated=nic.model is not None))

    def take_back(self, path: str) -> None:
        """What libxl does to a back end for a detach."""
        back = self.box.key(f"{path}/backend")
        self.store.write(f"{back}/online", "0")
        self.store.write(f"{back}/state", "5")
        self.guest.devices_changed()

    # -- drivers

    def put_build(self, version: str = "9.1.0.42", defect: Defect | None = None, **more: object) -> Path:
        """A synthetic build on drive C:, with its certificate believed and test signing on after a boot."""
        build = _made_build(version, defect, **more)
        inside = self.system.files.real("C:\\build") / version
        for file in build.rglob("*"):
            if file.is_file():
                target = inside / file.relative_to(build)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read_bytes())
        for store in ("Root", "TrustedPublisher"):
            self.ops.add_certificate(path=f"C:\\build\\{version}\\{CERTIFICATE}", store=store)
        return build

    def install(self, *names: DriverName, version: str = "9.1.0.42") -> list[JobStatus]:
        arch = self.template.arch
        ended = []
        for name in names or INSTALL_ORDER:
            inf = f"C:\\build\\{version}\\{name}\\{arch}\\{name}.inf"
            ended.append(self.run(self.ops.install_package(inf=inf).job))
        return ended

    def install_all(self, version: str = "9.1.0.42") -> Box:
        """Everything, and the two reboots a fresh guest takes."""
        self.put_build(version)
        self.sign_for_tests()
        self.install(version=version)
        self.reboot()
        return self.reboot()

    def sign_for_tests(self) -> Box:
        """Test signing on, and the reboot it takes."""
        self.ops.set_test_signing(enabled=True)
        return self.reboot()

    def run(self, job: str) -> JobStatus:
        self.until(lambda: self.ops.job_status(job=job).state != "running", f"job {job} ends")
        return self.ops.job_status(job=job)

    def problems(self, prefix: str = "") -> dict[str, int]:
        """Problem codes of the PV tree by the middle of their ids: VIF, NET, platform."""
        found = {}
        for device in self.ops.pnp_devices(prefix=prefix):
            for mark, name in (
                ("VEN_5853", "BUS"), ("DEV_VIF", "VIF"), ("DEV_VBD", "VBD"),
                ("DEV_IFACE", "IFACE"), ("DEV_NET", "NET"),
            ):  # fmt: skip
                if mark in device.instance_id:
                    found[name] = device.problem
        return found

    def close(self) -> None:
        self.guest.cut()
        life = self.guest._life
        if life is not None:
            assert life.ended.wait(_WAIT_S), "the guest's thread did not end"
        self._served()
        self.network.close()
        self.clock.close()

    # -- inner parts

    def _write_nodes(self, box: Box) -> None:
        self._served()
        facts = DomainFacts(
            box.domid, box.name, "00000000-0000-4000-8000-000000000001", box.maxmem_kib,
            box.maxmem_kib - box.videoram_kib, box.videoram_kib, box.vcpus, box.vcpus, "seabios", 1, 0.0,
            XenVersion(4, 17),
        )  # fmt: skip
        self._put(domain_nodes(facts))
        for disk in self.disks:
            self.plug_disk(disk)
        for nic in self.nics:
            self.plug_nic(nic)
        self._served = serve_frontends(self.store, box.domid)

    def _put(self, nodes: Iterator[tuple[str, str, str]]) -> None:
        for path, value, permissions in nodes:
            self.store.put(path, value, permissions)


@cache
def _made_build(version: str, defect: Defect | None, **more: object) -> Path:
    # makes its own folder once, for all tests of a process
    folder = Path(tempfile.mkdtemp(prefix="pvhck-build-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_build(folder / "build", version=version, defect=defect, **more)


@contextmanager
def bench(
    folder: Path, *faults: str, nic: NicModel = NicModel.E1000, factor: float = 0.1, **changes: object
) -> Iterator[Bench]:
    """A guest that is off, with a system disk, a CD drive and an interface."""
    made = template(**changes)
    disk = folder / "system.qcow2"
    disk.write_bytes(blank_disk(made, 1))
    (folder / "private").mkdir()
    clock = Clock()
    one = Bench(
        folder=folder,
        template=made,
        faults=faults,
        clock=clock,
        pace=Pace(factor=factor),
        store=Store(clock),
        disks=[replace(_SYSTEM, file=disk), _CD],
        nics=[MachineNic(0, MAC, None if nic is NicModel.NONE else nic.value)],
        network=AddressRange(),
    )
    try:
        yield one
    finally:
        one.close()
