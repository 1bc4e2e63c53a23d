"""What the tests of the simulated host share: a host without SSH, a guest that is only a double."""

from __future__ import annotations

import contextlib
import io
import re
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path

from harness.lab import GuestTemplate, HostKind, HostSpec, Lab
from harness.model import Arch, GuestKind
from harness.simlab.clock import Clock, Pace
from harness.simlab.commands import dom0_commands
from harness.simlab.host.images import Image
from harness.simlab.host.leases import AddressRange
from harness.simlab.host.simhost import LabParts, SimHost
from harness.simlab.host.store import StoreError
from harness.simlab.machine import QCOW2_MAGIC, StopReason
from harness.simlab.shell.process import Process, Processes, Session, Streams, nowhere
from harness.simlab.shell.runner import Shell

FIXTURES = Path(__file__).parents[1] / "fixtures"
STORAGE = "/var/lib/pvhck"
TEMPLATE = f"{STORAGE}/win.qcow2"
MAC = "00:16:3e:00:00:01"
WAIT_S = 20


class DoubleGuest:
    """A guest that remembers what it was told and, with ``pv``, has PV drivers that work."""

    def __init__(self, template: str = "win", *, pv: bool = True, polite: bool = True) -> None:
        self.template = template
        self.pv = pv
        self.polite = polite  # takes requests and lets devices go
        self.calls: list[str] = []
        self.machine = None
        self.changed = threading.Condition()
        self._ends = []

    def _note(self, call: str) -> None:
        with self.changed:
            self.calls.append(call)
            self.changed.notify_all()

    def heard(self, call: str, count: int = 1) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.calls.count(call) >= count, WAIT_S)

    def power_on(self, machine) -> None:
        with contextlib.suppress(StoreError):  # the domain may be gone before it has booted
            self._boot(machine)
        self._note("power_on")

    def resume(self, machine) -> None:
        self._boot(machine)
        self._note("resume")

    def _boot(self, machine) -> None:
        self.machine = machine
        machine.lease(MAC)
        if not self.pv:
            return
        machine.set_callback(active=True)
        root = f"/local/domain/{machine.domid}"
        for kind in ("vbd", "vif"):
            for number in machine.store.children(f"{root}/device/{kind}"):
                for key in {"vbd": ("event-channel", "ring-ref"), "vif": ("tx-ring-ref", "rx-ring-ref")}[
                    kind
                ]:
                    machine.store.write(f"{root}/device/{kind}/{number}/{key}", "8", machine.domid)
                machine.store.write(f"{root}/device/{kind}/{number}/state", "4", machine.domid)
        store = machine.store
        self._ends = [
            store.subscribe(f"{root}/control/shutdown", lambda _: self._asked(machine)),
            store.subscribe(f"{root}/memory/target", lambda _: self._balloon(machine)),
        ]

    def _asked(self, machine) -> None:
        node = f"/local/domain/{machine.domid}/control/shutdown"
        request = machine.store.get(node)
        if not request or not self.polite:
            return
        machine.store.write(node, "", machine.domid)
        reasons = {"reboot": StopReason.REBOOT, "suspend": StopReason.SUSPEND}
        machine.stop(reasons.get(request, StopReason.POWEROFF))

    def _balloon(self, machine) -> None:
        target = machine.store.get(f"/local/domain/{machine.domid}/memory/target")
        if target:
            machine.set_memory(int(target) + machine.videoram_kib)

    def cut(self) -> None:
        self._let_go()
        self._note("cut")

    def _let_go(self) -> None:
        for end in self._ends:
            end()
        self._ends = []

    def pause_changed(self) -> None:
        self._note(f"paused={self.machine.paused}")

    def devices_changed(self) -> None:
        self._note("devices_changed")
        if not (self.pv and self.polite):
            return
        store, root = self.machine.store, f"/local/domain/{self.machine.domid}"
        for kind in ("vbd", "vif"):
            for number in store.children(f"{root}/device/{kind}"):
                front = f"{root}/device/{kind}/{number}"
                back = store.get(f"{store.get(f'{front}/backend')}/state")
                if back == "2":
                    store.write(f"{front}/state", "4", self.machine.domid)
                elif back == "5":
                    store.write(f"{front}/state", "6", self.machine.domid)

    def press_power(self) -> None:
        self._note("press_power")

    def nmi(self) -> None:
        self._note("nmi")
        self._let_go()  # who has crashed takes no requests
        self.machine.stop(StopReason.CRASH)

    def screen(self) -> bytes:
        return b"P6\n1 1\n255\n\x01\x02\x03"


@dataclass(frozen=True)
class Ran:
    rc: int
    out: str
    err: str


