"""A guest and its host that do as they are told: enough of both for ``harness.install``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from harness.deadline import Deadline
from harness.errors import GuestError, GuestHung, OperationFailed
from harness.guest.guest import GuestState
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.toolstack.protocol import RequestAnswer
from harness.lab import GuestTemplate, HostKind, HostSpec
from harness.lab.profile import InstallParams
from harness.model import Arch, GuestKind, ToolstackName, XenVersion
from harness.operations import (
    BootId,
    Certificate,
    Disk,
    DriverPackage,
    JobStarted,
    JobStatus,
    NetworkAdapter,
    NetworkStatistics,
    PendingReboot,
    PnpDevice,
    SecurityFacts,
    Service,
)
from harness.package import BuildPackage, DriverBuild

MAC = "00:16:3e:00:00:01"
QUICK = InstallParams(max_reboots=3, boot_s=5, install_s=5, settle_s=0.1)
SECURITY = SecurityFacts(
    secure_boot=False,
    test_signing=True,
    full_token=True,
    script_policy="",
    defender_realtime=None,
    firewall=(),
)
ENDED = JobStatus("ended", 0, "", "")


def adapter(instance_id: str, *, up: bool = True, mac: str = MAC) -> NetworkAdapter:
    statistics = NetworkStatistics(0, 0, 0, 0, 0, 0)
    return NetworkAdapter("Ethernet", "", mac, instance_id, up, 0, 1500, (), "", statistics, ())


EMULATED_NIC = adapter("PCI\\VEN_8086&DEV_100E&SUBSYS_11001AF4&REV_03\\3&1")
PV_NIC = adapter("XENVIF\\VEN_XP0001&DEV_NET&REV_09000005\\0")
EMULATED_DISK = Disk(0, "QEMU HARDDISK", "QM1", -1, "ATA", 1 << 30, 512, 512, offline=False, read_only=False)
PV_DISK = Disk(0, "XENSRC PVDISK", "0000", 0, "SCSI", 1 << 30, 512, 512, offline=False, read_only=False)


def device(package: BuildPackage, **changes: Any) -> PnpDevice:
    """A package's device, working."""
    identifier = package.inf.hardware_ids[-1]
    found = PnpDevice(
        instance_id=f"{identifier}\\0",
        name=package.inf.description,
        device_class=package.inf.device_class,
        hardware_ids=(identifier,),
        compatible_ids=(),
        problem=0,
        service=package.services[0].name,
        driver_version=package.version,
        driver_provider=package.inf.provider,
        driver_inf="oem1.inf",
        signer="",
    )
    return dataclasses.replace(found, **changes)


