"""The lab the contract suites run on: simulated, or real Xen nested in QEMU; the same to the tests."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from contract_record import Recorder, recorded

from harness.guest.guest import Guest, GuestState, Login
from harness.guest.provision import make_guest, remove_guest
from harness.guest.transfer import FileServer
from harness.host.area import RunArea, leftovers, sweep
from harness.host.domain import DiskSpec, DomainSpec
from harness.host.host import Host
from harness.host.sshlogin import Credentials
from harness.install import prepare_guest
from harness.lab import GuestTemplate, HostKind, HostSpec, Lab, WinRmTransport, load_lab, resolve_secret
from harness.lab.profile import InstallParams
from harness.model import Arch, GuestKind, ToolstackName, XenVersion
from harness.package import load_build
from harness.package.synthetic import make_build
from harness.simlab import SimLab
from harness.xenlab.lab import XenLab

__all__ = ["SIMULATED_ROWS", "STILL_MIB", "ContractLab", "Row", "real_lab", "real_rows", "simulated_lab"]

STILL_MIB = 32
_BOOT_S = 300


@dataclass(frozen=True)
class Row:
    """A toolstack on a version of Xen, and what it can and does there."""

    toolstack: ToolstackName
    version: XenVersion

    def __str__(self) -> str:
        return f"{self.toolstack}-{self.version}"

    @property
    def program(self) -> str:
        """What its commands begin with."""
        return self.toolstack.value

    @property
    def has_screens(self) -> bool:
        """Whether it can ask QEMU for the screen."""
        return self.toolstack is not ToolstackName.XM and self.version >= XenVersion(4, 8)

    def since(self, xl: str) -> bool:
        """Whether this is xl of that version or later."""
        major, minor = (int(part) for part in xl.split("."))
        return self.toolstack is ToolstackName.XL and self.version >= XenVersion(major, minor)


def _rows(toolstack: ToolstackName, *versions: str) -> tuple[Row, ...]:
    return tuple(
        Row(toolstack, XenVersion(*(int(part) for part in version.split(".")))) for version in versions
    )


# One row on each side of every difference that harness.host.toolstack.quirks has.
SIMULATED_ROWS = (
    *_rows(ToolstackName.XL, "4.17", "4.20", "4.14", "4.12", "4.9", "4.7", "4.6", "4.4", "4.2", "4.1"),
    *_rows(ToolstackName.XM, "4.0", "3.4"),
    *_rows(ToolstackName.LIBVIRT, "4.17", "4.6"),
)


def real_rows(xen: str) -> tuple[Row, ...]:
    """What there is on the nested lab with that version of Xen."""
    return (*_rows(ToolstackName.XL, xen), *_rows(ToolstackName.LIBVIRT, xen))


@dataclass
class ContractLab:
    """A host with a run's area on it, and guests that are shared as long as they are well."""

    kind: str  # "simulator" or "real Xen"
    row: Row
    host: Host
    area: RunArea
    bare_template: GuestTemplate
    full_template: GuestTemplate
    login: Callable[[GuestTemplate], Login]
    prepare: Callable[[Guest], None]
    recorder: Recorder
    folder: Path  # on this machine
    warnings: list[str] = field(default_factory=list)  # of the channels to its guests
    _number: int = 0
    _guests: dict[str, Guest] = field(default_factory=dict)

    @property
    def real(self) -> bool:
        return self.kind != "simulator"

    def bare(self) -> Guest:
        """A booted guest as its template is, without PV drivers."""
        return self._kept("bare", self.bare_template, lambda guest: None)

    def full(self) -> Guest:
        """A booted guest with all five drivers."""
        return self._kept("full", self.full_template, self.prepare)

    def spoil(self, guest: Guest) -> None:
        """Take a guest away: the next test gets a fresh one."""
        self._guests = {key: kept for key, kept in self._guests.items() if kept is not guest}
        remove_guest(guest, self.area)

    def spoil_all(self) -> None:
        """The next test gets fresh guests, whatever these have come to."""
        for guest in self._guests.values():
            guest.break_()

    def scratch(self, name: str) -> str:
        """A path in a guest for a file of a test."""
        return f"/var/tmp/pvhck/{name}" if self.real else f"C:\\pvhck\\{name}"

    def number(self) -> int:
        self._number += 1
        return self._number

    def name(self) -> str:
        """A name for a domain of this run."""
        return f"pvhck-{self.area.run_id}-{self.number()}"

    def still(self, **changes: Any) -> DomainSpec:
        """A small domain with an empty disk: nothing ever runs in it."""
        name = changes.pop("name", None) or self.name()
        disk = self.area.path(f"{name}.raw")
        self.host.shell.check(["truncate", "-s", "16M", disk])
        fields: dict[str, Any] = {
            "name": name,
            "memory_mib": STILL_MIB,
            "vcpus": 2,
            "disks": (DiskSpec(disk, "hda"), DiskSpec("", "hdc", cdrom=True)),
            "nics": (),
            "console_log": self.area.path(f"{name}.console"),
        }
        return DomainSpec(**(fields | changes))

    @contextlib.contextmanager
    def files(self) -> Iterator[FileServer]:
        with FileServer(self.host.spec.controller, towards=self.host.spec.address) as server:
            yield server

    def close(self) -> None:
        for guest in tuple(self._guests.values()):
            self.spoil(guest)
        left = leftovers(self.host.shell, self.host.toolstack, self.area.run_id)
        assert not left, f"the tests left on the host: {[str(item) for item in left]}"

    def _kept(self, key: str, template: GuestTemplate, prepare: Callable[[Guest], None]) -> Guest:
        kept = self._guests.get(key)
        if kept is not None and _is_well(kept):
            return kept
        if kept is not None:
            self.spoil(kept)
        guest = make_guest(
            self.host,
            self.area,
            template,
            self.number(),
            self.login(template),
            report=lambda _: None,
            warn=self.warnings.append,
        )
        self._guests[key] = guest
        _record_operations(guest, self.recorder)
        guest.start()
        guest.wait_ready(guest.deadline(_BOOT_S))
        prepare(guest)
        guest.state = GuestState.VERIFIED
        return guest


