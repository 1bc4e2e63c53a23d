"""Plug and Play: which device of the PV tree has which driver, starts or does not, and why.

``scan`` is a pure function of what is installed, plugged in and was loaded at boot; what
follows from a change is done by ``drivers``. Rules: facts/pv-drivers.md 1.1, 1.3, 2.5 and 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.model import Arch, DriverName
from harness.operations import PnpDevice
from harness.simlab.faults import FaultKind, Faults
from harness.simlab.guest.disk import StoredPackage
from harness.simlab.guest.hardware import PLATFORM_IDS, PLATFORM_INSTANCE
from harness.simlab.guest.inf import version_of

__all__ = [
    "AtBoot",
    "Node",
    "Problem",
    "Surroundings",
    "Tree",
    "best",
    "keep_disks",
    "loadable",
    "scan",
    "shown",
    "shown_version",
]


class Problem:
    """Codes of the Configuration Manager (cfg.h, as Device Manager shows them)."""

    NONE = 0
    FAILED_START = 10
    NEED_RESTART = 14
    WILL_BE_REMOVED = 21
    FAILED_INSTALL = 28
    DRIVER_FAILED_LOAD = 39
    UNSIGNED_DRIVER = 52


# Revisions are the contract between the bus and its children (facts/pv-drivers.md 1.1): by the parent's
# version, oldest first. "9.1 branch" and "master" cannot be told apart by version: both are offered (guess).
_REVISIONS: Mapping[str, tuple[tuple[tuple[int, int], tuple[str, ...]], ...]] = {
    "VIF": (((8, 1), ("08000009",)), ((8, 2), ("0800000B",)), ((9, 0), ("0900000A", "0900000B"))),
    "VBD": (((8, 1), ("08000009",)), ((9, 0), ("0900000B",))),
    "IFACE": (((8, 1), ("08000009",)), ((8, 2), ("0800000B",)), ((9, 0), ("0900000B",))),
    "NET": (((8, 1), ("0800000A",)), ((8, 2), ("0800000D",)), ((9, 0), ("09000004", "09000005"))),
}
_PREFIXES = {"citrix": "XS", "xcp-ng": "XN"}
_REBOOT_ASKED_SINCE = 9  # before, a vif whose twin is up just fails to start

_CODES = {
    FaultKind.DEVICE_CODE_28: Problem.FAILED_INSTALL,
    FaultKind.DEVICE_CODE_39: Problem.DRIVER_FAILED_LOAD,
    FaultKind.DEVICE_CODE_10: Problem.FAILED_START,
}


@dataclass
class AtBoot:
    """What was settled when this boot began and stays so until the next.

    ``bus`` is the XENBUS package whose files were loaded, ``vbd`` the XENVBD package that carries
    the system disk; ``no_disks`` and ``no_nics`` say which emulated devices were unplugged.
    """

    test_signing: bool = False
    bus: StoredPackage | None = None
    vbd: StoredPackage | None = None
    no_disks: bool = False
    no_nics: bool = False


@dataclass(frozen=True)
class Surroundings:
    """What there is to be driven. ``vifs`` and ``vbds`` say by number whether an emulated twin is up."""

    arch: Arch
    packages: Sequence[StoredPackage]
    faults: Faults
    boot: AtBoot
    vifs: Mapping[int, bool] = field(default_factory=dict)
    vbds: Mapping[int, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Node:
    """A device of the PV tree: ``number`` is its vif's or vbd's, ``driver`` which of the five is for it."""

    instance_id: str
    hardware_ids: tuple[str, ...]
    device_class: str
    name: str
    problem: int
    driver: DriverName | None
    package: StoredPackage | None
    number: int | None = None
    compatible_ids: tuple[str, ...] = ()

    @property
    def works(self) -> bool:
        """Whether its driver serves it now."""
        return self.problem in {Problem.NONE, Problem.WILL_BE_REMOVED}


@dataclass(frozen=True)
class Tree:
    r"""The PV devices, and what follows from them.

    ``serving`` are the packages whose drivers are at work now, which is not always what is
    installed; ``vifs`` and ``vbds`` the numbers that work by PV; ``waiting`` the drivers that ask
    for a reboot; ``counters`` the values of ``XEN\Unplug``.
    """

    nodes: tuple[Node, ...] = ()
    serving: Mapping[DriverName, StoredPackage] = field(default_factory=dict)
    vifs: frozenset[int] = frozenset()
    vbds: frozenset[int] = frozenset()
    waiting: frozenset[DriverName] = frozenset()
    counters: Mapping[str, int] = field(default_factory=dict)


def scan(around: Surroundings) -> Tree:
    """The PV device tree as it has to be."""
    bus = _bus_node(around)
    waiting = {DriverName.XENBUS} if bus.problem == Problem.NEED_RESTART else set()
    active = around.boot.bus
    if active is None:
        return Tree(nodes=(bus,), waiting=frozenset(waiting))
    parts = [
        _scan_vif(around, _child(around, active, "VIF", DriverName.XENVIF), active),
        _scan_vbd(around, _child(around, active, "VBD", DriverName.XENVBD)),
        _scan_iface(_child(around, active, "IFACE", DriverName.XENIFACE)),
    ]
    serving = {DriverName.XENBUS: active}
    counters: dict[str, int] = {}
    for part in parts:
        waiting |= part.waiting
        serving |= part.serving
        counters |= part.counters
    return Tree(
        nodes=(bus, *(node for part in parts for node in part.nodes)),
        serving=serving,
        vifs=parts[0].vifs,
        vbds=parts[1].vbds,
        waiting=frozenset(waiting),
        counters={name: value for name, value in counters.items() if value},
    )


def _scan_vif(around: Surroundings, vif: Node, active: StoredPackage) -> Tree:
    """XENVIF's device and, below it, a device for XENNET per interface."""
    parent = vif.package
    if not vif.works or parent is None:
        return Tree(nodes=(vif,))
    nets = [_net_node(around, active, parent, number) for number in sorted(around.vifs)]
    refused = [net for net in nets if _refuses(around, parent, net)]
    working = [net for net in nets if net.works]
    serving = {DriverName.XENVIF: parent}
    if working and working[0].package is not None:
        serving[DriverName.XENNET] = working[0].package
    return Tree(
        nodes=(vif, *nets),
        serving=serving,
        vifs=frozenset(net.number for net in working if net.number is not None),
        waiting=frozenset({DriverName.XENVIF} if refused else ()),
        counters={"NICS": len(working) + len(refused)},
    )