class FakeOperations:
    """Operations over attributes. What is put into ``answers`` by name is called, or raised, instead."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Callable[..., Any] | Exception] = {}
        self.boot = 1
        self.security = SECURITY
        self.devices: tuple[PnpDevice, ...] = ()
        self.running: tuple[Service, ...] = ()
        self.adapters: tuple[NetworkAdapter, ...] = (EMULATED_NIC,)
        self.drives: tuple[Disk, ...] = (EMULATED_DISK,)
        self.stored: tuple[DriverPackage, ...] = ()
        self.trusted: list[Certificate] = []
        self.pending: list[tuple[PendingReboot, ...]] = []  # for each time it is asked; none after the last

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(**params: Any) -> Any:
            self.calls.append((name, params))
            answer = self.answers.get(name)
            if isinstance(answer, Exception):
                raise answer
            return answer(**params) if answer is not None else getattr(self, f"_{name}")(**params)

        return call

    def called(self, name: str) -> list[dict[str, Any]]:
        return [params for called, params in self.calls if called == name]

    def _boot_id(self) -> BootId:
        return BootId(f"boot {self.boot}")

    def _security_facts(self) -> SecurityFacts:
        return self.security

    def _pnp_devices(self, prefix: str) -> tuple[PnpDevice, ...]:
        assert prefix == ""
        return self.devices

    def _services(self, names: tuple[str, ...]) -> tuple[Service, ...]:
        return tuple(service for service in self.running if service.name in names)

    def _network_adapters(self) -> tuple[NetworkAdapter, ...]:
        return self.adapters

    def _disks(self) -> tuple[Disk, ...]:
        return self.drives

    def _driver_packages(self) -> tuple[DriverPackage, ...]:
        return self.stored

    def _pending_reboots(self) -> tuple[PendingReboot, ...]:
        return self.pending.pop(0) if self.pending else ()

    def _certificates(self, store: str) -> tuple[Certificate, ...]:
        return tuple(found for found in self.trusted if found.store == store)

    def _write_file(self, path: str, content: str) -> None:
        pass

    def _add_certificate(self, path: str, store: str) -> Certificate:
        self.trusted.append(Certificate(store, path.rpartition("\\")[2].removesuffix(".cer"), "CN=added"))
        return self.trusted[-1]

    def _set_test_signing(self, enabled: bool) -> None:  # noqa: FBT001  # the operation's own parameter
        self._next = enabled

    def _restart(self) -> None:
        self.boot += 1
        if hasattr(self, "_next"):
            self.security = dataclasses.replace(self.security, test_signing=self._next)

    def _install_package(self, inf: str) -> JobStarted:
        return JobStarted(inf)

    def _uninstall_package(self, published: str) -> JobStarted:
        self.stored = tuple(package for package in self.stored if package.published != published)
        return JobStarted(published)

    def _job_status(self, job: str) -> JobStatus:
        return ENDED

    def _pull_file(self, **_: str) -> None:
        raise OperationFailed("pull_file", "command-failed", "nobody there")

    def _expand_zip(self, **_: str) -> None:
        pass

    def _remove_file(self, **_: str) -> None:
        pass


class FakeXenstore:
    """Nodes by path."""

    def __init__(self) -> None:
        self.nodes: dict[str, str] = {}

    def find(self, path: str) -> str | None:
        return self.nodes.get(path)

    def children(self, path: str) -> tuple[str, ...]:
        depth = path.count("/") + 1
        below = [node.split("/") for node in self.nodes if node.startswith(f"{path}/")]
        return tuple(sorted({parts[depth] for parts in below}))

    def tree(self, path: str) -> Mapping[str, str]:
        return {node: value for node, value in self.nodes.items() if node.startswith(path)}


class FakeToolstack:
    """One domain, with its memory in MiB; None when it is gone."""

    name = ToolstackName.XL

    def __init__(self, guest: FakeGuest) -> None:
        self._guest = guest
        self.domain: SimpleNamespace | None = SimpleNamespace(memory_mib=512, crashed=False)
        self.asked: list[str] = []

    def find(self, name: str) -> SimpleNamespace | None:
        return self.domain

    def set_memory(self, name: str, mib: int) -> int:
        self.asked.append(f"memory {mib}")
        assert self.domain is not None
        self.domain.memory_mib = mib
        return mib * 1024

    def reboot(self, name: str, fallback: object) -> RequestAnswer:
        self.asked.append("reboot")
        self._guest.silent = False
        self._guest.operations._restart()
        return RequestAnswer(refused=False, text="", duration_s=0.0)


class FakeGuest:
    """As ``Guest``; ``silent`` has every operation fail as one that gets no answer."""

    def __init__(self, kind: GuestKind = GuestKind.WINDOWS) -> None:
        self.operations: Any = FakeOperations()
        self.kind = kind
        self.name = "pvhck-r1-1"
        self.store = "/local/domain/7"
        self.boot_id = "boot 1"
        self.template = GuestTemplate("win", kind, "win.img", "Windows", Arch.X64)
        self.domain = DomainSpec(
            self.name,
            512,
            1,
            (DiskSpec("/srv/runs/r1/pvhck-r1-1.img", "hda"), DiskSpec("", "hdc", cdrom=True)),
            (NicSpec(MAC, "xenbr0"),),
        )
        self.state = GuestState.REACHABLE
        self.silent = False
        self.lost_over_a_reboot: GuestError | None = None
        self.disconnects = 0
        self.host = SimpleNamespace(
            name="xen1",
            spec=HostSpec("xen1", HostKind.SSH, "192.0.2.1"),
            toolstack=FakeToolstack(self),
            xenstore=FakeXenstore(),
            info=SimpleNamespace(version=XenVersion(4, 17)),
        )

    def deadline(self, seconds: float) -> Deadline:
        return Deadline.after(seconds)

    def disconnect(self) -> None:
        self.disconnects += 1

    def wait_may_restart(self) -> None:
        """Its toolstack lets it restart whenever it likes."""

    def wait_ready(self, deadline: Deadline, *, old_boot: str = "") -> str:
        boot = f"boot {self.operations.boot}"
        if self.lost_over_a_reboot is not None:
            raise self.lost_over_a_reboot
        if boot == old_boot:
            raise GuestHung("it does not come back")
        self.boot_id = boot
        return boot

    def with_drivers(self, build: DriverBuild) -> None:
        """All of a build's drivers in and working, as guest and host show it."""
        self.operations.devices = tuple(device(package) for package in build.packages)
        self.operations.running = tuple(
            Service(service.name, "running", service.start)
            for package in build.packages
            for service in package.services
        )
        self.operations.adapters, self.operations.drives = (PV_NIC,), (PV_DISK,)
        self.host.xenstore.nodes = healthy_nodes(build, self.store)


def healthy_nodes(build: DriverBuild, store: str = "/local/domain/7") -> dict[str, str]:
    """What a guest with these drivers leaves in xenstore under xl on 4.17, with its back ends."""
    ends = {"vif/0": "/local/domain/0/backend/vif/7/0", "vbd/768": "/local/domain/0/backend/qdisk/7/768"}
    nodes = {
        f"{store}/device/vbd/5632/device-type": "cdrom",
        f"{store}/device/vbd/5632/state": "1",
        f"{store}/device/vbd/768/device-type": "disk",
        f"{store}/control/feature-suspend": "1",
        f"{store}/control/feature-poweroff": "1",
        f"{store}/control/feature-reboot": "1",
        f"{store}/feature/hotplug/vif": "1",
        f"{store}/feature/hotplug/vbd": "1",
    }
    for end, back in ends.items():
        nodes |= {
            f"{store}/device/{end}/backend": back,
            f"{store}/device/{end}/state": "4",
            f"{back}/state": "4",
        }
    for number, package in enumerate(build.packages):
        nodes[f"{store}/drivers/{number}"] = f"Xen Project {package.name.upper()} {package.version} (DEBUG)"
    return nodes


def lost(text: str = "silent") -> GuestError:
    """As ``Guest.explain`` gives it for a guest that runs on without its network."""
    return GuestError(f"pvhck-r1-1 lost its network: {text}")
