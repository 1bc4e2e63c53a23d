"""How Windows shows a ``GuestState``: CIM rows, registry, events, and noise the module must see through.

Property names and values are those of Microsoft's class documentation (Win32_*, MSFT_*);
no row here was recorded on a real guest (docs/guest-operations.md marks what is a guess).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pwsh_state import GuestState

from harness.operations import Disk, NetworkAdapter, PnpDevice

__all__ = ["windows_rows"]

_CLASS = "SYSTEM\\CurrentControlSet\\Control\\Class\\{4D36E972-E325-11CE-BFC1-08002BE10318}"
_STATES = {"running": "Running", "stopped": "Stopped", "changing": "Start Pending"}
_STARTS = {"boot": "Boot", "system": "System", "auto": "Auto", "demand": "Manual", "disabled": "Disabled"}
_BUSES = {"ATA": 3, "SCSI": 1}
_COUNTED = str.maketrans("()#/\\", "[]___")  # how performance counters write a name


def windows_rows(state: GuestState, *, old: bool) -> dict[str, Any]:
    """The mocks' input. ``old`` is Windows 7: no StandardCimv2, Storage and Defender namespaces."""
    cim = {"root/cimv2": _base(state, old=old)}
    if not old:
        cim["root/standardcimv2"] = _standard(state)
        cim["root/microsoft/windows/storage"] = {"MSFT_Disk": [_disk(disk) for disk in state.disks]}
        if state.security.defender_realtime is not None:
            realtime = {"RealTimeProtectionEnabled": state.security.defender_realtime}
            cim["root/microsoft/windows/defender"] = {"MSFT_MpComputerStatus": [realtime]}
    rows = {
        "cim": cim,
        "registry": _registry(state, old=old),
        "events": _events(state),
        "drivers": [
            {
                "Driver": package.published,
                "OriginalFileName": f"C:\\Windows\\System32\\DriverStore\\x\\{package.original}",
                "ProviderName": package.provider,
                "ClassName": package.device_class,
                "Version": package.version,
                "Inbox": False,
            }
            for package in reversed(state.packages)
        ],
        "policies": _policies(state.security.script_policy),
        "certificates": _certificates(state),
        # behind a mark: ConvertFrom-Json of PowerShell 7 makes dates of texts that look like some
        "xenstore": {path: f"={value}" for path, value in (state.xenstore or {}).items()},
        "xenstore_changes": ["data/value"],
        "xenstore_denied": ["data/secret"],
    }
    if state.xenstore is not None:
        rows["xen_prefix"] = "XenProject"
    return rows


def _time(text: str) -> dict[str, str]:
    return {"$time": text}


def _base(state: GuestState, *, old: bool) -> dict[str, Any]:
    system = state.system
    bits = "64-Bit" if state.language == "de" else "64-bit"
    rows = {
        "Win32_OperatingSystem": [
            {
                "Caption": system.os_name,
                "Version": system.os_version,
                "OSArchitecture": bits,
                "MUILanguages": [system.locale, "en-US"],
                "LocalDateTime": _time(system.time_utc),
                "LastBootUpTime": _time(system.boot_id),
                "TotalVisibleMemorySize": state.memory.total_kib,
                "FreePhysicalMemory": state.memory.free_kib,
            }
        ],
        "Win32_ComputerSystem": [
            {
                "Name": system.computer_name,
                "PartOfDomain": system.domain_member,
                "NumberOfLogicalProcessors": system.processors,
                "TotalPhysicalMemory": state.memory.physical_kib * 1024 + 512,
            }
        ],
        "Win32_Processor": [{"AddressWidth": 64 if system.architecture == "x64" else 32}] * system.processors,
        "Win32_PnPEntity": [_device(device, old=old) for device in reversed(state.devices)],
        "Win32_PnPSignedDriver": [
            _driver(device.instance_id, device)
            for device in state.devices
            if device.driver_inf
        ]
        + [{"DeviceID": None, "DeviceClass": None, "DriverVersion": None}],
        "Win32_BaseService": [
            {"Name": service.name, "State": _STATES[service.state], "StartMode": _STARTS[service.start]}
            for service in reversed(state.services)
        ],
        "Win32_LogicalDisk": [
            {
                "DeviceID": volume.path,
                "VolumeName": volume.label,
                "FileSystem": volume.file_system,
                "Size": volume.size,
                "FreeSpace": volume.free,
                "DriveType": 5 if volume.file_system == "CDFS" else 3,
                "Description": "CD" if volume.file_system == "CDFS" else "Lokaler Datenträger",
            }
            for volume in reversed(state.volumes)
        ]
        + [
            {"DeviceID": "E:", "VolumeName": None, "FileSystem": None, "DriveType": 5},
            {"DeviceID": "N:", "VolumeName": "net", "FileSystem": "NTFS", "DriveType": 4},
        ],
    }  # fmt: skip
    if not old:
        gone = {
            "PNPDeviceID": "PCI\\VEN_5853&GONE",
            "HardwareID": None,
            "CompatibleID": None,
            "Present": False,
        }
        rows["Win32_PnPEntity"].append(gone)
    else:
        rows |= _old_network(state.adapters)
        rows["Win32_PnPSignedDriver"] += [
            {"DeviceID": adapter.instance_id, "DeviceClass": "NET", "DriverVersion": adapter.driver_version}
            for adapter in state.adapters
            if adapter.instance_id not in {device.instance_id for device in state.devices}
        ]
        rows["Win32_DiskDrive"] = [
            {
                "Index": disk.number,
                "Model": f"{disk.name} SCSI Disk Device",
                "SerialNumber": f"  {disk.serial}",
                "InterfaceType": disk.bus,
                "Size": disk.size,
                "BytesPerSector": disk.logical_sector,
            }
            for disk in reversed(state.disks)
        ]
    return rows


