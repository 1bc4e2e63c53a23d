"""A guest's state, in the words of ``harness.operations``: what every reading operation must answer for it.

Anything that answers the operations (a simulated guest) can be turned into one.
``windows_rows`` says how Windows would show the same state to the module.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.operations import (
    BootId,
    Certificate,
    Disk,
    DriverPackage,
    Event,
    EventMark,
    FirewallProfile,
    Memory,
    NetworkAdapter,
    NetworkStatistics,
    PendingReboot,
    PnpDevice,
    SecurityFacts,
    Service,
    StopEvents,
    SystemFacts,
    Volume,
    XenstoreValue,
)

__all__ = ["EMPTY", "GERMAN", "GOOD", "ODD", "ODD_TEXT", "ONE", "GuestState", "expected"]

ODD_TEXT = "a \"quoted\" 'text' `n $x ${y} $(z) %PATH% \\ äöüß 日本 \U0001f600 <&>|;,\r\n\ttail\u2028"


@dataclass(frozen=True)
class GuestState:
    """What a guest is like. Empty by default but for what every Windows has."""

    system: SystemFacts
    security: SecurityFacts
    memory: Memory
    devices: tuple[PnpDevice, ...] = ()
    services: tuple[Service, ...] = ()
    packages: tuple[DriverPackage, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    pending: tuple[PendingReboot, ...] = ()
    adapters: tuple[NetworkAdapter, ...] = ()
    disks: tuple[Disk, ...] = ()
    volumes: tuple[Volume, ...] = ()
    events: tuple[Event, ...] = ()
    xenstore: Mapping[str, str] | None = None
    """Values by path; None without XENIFACE."""
    language: str = "en"
    raw_properties: Mapping[int, list[Any]] = field(default_factory=dict)
    """Event properties as Windows holds them, by record, where they are not text."""


_SYSTEM = SystemFacts(
    os_name="Microsoft Windows Server 2019 Datacenter",
    os_version="10.0.17763",
    architecture="x64",
    locale="en-US",
    computer_name="PVGUEST",
    domain_member=False,
    shell_version="7",  # the engine's own; the tests put it in
    processors=2,
    time_utc="2026-03-29T00:30:00.1234567Z",
    boot_id="2026-03-28T23:00:00.5000000Z",
)
_SECURITY = SecurityFacts(
    secure_boot=False,
    test_signing=True,
    full_token=True,
    script_policy="RemoteSigned",
    defender_realtime=True,
    firewall=(
        FirewallProfile("Domain", enabled=True),
        FirewallProfile("Private", enabled=False),
        FirewallProfile("Public", enabled=True),
    ),
)
_XENBUS = PnpDevice(
    instance_id="PCI\\VEN_5853&DEV_0001&SUBSYS_00015853&REV_01\\3&267A616A&0&10",
    name="Xen PV Bus (0001)",
    device_class="System",
    hardware_ids=("PCI\\VEN_5853&DEV_0001&SUBSYS_00015853&REV_01", "PCI\\VEN_5853&DEV_0001"),
    compatible_ids=("PCI\\VEN_5853", "PCI\\CC_FF80"),
    problem=0,
    service="xenbus",
    driver_version="9.1.0.42",
    driver_provider="Xen Project",
    driver_inf="oem3.inf",
    signer="Xen Test",
)
_ADAPTER = NetworkAdapter(
    name="Ethernet 2",
    description="Xen PV Network Device #0",
    mac="00:16:3e:0a:0b:0c",
    instance_id="XENVIF\\VEN_XP0001&DEV_NET&REV_0900000B\\0",
    up=True,
    speed_bps=100_000_000_000,
    mtu=1500,
    addresses=("10.0.0.5", "fe80::216:3eff:fe0a:b0c"),
    driver_version="9.1.0.42",
    statistics=NetworkStatistics(5_000_000_000, 4_000_000_000, 60, 50, 2, 1),
    settings=(("*IPChecksumOffloadIPv4", "3"), ("*RSS", "1"), ("LROIPv4", "1")),
)
_BOOT_DISK = Disk(
    0, "QEMU HARDDISK", "QM00001", -1, "ATA", 32 << 30, 512, 512, offline=False, read_only=False
)
_PV_DISK = Disk(1, "XENSRC PVDISK", "0006", 6, "SCSI", 5 << 40, 512, 4096, offline=False, read_only=False)


def _event(record: int, provider: str, number: int, *properties: str) -> Event:
    return Event(record, provider, number, 4, f"2026-03-28T22:00:{record % 60:02}.0000000Z", properties)


EMPTY = GuestState(system=_SYSTEM, security=_SECURITY, memory=Memory(2_096_628, 1_500_000, 2_097_148))

ONE = dataclasses.replace(
    EMPTY,
    devices=(dataclasses.replace(_XENBUS, hardware_ids=("PCI\\VEN_5853&DEV_0001",), compatible_ids=()),),
    services=(Service("xenbus", "running", "boot"),),
    packages=(DriverPackage("oem3.inf", "xenbus.inf", "Xen Project", "System", "9.1.0.42"),),
    certificates=(Certificate("Root", "A" * 40, "CN=Xen Test"),),
    pending=(PendingReboot("xenvif"),),
    adapters=(dataclasses.replace(_ADAPTER, addresses=("10.0.0.5",), settings=(("*RSS", "1"),)),),
    disks=(_PV_DISK,),
    volumes=(Volume("C:", "", "NTFS", 32 << 30, 20 << 30),),
    events=(_event(7, "EventLog", 6006),),
    xenstore={"data": "", "data/value": "1"},
)

GOOD = dataclasses.replace(
    EMPTY,
    devices=(
        PnpDevice("ACPI\\PNP0303\\0", "Keyboard", "Keyboard", ("*PNP0303",), (), 0, "", "", "", "", ""),
        _XENBUS,
        dataclasses.replace(
            _XENBUS,
            instance_id="XENBUS\\VEN_XP0001&DEV_VIF&REV_0900000B\\_",
            name="Xen PV Network Class",
            hardware_ids=("XENBUS\\VEN_XP0001&DEV_VIF&REV_0900000B",),
            compatible_ids=(),
            problem=28,
            service="",
            driver_version="",
            driver_provider="",
            driver_inf="",
            signer="",
        ),
    ),
    services=(
        Service("xenbus", "running", "boot"),
        Service("xenbus_monitor", "stopped", "auto"),
        Service("xenagent", "changing", "disabled"),
        Service("xennet", "running", "demand"),
        Service("disk", "running", "system"),
    ),
    packages=(
        DriverPackage("oem10.inf", "xenvif.inf", "Xen Project", "System", "9.1.0.42"),
        DriverPackage("oem3.inf", "xenbus.inf", "Xen Project", "System", "9.1.0.42"),
    ),
    certificates=(
        Certificate("Root", "0" * 40, "CN=Some Root, O=Somewhere"),
        Certificate("Root", "A" * 40, "CN=Xen Test"),
        Certificate("TrustedPublisher", "A" * 40, "CN=Xen Test"),
    ),
    pending=(PendingReboot("xenbus"), PendingReboot("xenvif")),
    adapters=(
        _ADAPTER,
        dataclasses.replace(
            _ADAPTER, name="Ethernet", mac="00:16:3e:0a:0b:0d", instance_id="XENVIF\\X\\1", up=False,
            speed_bps=0, description="Xen PV Network Device #1", addresses=(), settings=(), driver_version="",
            statistics=NetworkStatistics(0, 0, 0, 0, 0, 0),
        ),
    ),
    disks=(_BOOT_DISK, _PV_DISK, dataclasses.replace(_PV_DISK, number=10, serial="0000", target=0)),
    volumes=(
        Volume("C:", "System", "NTFS", 32 << 30, 20 << 30),
        Volume("D:", "PVHCK", "CDFS", 4_000_000, 0),
    ),
    events=(
        _event(100, "EventLog", 6006),
        _event(101, "User32", 1074, "C:\\Windows\\system32\\shutdown.exe", "0x80000000"),
        _event(102, "Microsoft-Windows-Kernel-Power", 41, "159", "0102ff"),
        _event(103, "EventLog", 6008, "2026-03-28T22:00:00.0000000Z"),
        _event(104, "Microsoft-Windows-WER-SystemErrorReporting", 1001, "0x0000009f"),
        _event(105, "BugCheck", 1001),
        _event(106, "Other", 1074),
        _event(107, "xenagent", 6),
    ),
    xenstore={
        "data": "", "data/value": "1", "data/b": "x", "data/a": "y", "device": "", "device/vif": "",
        "/local/domain/3/name": "guest", "/local/domain/3": "",
    },
    raw_properties={102: [159, b"\x01\x02\xff"]},
)  # fmt: skip

ODD = dataclasses.replace(
    GOOD,
    system=dataclasses.replace(
        _SYSTEM, os_name=ODD_TEXT, computer_name="O'BRIEN", domain_member=True, architecture="x86"
    ),
    security=SecurityFacts(
        secure_boot=None,
        test_signing=False,
        full_token=False,
        script_policy="Undefined",
        defender_realtime=None,
        firewall=(),
    ),
    devices=(dataclasses.replace(_XENBUS, name=ODD_TEXT, signer=ODD_TEXT),),
    services=(Service('o\'brien\\x "y"', "running", "auto"), Service("xenbus", "stopped", "disabled")),
    packages=(DriverPackage("oem1.inf", "müller.inf", 'Müller & Söhne "GmbH"', "Net", "1.2.3.4"),),
    certificates=(Certificate("Root", "B" * 40, ODD_TEXT),),
    adapters=(
        dataclasses.replace(_ADAPTER, name="LAN [1] 'ä'", settings=(("*RSS", "1"), ("Text", ODD_TEXT))),
    ),
    volumes=(Volume("C:", ODD_TEXT, "NTFS", 1, 0),),
    events=(_event(5, "Quelle", 1, ODD_TEXT, "", " "),),
    raw_properties={},
    xenstore={
        "data": "",
        "data/odd": ODD_TEXT,
        "data/date": "2026-01-01T00:00:00Z",
        "data/ms": "/Date(1)/",
        "data/space": " ",
    },
)

GERMAN = dataclasses.replace(
    GOOD,
    system=dataclasses.replace(_SYSTEM, os_name="Microsoft Windows 10 Pro", locale="de-DE"),
    devices=(dataclasses.replace(_XENBUS, name="Xen-PV-Bus", device_class="System"),),
    volumes=(Volume("C:", "Lokaler Datenträger", "NTFS", 1 << 30, 1 << 20),),
    language="de",
)  # fmt: skip


def expected(state: GuestState, op: str, params: Mapping[str, Any]) -> Any:
    """What a reading operation answers for a state, as its typed result."""
    return _EXPECTED[op](state, **params)


def _devices(state: GuestState, prefix: str) -> tuple[PnpDevice, ...]:
    def matches(device: PnpDevice) -> bool:
        ids = (device.instance_id, *device.hardware_ids, *device.compatible_ids)
        return any(found.lower().startswith(prefix.lower()) for found in ids)

    return tuple(device for device in state.devices if matches(device))


def _services(state: GuestState, names: list[str]) -> tuple[Service, ...]:
    by_name = {service.name: service for service in state.services}
    return tuple(by_name[name] for name in names if name in by_name)


def _stops(state: GuestState, record: int) -> StopEvents:
    later = [(event.provider, event.event_id) for event in state.events if event.record > record]
    return StopEvents(
        requested=later.count(("User32", 1074)),
        clean=later.count(("EventLog", 6006)),
        unclean=later.count(("EventLog", 6008)) + later.count(("Microsoft-Windows-Kernel-Power", 41)),
        bugchecks=later.count(("BugCheck", 1001))
        + later.count(("Microsoft-Windows-WER-SystemErrorReporting", 1001)),
    )


def _node(state: GuestState, path: str) -> XenstoreValue:
    assert state.xenstore is not None
    inside = [
        node for node in state.xenstore if node.startswith(f"{path}/") and "/" not in node[len(path) + 1 :]
    ]
    return XenstoreValue(path, state.xenstore[path], tuple(sorted(node[len(path) + 1 :] for node in inside)))


_EXPECTED: dict[str, Callable[..., Any]] = {
    "system_facts": lambda state: state.system,
    "boot_id": lambda state: BootId(state.system.boot_id),
    "security_facts": lambda state: state.security,
    "pnp_devices": _devices,
    "services": _services,
    "driver_packages": lambda state: state.packages,
    "certificates": lambda state, store: tuple(one for one in state.certificates if one.store == store),
    "pending_reboots": lambda state: state.pending,
    "network_adapters": lambda state: state.adapters,
    "disks": lambda state: state.disks,
    "volumes": lambda state: state.volumes,
    "memory": lambda state: state.memory,
    "event_mark": lambda state: EventMark(max((event.record for event in state.events), default=0)),
    "events_since": lambda state, record, limit: tuple(e for e in state.events if e.record > record)[-limit:],
    "stop_events": _stops,
    "xenstore_read": _node,
}