@dataclass
class Dom0:
    """A simulated host whose commands are run here and now."""

    host: SimHost
    guests: list[DoubleGuest] = field(default_factory=list)
    processes: Processes = field(default_factory=Processes)
    drops: list[str] = field(default_factory=list)

    def process(self, stdin=nowhere, stdout=None, stderr=None) -> Process:
        session = Session(
            self.host, self.processes, dom0_commands(self.host), lambda: self.drops.append("drop")
        )
        return Process(session, ("sh",), Streams(stdin, stdout or io.BytesIO(), stderr or io.BytesIO()), {})

    def run(self, line: str, stdin: bytes = b"") -> Ran:
        out, err = io.BytesIO(), io.BytesIO()
        process = self.process(io.BytesIO(stdin), out, err)
        rc = process.run(lambda process: Shell(process).run(line))
        return Ran(rc, out.getvalue().decode(), err.getvalue().decode())

    def ok(self, line: str) -> str:
        ran = self.run(line)
        assert (ran.rc, ran.err) == (0, ""), (line, ran)
        return ran.out

    @contextlib.contextmanager
    def started(self, line: str):
        """A command that runs on meanwhile; killed at the end. Gives its process and what it wrote."""
        out = io.BytesIO()
        process = self.process(stdout=out)
        thread = threading.Thread(target=lambda: process.run(lambda inner: Shell(inner).run(line)))
        thread.start()
        try:
            yield process, out, thread
        finally:
            process.kill()
            thread.join(WAIT_S)
            assert not thread.is_alive(), line

    def create(self, name: str = "win1", **more: object) -> Ran:
        self.ok(f"qemu-img create -q -f qcow2 -F qcow2 -b {TEMPLATE} {STORAGE}/{name}.img")
        self.host.files.write(f"/root/{name}.cfg", config(name, **more))
        return self.run(f"xl create /root/{name}.cfg")

    def await_domains(self, condition) -> None:
        hypervisor = self.host.hypervisor
        assert hypervisor.wait(lambda: condition(hypervisor.domains()), WAIT_S), hypervisor.domains()


def config(name: str = "win1", **more: object) -> str:
    keys = {
        "name": name,
        "builder": "hvm",  # all versions know it, later ones take "type" as well
        "memory": 384,
        "maxmem": 384,
        "vcpus": 1,
        "boot": "c",
        "vga": "none",
        "usb": 0,
        "vnc": 0,
        "serial": f"file:/var/log/xen/con-{name}.log",
        "on_crash": "preserve",
        "disk": [f"{STORAGE}/{name}.img,qcow2,hda,rw"],
        "vif": [f"mac={MAC},bridge=xenbr0,model=e1000"],
        **more,
    }
    return "".join(f"{key} = {_value(value)}\n" for key, value in keys.items())


def _value(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(f'"{item}"' for item in value) + "]"
    return str(value) if isinstance(value, int) else f'"{value}"'


QUICK = Pace(unplug_without_driver=0.05, acknowledge_limit=0.3, linger=0.01)


@contextlib.contextmanager
def dom0(folder: Path, *, faults: tuple[str, ...] = (), guest=DoubleGuest, pace: Pace = QUICK, xen=None):
    spec = HostSpec("sim-a", HostKind.SIMULATED, "", faults=faults, xen=xen, memory_mib=4096)
    clock, network = Clock(), AddressRange()
    guests: list[DoubleGuest] = []

    def make(template: str, _enter: object) -> DoubleGuest:
        guests.append(guest(template))
        return guests[-1]

    host = SimHost(spec, folder, LabParts(clock, pace, 7, network, make))
    real = host.files.real(TEMPLATE)
    real.write_bytes(QCOW2_MAGIC + b"the double's disk")
    host.files.images.record(real, Image("qcow2", 1 << 30, "", "win"))
    made = Dom0(host, guests)
    try:
        yield made
    finally:
        made.processes.close()
        host.lifecycle.close()
        network.close()
        clock.close()


def template(name: str = "win") -> GuestTemplate:
    return GuestTemplate(name, GuestKind.SIMULATED, f"{name}.qcow2", "Windows 10", Arch.X64, memory_mib=256)


def lab(*hosts: HostSpec, templates: tuple[GuestTemplate, ...] = ()) -> Lab:
    return Lab(
        Path("hosts.ini"),
        {host.name: host for host in hosts or (simulated(),)},
        {one.name: one for one in templates or (template(),)},
    )


def simulated(name: str = "sim-a", **more) -> HostSpec:
    return HostSpec(name, HostKind.SIMULATED, "", **more)


def recorded(folder: str, name: str) -> Ran:
    """A recorded command's exit code and output; the two folders were written in two layouts."""
    text = (FIXTURES / folder / f"{name}.txt").read_text()
    _, code, rest = text.split("\n", 2) if text.count("\n") > 1 else (*text.split("\n", 1), "")
    rc = int(re.search(r"-?\d+", code)[0])
    out, _, err = rest.partition("--- stderr\n")
    return Ran(rc, out, err)


_NUMBERS = re.compile(r"(?<![\w:.-])\d+(?:\.\d+)?(?![\w:-])")


def without_numbers(text: str) -> str:
    """Text in which every number, UUID and padding is the same."""
    text = re.sub(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", "UUID", text)
    text = re.sub(r"\d+(?:\.\d+)?", "0", text)
    return re.sub(r"[ \t]+", " ", text)


class Echo:
    """A server on a guest's address that says back what it hears."""

    def __init__(self, address: str, port: int) -> None:
        self._listener = socket.create_server((address, port))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                with sock:
                    while data := sock.recv(1 << 16):
                        sock.sendall(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(WAIT_S)