def _device(device: PnpDevice, *, old: bool) -> dict[str, Any]:
    row = {
        "PNPDeviceID": device.instance_id,
        "Name": device.name or None,
        "HardwareID": list(device.hardware_ids) or None,
        "CompatibleID": list(device.compatible_ids) or None,
        "ConfigManagerErrorCode": device.problem,
        "Service": device.service or None,
        "Status": "Fehler" if device.problem else "OK",
    }
    return row if old else row | {"PNPClass": device.device_class or None, "Present": True}


def _driver(device_id: str, device: PnpDevice) -> dict[str, Any]:
    return {
        "DeviceID": device_id,
        "DeviceClass": device.device_class,
        "DriverVersion": device.driver_version,
        "DriverProviderName": device.driver_provider,
        "InfName": device.driver_inf,
        "Signer": device.signer,
    }


def _standard(state: GuestState) -> dict[str, Any]:
    adapters = list(enumerate(reversed(state.adapters), 5))
    debugger = {
        "Name": "Ethernet (Kernel Debugger)",
        "HardwareInterface": True,
        "PNPDeviceID": "ROOT\\KDNIC\\0000",
    }
    software = {"Name": "Loopback", "HardwareInterface": False, "PNPDeviceID": "ROOT\\NET\\0000"}
    return {
        "MSFT_NetAdapter": [debugger, software]
        + [
            {
                "Name": adapter.name,
                "InterfaceDescription": adapter.description,
                "InterfaceIndex": index,
                "PermanentAddress": adapter.mac.replace(":", "").upper(),
                "PNPDeviceID": adapter.instance_id,
                "HardwareInterface": True,
                "InterfaceOperationalStatus": 1 if adapter.up else 2,
                "Speed": adapter.speed_bps if adapter.up else None,
                "DriverVersionString": adapter.driver_version or None,
                "Status": "Aktiv",
            }
            for index, adapter in adapters
        ],
        "MSFT_NetIPInterface": [
            {"InterfaceIndex": index, "AddressFamily": family, "NlMtu": adapter.mtu if family == 2 else 1280}
            for index, adapter in adapters
            for family in (23, 2)
        ],
        "MSFT_NetIPAddress": [
            {"InterfaceIndex": index, "IPAddress": f"{address}%{index}" if ":" in address else address}
            for index, adapter in adapters
            for address in reversed(adapter.addresses)
        ],
        "MSFT_NetAdapterStatisticsSettingData": [_counters(adapter) for _, adapter in adapters if adapter.up],
        "MSFT_NetAdapterAdvancedPropertySettingData": [
            {
                "Name": adapter.name,
                "RegistryKeyword": keyword,
                "RegistryValue": [value],
                "DisplayName": "Anzeige",
            }
            for _, adapter in adapters
            for keyword, value in reversed(adapter.settings)
        ],
    }


def _counters(adapter: NetworkAdapter) -> dict[str, Any]:
    counted = adapter.statistics
    return {
        "Name": adapter.name,
        "ReceivedBytes": counted.received_bytes,
        "SentBytes": counted.sent_bytes,
        "ReceivedUnicastPackets": counted.received_packets - 3,
        "ReceivedMulticastPackets": 2,
        "ReceivedBroadcastPackets": 1,
        "SentUnicastPackets": counted.sent_packets - 3,
        "SentMulticastPackets": 1,
        "SentBroadcastPackets": 2,
        "ReceivedPacketErrors": counted.received_errors,
        "OutboundPacketErrors": counted.sent_errors,
    }


