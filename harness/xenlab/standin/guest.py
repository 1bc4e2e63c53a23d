"""Every guest operation, answered from this kernel: the Linux twin of the PowerShell module."""

from __future__ import annotations

import functools
import os
import platform
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness.model import DriverName
from harness.operations import (
    OPERATIONS,
    BootId,
    CdFile,
    Certificate,
    Disk,
    DriverPackage,
    DumpFile,
    Event,
    EventMark,
    FileContent,
    FileFacts,
    JobStarted,
    JobStatus,
    Memory,
    NetworkAdapter,
    OperationRefused,
    Pattern,
    PendingReboot,
    PnpDevice,
    SecurityFacts,
    Service,
    StopEvents,
    SystemFacts,
    Volume,
    XenstoreEvent,
    XenstoreValue,
)
from harness.xenlab.standin import files, pattern
from harness.xenlab.standin.bootrecord import BootRecord, SigningSwitch
from harness.xenlab.standin.devices import NEEDS_RESTART, NO_DRIVER, Devices
from harness.xenlab.standin.driverstore import DriverStore
from harness.xenlab.standin.eventlog import EventLog
from harness.xenlab.standin.hardware import Hardware, driver_of
from harness.xenlab.standin.inf import Package
from harness.xenlab.standin.jobs import Jobs
from harness.xenlab.standin.network import Network
from harness.xenlab.standin.places import Places
from harness.xenlab.standin.power import Power
from harness.xenlab.standin.storage import Storage
from harness.xenlab.standin.xenstore import XenstoreConnection, make_node, remove_node, xenstore_device

if TYPE_CHECKING:
    from harness.xenlab.standin.certificates import CertificateStores

__all__ = ["StandIn"]

# pnputil's exit codes (Microsoft, "PnPUtil Return Values").
_DONE, _RESTART_NEEDED, _NO_DEVICE = 0, 3010, 259
_IOMEM_RAM = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) : System RAM$", re.MULTILINE)

_Class = TypeVar("_Class", bound=type)


def _refusing(kind: _Class) -> _Class:
    """Turn what the kernel says no with into the operations' own words."""
    for name in OPERATIONS:
        setattr(kind, name, _refuse(getattr(kind, name)))
    return kind