def _scan_vbd(around: Surroundings, vbd: Node) -> Tree:
    """XENVBD's adapter and its disks: those whose emulated twin is gone or never was."""
    holds = around.boot.vbd
    installed = vbd.package
    if holds is not None and installed != holds:
        # it cannot be replaced or removed while the system disk hangs on it
        problem = Problem.NEED_RESTART if installed else Problem.WILL_BE_REMOVED
        vbd = _with(vbd, problem, installed or holds)
    serving = holds or (installed if vbd.works else None)
    if serving is None:
        return Tree(nodes=(vbd,))
    numbers = frozenset(number for number, twin in around.vbds.items() if not twin)
    # guess: that XENVBD asks xenbus_monitor for the reboot of an upgrade too; Windows itself wants it
    waits = len(numbers) < len(around.vbds) or vbd.problem == Problem.NEED_RESTART
    return Tree(
        nodes=(vbd, *(_disk_node(number) for number in sorted(numbers))),
        serving={DriverName.XENVBD: serving},
        vbds=numbers,
        waiting=frozenset({DriverName.XENVBD} if waits else ()),
        counters={"DISKS": 1 if installed else 0},
    )


def _scan_iface(iface: Node) -> Tree:
    serving = {DriverName.XENIFACE: iface.package} if iface.works and iface.package else {}
    return Tree(nodes=(iface,), serving=serving)


def keep_disks(old: Tree, new: Tree) -> Tree:
    """The fault disk-stays: disks of the tree before are still listed, though nothing serves them."""
    stayed = [node for node in old.nodes if node.driver is None and node not in new.nodes]
    return replace(new, nodes=(*new.nodes, *stayed))


def loadable(around: Surroundings, package: StoredPackage) -> bool:
    """Whether the package's driver files load at boot."""
    return _own_problem(around, package.inf.driver, package) == Problem.NONE


def best(around: Surroundings, ids: Sequence[str]) -> StoredPackage | None:
    """The package Windows takes for a device: the newest of those that name one of its ids."""
    wanted = {name.lower() for name in ids}
    fitting = [
        package
        for package in around.packages
        if any(model.hardware_id.lower() in wanted for model in package.inf.models)
        and not (package.inf.driver and around.faults.hits(FaultKind.DEVICE_CODE_28, package.inf.driver))
    ]
    ranked = sorted(fitting, key=lambda package: package.inf.rank)
    keeps_the_old = any(
        package.inf.driver and around.faults.hits(FaultKind.UPGRADE_IGNORED, package.inf.driver)
        for package in fitting
    )
    return ranked[0 if keeps_the_old else -1] if ranked else None


# -- single devices


def _bus_node(around: Surroundings) -> Node:
    node = _node(around, PLATFORM_INSTANCE, PLATFORM_IDS, DriverName.XENBUS)
    loaded = around.boot.bus
    if loaded is not None and node.package is None:
        return _with(node, Problem.WILL_BE_REMOVED, loaded)
    if node.problem == Problem.NONE and node.package != loaded:
        # xenfilt is loaded as a class filter at the next boot
        return _with(node, Problem.NEED_RESTART, node.package)
    return node