def _is_well(guest: Guest) -> bool:
    domain = guest.host.toolstack.find(guest.name)
    return domain is not None and not domain.paused and guest.state is GuestState.VERIFIED


def _record_operations(guest: Guest, recorder: Recorder) -> None:
    """Have every operation of this guest noted under the test that asks for it."""
    channel = guest.channel

    def noted() -> Any:
        return recorded(channel(), "channel", recorder, ("call", "close"))

    guest.channel = noted  # type: ignore[method-assign]


@contextlib.contextmanager
def _lab(host: Host, recorder: Recorder, **parts: Any) -> Iterator[ContractLab]:
    run_id = f"contract-{time.strftime('%H%M%S')}-{secrets.token_hex(2)}"
    with host:
        sweep(host.shell, host.toolstack, lambda _: None)
        host._chosen = replace(host.chosen, toolstack=recorded(host.toolstack, "toolstack", recorder))
        with RunArea(host.shell, run_id) as area:
            lab = ContractLab(host=host, area=area, recorder=recorder, **parts)
            try:
                yield lab
            finally:
                lab.close()


@contextlib.contextmanager
def simulated_lab(row: Row, folder: Path, recorder: Recorder) -> Iterator[ContractLab]:
    template = GuestTemplate(
        "win10",
        GuestKind.SIMULATED,
        "templates/win10.qcow2",
        "Windows 10 (simulated)",
        Arch.X64,
        memory_mib=512,
        vcpus=1,
        transport=WinRmTransport.HTTPS_NTLM,
    )
    spec = HostSpec("sim", HostKind.SIMULATED, "", memory_mib=4096, toolstack=row.toolstack, xen=row.version)
    lab = Lab(folder / "hosts.ini", {"sim": spec}, {"win10": template})
    build = load_build(make_build(folder / "build", version="9.1.0.1"))
    with SimLab(lab, folder=folder / "lab", seed=1) as sim:
        host = Host(sim.lab.hosts["sim"], Credentials(lambda ref: ""))
        with _lab(
            host,
            recorder,
            kind="simulator",
            row=row,
            folder=folder,
            bare_template=template,
            full_template=template,
            login=lambda template: Login(template.user, sim.passwords[template.name]),
            prepare=lambda guest: prepare_guest(guest, build, InstallParams()),
        ) as made:
            yield made


@contextlib.contextmanager
def real_lab(row: Row, folder: Path, recorder: Recorder) -> Iterator[ContractLab]:
    with XenLab(str(row.version)).session(progress=print) as running:
        lab = load_lab(running.write_hosts_ini(folder / "hosts.ini"))
        (spec,) = (replace(spec, toolstack=row.toolstack) for spec in lab.hosts.values())

        def login(template: GuestTemplate) -> Login:
            assert template.secret is not None
            return Login(template.user, resolve_secret(template.secret).reveal())

        with _lab(
            Host(spec, Credentials(lambda ref: resolve_secret(ref).reveal())),
            recorder,
            kind="real Xen",
            row=row,
            folder=folder,
            bare_template=lab.templates["standin-bare"],
            full_template=lab.templates["standin-all"],
            login=login,
            prepare=lambda guest: None,
        ) as made:
            yield made