def _old_network(adapters: tuple[NetworkAdapter, ...]) -> dict[str, Any]:
    numbered = list(enumerate(adapters, 7))
    tunnel = {
        "Name": "Tunnel",
        "PhysicalAdapter": False,
        "MACAddress": "00:00:00:00:00:E0",
        "PNPDeviceID": "ROOT\\X",
    }
    return {
        "Win32_NetworkAdapter": [tunnel]
        + [
            {
                "Index": index,
                "GUID": f"{{GUID-{index}}}",
                "Name": adapter.description,
                "NetConnectionID": adapter.name,
                "MACAddress": adapter.mac.upper(),
                "PNPDeviceID": adapter.instance_id,
                "PhysicalAdapter": True,
                "NetConnectionStatus": 2 if adapter.up else 7,
                "Speed": adapter.speed_bps,
            }
            for index, adapter in numbered
        ],
        "Win32_NetworkAdapterConfiguration": [
            {"Index": index, "IPAddress": list(adapter.addresses) or None} for index, adapter in numbered
        ],
        "Win32_PerfRawData_Tcpip_NetworkInterface": [
            {
                "Name": adapter.description.translate(_COUNTED),
                "BytesReceivedPersec": adapter.statistics.received_bytes,
                "BytesSentPersec": adapter.statistics.sent_bytes,
                "PacketsReceivedPersec": adapter.statistics.received_packets,
                "PacketsSentPersec": adapter.statistics.sent_packets,
                "PacketsReceivedErrors": adapter.statistics.received_errors,
                "PacketsOutboundErrors": adapter.statistics.sent_errors,
            }
            for _, adapter in numbered
        ],
    }


def _disk(disk: Disk) -> dict[str, Any]:
    return {
        "Number": disk.number,
        "FriendlyName": disk.name,
        "SerialNumber": f"{disk.serial}   ",
        "BusType": _BUSES[disk.bus],
        "Size": disk.size,
        "LogicalSectorSize": disk.logical_sector,
        "PhysicalSectorSize": disk.physical_sector,
        "IsOffline": disk.offline,
        "IsReadOnly": disk.read_only,
    }


def _registry(state: GuestState, *, old: bool) -> dict[str, Any]:
    security = state.security
    control = "SYSTEM\\CurrentControlSet\\Control"
    started = " NOEXECUTE=OPTIN  TESTSIGNING" if security.test_signing else " NOEXECUTE=OPTIN  NOTESTSIGNINGS"
    keys: dict[str, Any] = {control: {"SystemStartOptions": started}}
    if security.secure_boot is not None:
        keys[f"{control}\\SecureBoot\\State"] = {"UEFISecureBootEnabled": int(security.secure_boot)}
    local = "SYSTEM\\CurrentControlSet\\Services\\SharedAccess\\Parameters\\FirewallPolicy"
    for profile in security.firewall:
        name = "StandardProfile" if profile.name == "Private" else f"{profile.name}Profile"
        keys[f"{local}\\{name}"] = {"EnableFirewall": int(profile.enabled)}
        if profile.name == "Public":  # a group policy says otherwise than the local setting, and counts
            keys[f"{local}\\{name}"] = {"EnableFirewall": int(not profile.enabled)}
            keys["SOFTWARE\\Policies\\Microsoft\\WindowsFirewall\\" + name] = {
                "EnableFirewall": int(profile.enabled)
            }
    request = "SYSTEM\\CurrentControlSet\\Services\\xenbus_monitor\\Request"
    if state.pending:
        keys[f"{request}\\done"] = {"Reboot": 0}
        keys |= {f"{request}\\{pending.driver}": {"Reboot": 1} for pending in reversed(state.pending)}
    if old:
        for index, adapter in enumerate(state.adapters, 7):
            keys[f"{_CLASS}\\{index:04}"] = dict(adapter.settings) | {"DriverDesc": adapter.description}
            keys |= {f"{_CLASS}\\{index:04}\\Ndi\\Params\\{keyword}": {} for keyword, _ in adapter.settings}
            keys[f"{_CLASS}\\{index:04}\\Ndi\\Params\\Unset"] = {}
    return keys


def _events(state: GuestState) -> list[dict[str, Any]]:
    return [
        {
            "LogName": "System",
            "RecordId": event.record,
            "ProviderName": event.provider,
            "Id": event.event_id,
            "Level": event.level,
            "TimeCreated": _time(event.time_utc),
            "Message": "Der Dienst wurde beendet.",
            "Properties": [
                {"Value": _raw(value)} for value in state.raw_properties.get(event.record, event.properties)
            ],
        }
        for event in state.events
    ]


def _raw(value: Any) -> Any:
    return {"$bytes": list(value)} if isinstance(value, bytes) else value


def _policies(effective: str) -> list[dict[str, str]]:
    scopes = ("MachinePolicy", "UserPolicy", "Process", "CurrentUser", "LocalMachine")
    values = {"Process": "Bypass", "LocalMachine": effective}
    return [{"Scope": scope, "ExecutionPolicy": values.get(scope, "Undefined")} for scope in scopes]


def _certificates(state: GuestState) -> dict[str, Any]:
    def rows(store: str) -> Iterable[dict[str, str]]:
        for certificate in reversed(state.certificates):
            if certificate.store == store:
                yield {"Thumbprint": certificate.thumbprint.lower(), "Subject": certificate.subject}

    return {store: list(rows(store)) for store in ("Root", "TrustedPublisher")}