def _refuse(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise OperationRefused("not-found", str(error)) from error
        except PermissionError as error:
            raise OperationRefused("access-denied", str(error)) from error
        except OSError as error:
            raise OperationRefused("command-failed", str(error)) from error

    return call


@_refusing
class StandIn:
    """``GuestOperations`` of the stand-in guest. ``shell_version`` is Python's."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._hardware = Hardware(places.root)
        self._store = DriverStore(places)
        self._store.prepare()
        self._signing = SigningSwitch(places)
        self._boot = BootRecord.take(places, self._store, self._signing)
        self._devices = Devices(self._hardware, self._store, self._boot)
        self._network = Network(self._hardware, self._devices)
        self._storage = Storage(self._hardware, places.run)
        self._jobs = Jobs(places.state / "jobs")
        self.log = EventLog(places.state / "events.jsonl")
        self.log.note_start(self._boot.boot_id)
        self.power = Power(places, self.log, self._boot.boot_id)

    @property
    def devices(self) -> Devices:
        """The device tree, for what the drivers themselves would do."""
        return self._devices

    # -- what runs there

    def system_facts(self) -> SystemFacts:
        """See ``GuestOperations``."""
        release = platform.freedesktop_os_release()
        return SystemFacts(
            os_name=f"{release['PRETTY_NAME']} (stands in for Windows)",
            os_version=platform.release(),
            architecture="x64",
            locale="en",  # programs here speak the C locale
            computer_name=platform.node(),
            domain_member=False,
            shell_version=platform.python_version(),
            processors=os.cpu_count() or 1,
            time_utc=datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            boot_id=self._boot.boot_id,
        )

    def boot_id(self) -> BootId:
        """See ``GuestOperations``."""
        return BootId(self._boot.boot_id)

    def security_facts(self) -> SecurityFacts:
        """See ``GuestOperations``. There is no firewall, no script policy and no Defender here."""
        return SecurityFacts(
            secure_boot=None,
            test_signing=self._boot.test_signing,
            full_token=os.geteuid() == 0,
            script_policy="Unrestricted",
            defender_realtime=None,
            firewall=(),
        )

    def memory(self) -> Memory:
        """See ``GuestOperations``. Linux' total shrinks with the balloon; the memory map does not."""
        lines = (self._places.root / "proc/meminfo").read_text().splitlines()
        figures = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        areas = _IOMEM_RAM.findall((self._places.root / "proc/iomem").read_text())
        physical = sum(int(end, 16) + 1 - int(start, 16) for start, end in areas)
        return Memory(figures["MemTotal"], figures["MemAvailable"], physical // 1024)

    # -- drivers

    def pnp_devices(self, *, prefix: str) -> tuple[PnpDevice, ...]:
        """See ``GuestOperations``."""
        wanted = prefix.upper()
        return tuple(
            device
            for device in self._devices.all()
            if any(
                one.upper().startswith(wanted)
                for one in (device.instance_id, *device.hardware_ids, *device.compatible_ids)
            )
        )

    def services(self, *, names: tuple[str, ...]) -> tuple[Service, ...]:
        """See ``GuestOperations``."""
        return self._devices.services(names)

    def driver_packages(self) -> tuple[DriverPackage, ...]:
        """See ``GuestOperations``."""
        return tuple(
            DriverPackage(one.published, one.original, one.provider, one.device_class, one.version)
            for one in self._store.packages()
        )

    def pending_reboots(self) -> tuple[PendingReboot, ...]:
        """See ``GuestOperations``."""
        return self._devices.pending_reboots()

    def install_package(self, *, inf: str) -> JobStarted:
        """See ``GuestOperations``. It is done at once; the job tells what pnputil would."""

        def work() -> tuple[int, str]:
            try:
                package = self._store.add(Path(inf))
            except OperationRefused as refusal:
                return 1, f"Failed to add driver package: {refusal.detail}\n"
            return self._exit_code(package), f"Published Name: {package.published}\n"

        if not Path(inf).is_file():
            raise OperationRefused("not-found", f"there is no file {inf}")
        return self._changed(work)

    def uninstall_package(self, *, published: str) -> JobStarted:
        """See ``GuestOperations``."""

        def work() -> tuple[int, str]:
            try:
                package = self._store.remove(published)
            except OperationRefused as refusal:
                return 1, f"Failed to delete driver package: {refusal.detail}\n"
            restart = self._exit_code(package) == _RESTART_NEEDED
            return _RESTART_NEEDED if restart else _DONE, "Driver package deleted successfully.\n"

        if not re.fullmatch(r"oem\d+\.inf", published):
            raise OperationRefused("bad-parameter", "published must be oemN.inf")
        return self._changed(work)

    def _changed(self, work: Callable[[], tuple[int, str]]) -> JobStarted:
        started = self._jobs.do(work)
        # XENIFACE needs no boot: it is there as soon as XENBUS runs and the package is in
        if DriverName.XENIFACE not in self._store.installed():
            remove_node(self._places.root)
        elif self._hardware.look().bus_up:
            make_node(self._places.root, xenstore_device(self._places.root))
        return started

    def _exit_code(self, package: Package) -> int:
        """What pnputil would say of the devices of a package that came or went."""
        names = {name for model in package.models for one in model.ids if (name := driver_of(one))}
        tree = self._devices.now()
        problems = {tree.problem(name) for name in names}
        if NEEDS_RESTART in problems:
            return _RESTART_NEEDED
        return _NO_DEVICE if problems <= {NO_DRIVER} else _DONE

    # -- signatures

    def _certificates(self) -> CertificateStores:
        from harness.xenlab.standin.certificates import CertificateStores  # noqa: PLC0415 - slow

        return CertificateStores(self._places.state / "certificates")

    def certificates(self, *, store: str) -> tuple[Certificate, ...]:
        """See ``GuestOperations``."""
        return self._certificates().list(store)

    def add_certificate(self, *, path: str, store: str) -> Certificate:
        """See ``GuestOperations``."""
        return self._certificates().add(Path(path), store)

    def set_test_signing(self, *, enabled: bool) -> None:
        """See ``GuestOperations``."""
        self._signing.set(enabled=enabled)

    # -- network and storage

    def network_adapters(self) -> tuple[NetworkAdapter, ...]:
        """See ``GuestOperations``."""
        return self._network.adapters()

    def set_network_setting(self, *, mac: str, keyword: str, value: str) -> None:
        """See ``GuestOperations``."""
        self._network.change(mac, keyword, value)

    def disks(self) -> tuple[Disk, ...]:
        """See ``GuestOperations``."""
        return self._storage.disks()

    def volumes(self) -> tuple[Volume, ...]:
        """See ``GuestOperations``."""
        return self._storage.volumes()

    def write_pattern(self, *, target: int, seed: int, blocks: int, block_size: int) -> Pattern:
        """See ``GuestOperations``."""
        device = self._storage.pv_device(target)
        if self._storage.is_mounted(device):
            raise OperationRefused("access-denied", f"{device} holds a mounted file system")
        return pattern.write_pattern(device, seed=seed, blocks=blocks, block_size=block_size)

    def read_pattern(self, *, target: int, blocks: int, block_size: int) -> Pattern:
        """See ``GuestOperations``."""
        return pattern.read_pattern(self._storage.pv_device(target), blocks=blocks, block_size=block_size)

    def cd_files(self, *, label: str) -> tuple[CdFile, ...]:
        """See ``GuestOperations``."""
        return self._storage.cd_files(label)

    def copy_from_cd(self, *, label: str, name: str, path: str) -> FileFacts:
        """See ``GuestOperations``."""
        return self._storage.copy_from_cd(label, name, Path(path))

    # -- event log and dumps

    def event_mark(self) -> EventMark:
        """See ``GuestOperations``."""
        return EventMark(self.log.last_record)

    def events_since(self, *, record: int, limit: int) -> tuple[Event, ...]:
        """See ``GuestOperations``."""
        return self.log.since(record)[-limit:] if limit > 0 else ()

    def stop_events(self, *, record: int) -> StopEvents:
        """See ``GuestOperations``."""
        return self.log.stops(record)

    def dump_files(self) -> tuple[DumpFile, ...]:
        """See ``GuestOperations``: records of pstore, where a kernel has any."""
        folder = self._places.root / "sys/fs/pstore"
        found = []
        for path in sorted(folder.glob("*")):
            about = path.stat()
            changed = datetime.fromtimestamp(about.st_mtime, UTC).isoformat().replace("+00:00", "Z")
            found.append(DumpFile(str(path), about.st_size, changed))
        return tuple(found)

    # -- files

    def file_facts(self, *, path: str) -> FileFacts:
        """See ``GuestOperations``."""
        return files.facts(Path(path))

    def read_file(self, *, path: str, offset: int, length: int) -> FileContent:
        """See ``GuestOperations``."""
        return files.read_part(Path(path), offset, length)

    def write_file(self, *, path: str, content: str) -> FileFacts:
        """See ``GuestOperations``."""
        return files.write(Path(path), content)

    def remove_file(self, *, path: str) -> None:
        """See ``GuestOperations``."""
        files.remove(Path(path))

    def pull_file(self, *, url: str, path: str, sha256: str) -> FileFacts:
        """See ``GuestOperations``."""
        return files.pull(url, Path(path), sha256)

    def push_file(self, *, path: str, url: str) -> FileFacts:
        """See ``GuestOperations``."""
        return files.push(Path(path), url)

    def expand_zip(self, *, path: str, folder: str) -> None:
        """See ``GuestOperations``."""
        files.expand_zip(Path(path), Path(folder))

    # -- xenstore

    def _xenstore(self) -> XenstoreConnection:
        return XenstoreConnection(xenstore_device(self._places.root))

    def xenstore_read(self, *, path: str) -> XenstoreValue:
        """See ``GuestOperations``."""
        with self._xenstore() as xenstore:
            return xenstore.read(path)

    def xenstore_write(self, *, path: str, value: str) -> XenstoreValue:
        """See ``GuestOperations``."""
        with self._xenstore() as xenstore:
            xenstore.write(path, value)
            return xenstore.read(path)

    def xenstore_watch(self, *, path: str, seconds: int) -> XenstoreEvent:
        """See ``GuestOperations``."""
        with self._xenstore() as xenstore:
            return xenstore.wait_for_change(path, seconds)

    # -- jobs and power

    def start_tool(self, *, path: str, arguments: tuple[str, ...]) -> JobStarted:
        """See ``GuestOperations``."""
        return self._jobs.start(path, arguments)

    def job_status(self, *, job: str) -> JobStatus:
        """See ``GuestOperations``."""
        return self._jobs.status(job)

    def stop_job(self, *, job: str) -> JobStatus:
        """See ``GuestOperations``."""
        return self._jobs.stop(job)

    def restart(self) -> None:
        """See ``GuestOperations``."""
        self.power.ask("reboot", "harness")

    def stop(self) -> None:
        """See ``GuestOperations``."""
        self.power.ask("poweroff", "harness")
