r"""The closed list of guest operations: names, parameters, results.

``GuestOperations`` is the list. The PowerShell module (``harness/guest/agent``),
the simulated guest (``harness/simlab``) and the Linux stand-in guest
(``harness/xenlab``) each implement every method; the controller calls them by
``harness.guest``. ``OPERATIONS`` is the same list as data.

On the wire an operation is ``{"id": 7, "op": "services", "params": {"names":
["xenbus"]}}`` and its answer ``{"id": 7, "ok": true, "result": ...}`` or
``{"id": 7, "ok": false, "error": {"kind": "access-denied", "detail": "..."}}``.
Parameter and result names are those of this module. Both are one line of ASCII
each (everything else is escaped as ``\uXXXX``): no code page can spoil them.

Only the standard library is used here: the stand-in guest imports this module.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar

__all__ = [
    "OPERATIONS",
    "BootId",
    "CdFile",
    "Certificate",
    "CertificateStore",
    "Disk",
    "DriverPackage",
    "DumpFile",
    "Effect",
    "ErrorKind",
    "Event",
    "EventMark",
    "FileContent",
    "FileFacts",
    "FirewallProfile",
    "GuestOperations",
    "JobStarted",
    "JobStatus",
    "Memory",
    "NetworkAdapter",
    "NetworkStatistics",
    "Operation",
    "OperationRefused",
    "Pattern",
    "PendingReboot",
    "PnpDevice",
    "SecurityFacts",
    "Service",
    "StopEvents",
    "SystemFacts",
    "Volume",
    "XenstoreEvent",
    "XenstoreValue",
    "answer_request",
]

ErrorKind = Literal["not-found", "access-denied", "bad-parameter", "command-failed", "bad-request"]
CertificateStore = Literal["Root", "TrustedPublisher"]


class Effect(StrEnum):
    """What running an operation twice would mean."""

    READS = "reads"  # changes nothing: may be asked again, `guest probe` runs it
    SETS = "sets"  # the second time changes nothing more: may be asked again
    STARTS = "starts"  # the second time would do it twice: never asked again by itself


class OperationRefused(Exception):  # it is an answer, not a fault of the program
    """An implementation's way to answer with an error."""

    def __init__(self, kind: ErrorKind, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


@dataclass(frozen=True)
class SystemFacts:
    """What runs there. ``locale`` is a BCP 47 tag, times are ISO 8601 in UTC."""

    os_name: str
    os_version: str
    architecture: Literal["x86", "x64"]
    locale: str
    computer_name: str
    domain_member: bool
    shell_version: str  # of PowerShell; of Python on the stand-in
    processors: int
    time_utc: str
    boot_id: str


@dataclass(frozen=True)
class BootId:
    """Changes with each boot: Windows' LastBootUpTime in UTC, Linux' random boot id."""

    boot_id: str


@dataclass(frozen=True)
class FirewallProfile:
    """One of Domain, Private, Public."""

    name: str
    enabled: bool


@dataclass(frozen=True)
class SecurityFacts:
    """What decides whether drivers load and scripts run. None: the guest cannot say."""

    secure_boot: bool | None
    test_signing: bool
    full_token: bool
    script_policy: str
    defender_realtime: bool | None
    firewall: tuple[FirewallProfile, ...]


@dataclass(frozen=True)
class PnpDevice:
    """A present device. ``problem`` is the Configuration Manager's code, 0 for none."""

    instance_id: str
    name: str
    device_class: str
    hardware_ids: tuple[str, ...]
    compatible_ids: tuple[str, ...]
    problem: int
    service: str
    driver_version: str
    driver_provider: str
    driver_inf: str
    signer: str


@dataclass(frozen=True)
class Service:
    """A service or driver. One that does not exist is not in the answer."""

    name: str
    state: Literal["running", "stopped", "changing"]
    start: Literal["boot", "system", "auto", "demand", "disabled"]


@dataclass(frozen=True)
class DriverPackage:
    """A package in the driver store, third party ones only. ``published`` is oemNN.inf."""

    published: str
    original: str
    provider: str
    device_class: str
    version: str


@dataclass(frozen=True)
class Certificate:
    """A certificate in one of the machine's stores; SHA-1 thumbprint, upper case hexadecimal."""

    store: str
    thumbprint: str
    subject: str


@dataclass(frozen=True)
class PendingReboot:
    """A driver that asks xenbus_monitor for a reboot (win-xenbus src/monitor/monitor.c)."""

    driver: str


@dataclass(frozen=True)
class NetworkStatistics:
    """Counters of an adapter since it started."""

    received_bytes: int
    sent_bytes: int
    received_packets: int
    sent_packets: int
    received_errors: int
    sent_errors: int


@dataclass(frozen=True)
class NetworkAdapter:
    """An adapter; ``mac`` is its permanent address in lower case with colons.

    ``settings`` are the advanced properties as (keyword, value) pairs sorted by keyword.
    """

    name: str
    description: str
    mac: str
    instance_id: str
    up: bool
    speed_bps: int
    mtu: int
    addresses: tuple[str, ...]
    driver_version: str
    statistics: NetworkStatistics
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Disk:
    """A disk. ``target`` is the Xen target id (xvda is 0), -1 for a disk that is not PV.

    ``name`` is its model, by which an emulated disk is known: ``QEMU HARDDISK``.
    """

    number: int
    name: str
    serial: str
    target: int
    bus: str
    size: int
    logical_sector: int
    physical_sector: int
    offline: bool
    read_only: bool


@dataclass(frozen=True)
class Volume:
    """A mounted volume; ``path`` is ``C:`` there and a mount point on Linux. Sizes in bytes."""

    path: str
    label: str
    file_system: str
    size: int
    free: int


@dataclass(frozen=True)
class Memory:
    """Memory as the guest sees it, in KiB. Which figure shrinks depends on the XENBUS version."""

    total_kib: int
    free_kib: int
    physical_kib: int


@dataclass(frozen=True)
class EventMark:
    """A point in the System log: everything with a greater record number came later."""

    record: int


@dataclass(frozen=True)
class Event:
    """An event; ``properties`` are its values, never its translated text."""

    record: int
    provider: str
    event_id: int
    level: int
    time_utc: str
    properties: tuple[str, ...]


@dataclass(frozen=True)
class StopEvents:
    """What the System log says of stops since a mark.

    ``requested`` counts User32 1074, ``clean`` EventLog 6006, ``unclean`` Kernel-Power 41
    and EventLog 6008, ``bugchecks`` event 1001 of WER or BugCheck.
    """

    requested: int
    clean: int
    unclean: int
    bugchecks: int


@dataclass(frozen=True)
class DumpFile:
    """A crash dump: MEMORY.DMP, a minidump, or the stand-in's pstore record."""

    path: str
    size: int
    modified_utc: str


@dataclass(frozen=True)
class JobStarted:
    """A job that runs on by itself, outside of WinRM's shell."""

    job: str


@dataclass(frozen=True)
class JobStatus:
    """A job's state; ``exit_code`` only once it has ended. Output is cut to its last 64 KiB."""

    state: Literal["running", "ended", "lost"]
    exit_code: int | None
    stdout: str
    stderr: str


@dataclass(frozen=True)
class FileFacts:
    """A file as it lies there; SHA-256 in lower case hexadecimal."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class FileContent:
    """A part of a file in base64; ``size`` is the whole file's."""

    path: str
    size: int
    content: str


@dataclass(frozen=True)
class CdFile:
    """A file on an inserted CD."""

    path: str
    size: int


@dataclass(frozen=True)
class Pattern:
    """A pattern on a raw disk: SHA-256 over ``blocks`` blocks of ``block_size`` bytes."""

    sha256: str
    blocks: int
    block_size: int


@dataclass(frozen=True)
class XenstoreValue:
    """A xenstore node's value and the names of its children."""

    path: str
    value: str
    children: tuple[str, ...]


@dataclass(frozen=True)
class XenstoreEvent:
    """What a watch saw; ``fired`` is False when the time ran out."""

    path: str
    fired: bool


_Method = TypeVar("_Method", bound=Callable[..., Any])


def _operation(function: str, effect: Effect) -> Callable[[_Method], _Method]:
    """Mark a method as an operation, carried out by the PowerShell function of that name."""

    def mark(method: _Method) -> _Method:
        method.__operation__ = (function, effect)  # type: ignore[attr-defined]
        return method

    return mark


class GuestOperations(Protocol):
    """Everything the harness can ask of a guest."""

    @_operation("Get-PvSystemFacts", Effect.READS)
    def system_facts(self) -> SystemFacts:
        """What runs there."""

    @_operation("Get-PvBootId", Effect.READS)
    def boot_id(self) -> BootId:
        """The boot's id."""

    @_operation("Get-PvSecurityFacts", Effect.READS)
    def security_facts(self) -> SecurityFacts:
        """What decides whether drivers load and scripts run."""

    @_operation("Get-PvDevice", Effect.READS)
    def pnp_devices(self, *, prefix: str) -> tuple[PnpDevice, ...]:
        r"""Present devices whose instance, hardware or compatible id starts with ``prefix``, sorted.

        The empty prefix gives all; ``PCI\VEN_5853`` and ``XENBUS\`` those of Xen.
        """

    @_operation("Get-PvService", Effect.READS)
    def services(self, *, names: tuple[str, ...]) -> tuple[Service, ...]:
        """Those of the named services and drivers that exist, in the order asked."""

    @_operation("Get-PvDriverPackage", Effect.READS)
    def driver_packages(self) -> tuple[DriverPackage, ...]:
        """Third-party packages in the driver store, sorted by published name."""

    @_operation("Get-PvCertificate", Effect.READS)
    def certificates(self, *, store: str) -> tuple[Certificate, ...]:
        """Certificates of a machine store, sorted by thumbprint."""

    @_operation("Get-PvPendingReboot", Effect.READS)
    def pending_reboots(self) -> tuple[PendingReboot, ...]:
        """Drivers that wait for a reboot, sorted."""

    @_operation("Get-PvNetworkAdapter", Effect.READS)
    def network_adapters(self) -> tuple[NetworkAdapter, ...]:
        """Physical adapters, sorted by MAC; the kernel debugger's is left out."""

    @_operation("Get-PvDisk", Effect.READS)
    def disks(self) -> tuple[Disk, ...]:
        """Disks, sorted by number."""

    @_operation("Get-PvVolume", Effect.READS)
    def volumes(self) -> tuple[Volume, ...]:
        """Mounted volumes of fixed disks and CDs, sorted by path."""

    @_operation("Get-PvMemory", Effect.READS)
    def memory(self) -> Memory:
        """Memory as the guest sees it."""

    @_operation("Get-PvEventMark", Effect.READS)
    def event_mark(self) -> EventMark:
        """The System log's last record number."""

    @_operation("Get-PvEvent", Effect.READS)
    def events_since(self, *, record: int, limit: int) -> tuple[Event, ...]:
        """Events of the System log after a mark, oldest first, at most the ``limit`` newest."""

    @_operation("Get-PvStopEvent", Effect.READS)
    def stop_events(self, *, record: int) -> StopEvents:
        """What the System log says of stops since a mark."""

    @_operation("Get-PvDumpFile", Effect.READS)
    def dump_files(self) -> tuple[DumpFile, ...]:
        """Crash dumps, sorted by path."""

    @_operation("Get-PvFile", Effect.READS)
    def file_facts(self, *, path: str) -> FileFacts:
        """A file's size and hash; ``not-found`` when it is not there."""

    @_operation("Read-PvFile", Effect.READS)
    def read_file(self, *, path: str, offset: int, length: int) -> FileContent:
        """A part of a file; shorter than asked for at its end."""

    @_operation("Get-PvCdFile", Effect.READS)
    def cd_files(self, *, label: str) -> tuple[CdFile, ...]:
        """Files on the CD with that volume label, sorted by path; ``not-found`` without one."""

    @_operation("Get-PvXenstore", Effect.READS)
    def xenstore_read(self, *, path: str) -> XenstoreValue:
        """A node by XENIFACE; ``not-found``, or ``access-denied`` when the interface says so."""

    @_operation("Set-PvXenstore", Effect.SETS)
    def xenstore_write(self, *, path: str, value: str) -> XenstoreValue:
        """Write a node by XENIFACE and read it back."""

    @_operation("Wait-PvXenstore", Effect.READS)
    def xenstore_watch(self, *, path: str, seconds: int) -> XenstoreEvent:
        """Wait by XENIFACE until a node changes; the first, immediate event does not count."""

    @_operation("Write-PvFile", Effect.SETS)
    def write_file(self, *, path: str, content: str) -> FileFacts:
        """Write a small file from base64, making its folder."""

    @_operation("Remove-PvFile", Effect.SETS)
    def remove_file(self, *, path: str) -> None:
        """Remove a file or a folder with all in it; one that is not there is no error."""

    @_operation("Receive-PvFile", Effect.SETS)
    def pull_file(self, *, url: str, path: str, sha256: str) -> FileFacts:
        """Fetch a file by HTTP; ``command-failed`` and nothing left when the hash differs."""

    @_operation("Send-PvFile", Effect.SETS)
    def push_file(self, *, path: str, url: str) -> FileFacts:
        """Send a file by HTTP PUT."""

    @_operation("Copy-PvCdFile", Effect.SETS)
    def copy_from_cd(self, *, label: str, name: str, path: str) -> FileFacts:
        """Copy a file from the CD with that volume label."""

    @_operation("Expand-PvArchive", Effect.SETS)
    def expand_zip(self, *, path: str, folder: str) -> None:
        """Unpack a zip file into a folder that is made anew."""

    @_operation("Import-PvCertificate", Effect.SETS)
    def add_certificate(self, *, path: str, store: str) -> Certificate:
        """Put a certificate file into a machine store."""

    @_operation("Set-PvTestSigning", Effect.SETS)
    def set_test_signing(self, *, enabled: bool) -> None:
        """Switch test signing, from the next boot on."""

    @_operation("Install-PvPackage", Effect.STARTS)
    def install_package(self, *, inf: str) -> JobStarted:
        """Add a driver package and install it on its devices, as a job (it may cut the network)."""

    @_operation("Uninstall-PvPackage", Effect.STARTS)
    def uninstall_package(self, *, published: str) -> JobStarted:
        """Uninstall a driver package from its devices and the store, as a job."""

    @_operation("Start-PvTool", Effect.STARTS)
    def start_tool(self, *, path: str, arguments: tuple[str, ...]) -> JobStarted:
        """Start a program as a job."""

    @_operation("Get-PvJob", Effect.READS)
    def job_status(self, *, job: str) -> JobStatus:
        """How a job stands; ``not-found`` for one that was never started."""

    @_operation("Stop-PvJob", Effect.SETS)
    def stop_job(self, *, job: str) -> JobStatus:
        """End a job and all it started."""

    @_operation("Set-PvNetworkSetting", Effect.SETS)
    def set_network_setting(self, *, mac: str, keyword: str, value: str) -> None:
        """Set an advanced property of an adapter, which restarts it: the answer may get lost."""

    @_operation("Write-PvPattern", Effect.SETS)
    def write_pattern(self, *, target: int, seed: int, blocks: int, block_size: int) -> Pattern:
        """Write a seeded pattern to the raw PV disk with that target id, and flush it.

        Block number n holds SHA-256 of ``"{seed}:{n}"`` (ASCII, decimal) repeated over the block,
        so that a block out of place is found as well.
        """

    @_operation("Read-PvPattern", Effect.READS)
    def read_pattern(self, *, target: int, blocks: int, block_size: int) -> Pattern:
        """Hash what lies on the raw PV disk, read past the cache."""

    @_operation("Restart-PvGuest", Effect.STARTS)
    def restart(self) -> None:
        """Ask the guest to reboot by itself; answers before it does."""

    @_operation("Stop-PvGuest", Effect.STARTS)
    def stop(self) -> None:
        """Ask the guest to shut down by itself; answers before it does."""


@dataclass(frozen=True)
class Operation:
    """One entry of the list, as data. ``parameters`` are in order, ``result`` is a type."""

    name: str
    function: str
    effect: Effect
    parameters: Mapping[str, Any]
    result: Any

    @property
    def repeatable(self) -> bool:
        """Whether it may be asked again when its answer got lost."""
        return self.effect is not Effect.STARTS


def _list_operations() -> dict[str, Operation]:
    operations = {}
    for name, method in inspect.getmembers(GuestOperations, inspect.isfunction):
        if not hasattr(method, "__operation__"):
            continue
        function, effect = method.__operation__
        hints = typing.get_type_hints(method)
        result = hints.pop("return")
        operations[name] = Operation(name, function, effect, MappingProxyType(hints), result)
    return operations


OPERATIONS: Mapping[str, Operation] = MappingProxyType(_list_operations())


def answer_request(guest: GuestOperations, name: str, params: Mapping[str, Any]) -> Any:
    """Run an operation for a request off the wire; the answer is ready for JSON.

    The Python guests (simulated, stand-in) answer through this; the PowerShell
    module has its own twin.

    Raises:
        OperationRefused: the operation or a parameter is unknown or of the wrong
            type, or the guest says no.
    """
    operation = OPERATIONS.get(name)
    if operation is None:
        raise OperationRefused("bad-request", f"there is no operation {name!r}")
    if params.keys() != operation.parameters.keys():
        wanted = ", ".join(operation.parameters) or "none"
        raise OperationRefused("bad-parameter", f"{name} takes {wanted}; got {', '.join(params) or 'none'}")
    values = {key: _take(key, value, operation.parameters[key]) for key, value in params.items()}
    return _plain(getattr(guest, name)(**values))


def _take(key: str, value: Any, wanted: Any) -> Any:
    if wanted == tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
    elif isinstance(value, wanted) and not (wanted is int and isinstance(value, bool)):
        return value
    raise OperationRefused("bad-parameter", f"{key} must be {wanted}, not {value!r}")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