def _net_node(around: Surroundings, active: StoredPackage, parent: StoredPackage, number: int) -> Node:
    ids = _ids("XENVIF", parent, "NET", active)
    node = _node(around, f"{ids[0]}\\{number}", ids, DriverName.XENNET)
    node = replace(node, number=number, name=f"{node.name} #{number}" if node.package else "")
    if node.problem == Problem.NONE and _refuses(around, parent, node):
        new = version_of(parent.inf.version)[0] >= _REBOOT_ASKED_SINCE
        return _with(node, Problem.NEED_RESTART if new else Problem.FAILED_START, node.package)
    return node


def _refuses(around: Surroundings, parent: StoredPackage, node: Node) -> bool:
    """Whether XENVIF refuses a vif until the next boot unplugs the emulated interfaces."""
    if around.boot.no_nics or _own_problem(around, node.driver, node.package) != Problem.NONE:
        return False
    if version_of(parent.inf.version)[0] >= _REBOOT_ASKED_SINCE:
        return True  # unless the unplug was asked for at this boot, twin or not
    return around.vifs[node.number or 0]


def _disk_node(number: int) -> Node:
    return Node(
        instance_id=f"SCSI\\DISK&VEN_XENSRC&PROD_PVDISK\\2&{number:08X}&0&000000",
        hardware_ids=("SCSI\\DiskXENSRC__PVDISK__________2.0_", "SCSI\\DiskXENSRC__PVDISK__________"),
        device_class="DiskDrive",
        name="XENSRC PVDISK",
        problem=Problem.NONE,
        driver=None,
        package=None,
        number=number,
        compatible_ids=("SCSI\\Disk", "GenDisk"),
    )


def _child(around: Surroundings, active: StoredPackage, kind: str, driver: DriverName) -> Node:
    ids = _ids("XENBUS", active, kind, active)
    return _node(around, f"{ids[0]}\\_", ids, driver)


def _node(around: Surroundings, instance: str, ids: tuple[str, ...], driver: DriverName) -> Node:
    package = best(around, ids)
    if package is None:
        return Node(instance, ids, "", "", Problem.FAILED_INSTALL, driver, None)
    wanted = {name.lower() for name in ids}
    name = next(model.description for model in package.inf.models if model.hardware_id.lower() in wanted)
    problem = _own_problem(around, driver, package)
    return Node(instance, ids, package.inf.device_class, name, problem, driver, package)


def _own_problem(around: Surroundings, driver: DriverName | None, package: StoredPackage | None) -> int:
    """What stops a driver whatever stands around its device."""
    if package is None:
        return Problem.FAILED_INSTALL
    for kind, code in _CODES.items():
        if driver is not None and around.faults.hits(kind, driver):
            return code
    # Microsoft's kernel-mode code signing policy: 64-bit Windows loads what Microsoft signed, or what a test
    # certificate signed once test signing is on; device problem 52 else (CM_PROB_UNSIGNED_DRIVER)
    if around.arch is Arch.X64 and not package.signature.released and not around.boot.test_signing:
        return Problem.UNSIGNED_DRIVER
    return Problem.NONE


def _with(node: Node, problem: int, package: StoredPackage | None) -> Node:
    name = node.name
    if node.package is None and package is not None:
        name = package.inf.models[0].description
    device_class = package.inf.device_class if package else node.device_class
    return replace(node, problem=problem, package=package, name=name, device_class=device_class)


def _ids(bus: str, parent: StoredPackage, kind: str, active: StoredPackage) -> tuple[str, ...]:
    """Hardware ids of a child, the newest revision first."""
    version = version_of(parent.inf.version)[:2]
    revisions = _REVISIONS[kind][0][1]
    for since, offered in _REVISIONS[kind]:
        if version >= since:
            revisions = offered
    vendor = active.inf.provider.lower()
    prefix = next((word for name, word in _PREFIXES.items() if name in vendor), "XP")
    return tuple(f"{bus}\\VEN_{prefix}0001&DEV_{kind}&REV_{revision}" for revision in reversed(revisions))


def shown(node: Node, faults: Faults) -> PnpDevice:
    """A node as Windows lists it."""
    package = node.package
    if node.driver is None:  # a PV disk: driven by Windows' own disk driver
        return PnpDevice(
            node.instance_id, node.name, node.device_class, node.hardware_ids, node.compatible_ids, 0,
            "disk", "", "Microsoft", "disk.inf", "Microsoft Windows",
        )  # fmt: skip
    return PnpDevice(
        instance_id=node.instance_id,
        name=node.name,
        device_class=node.device_class,
        hardware_ids=node.hardware_ids,
        compatible_ids=node.compatible_ids,
        problem=node.problem,
        service=package.inf.service if package else "",
        driver_version=shown_version(package, faults) if package else "",
        driver_provider=package.inf.provider if package else "",
        driver_inf=package.published if package else "",
        signer=package.signature.signer if package else "",
    )


def shown_version(package: StoredPackage, faults: Faults) -> str:
    """The version a device shows: its INF's, but for the fault version-mismatch."""
    if package.inf.driver and faults.hits(FaultKind.VERSION_MISMATCH, package.inf.driver):
        *first, last = version_of(package.inf.version)
        return ".".join(str(part) for part in (*first, last + 1))
    return package.inf.version
