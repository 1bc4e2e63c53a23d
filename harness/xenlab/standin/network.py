"""Network adapters: from /sys/class/net, ``ip`` and ethtool, with settings named as on Windows."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from harness.model import DriverName
from harness.operations import NetworkAdapter, NetworkStatistics, OperationRefused
from harness.xenlab.standin import ethtool
from harness.xenlab.standin.devices import Devices, DeviceTree
from harness.xenlab.standin.hardware import Hardware

__all__ = ["Network", "feature_of", "settings_of", "wanted_state"]

# XENNET's keywords (facts/pv-drivers.md 4) for what the interface itself can switch: 0 is off, on is 1 where
# Windows knows one direction, and for checksums 1 sent, 2 received, 3 both.
_SENT = {
    "*LSOV2IPv4": "tx-tcp-segmentation",
    "*LSOV2IPv6": "tx-tcp6-segmentation",
    "*TCPChecksumOffloadIPv4": "tx-checksum-ipv4",
    "*TCPChecksumOffloadIPv6": "tx-checksum-ipv6",
    "*UDPChecksumOffloadIPv4": "tx-checksum-ipv4",
    "*UDPChecksumOffloadIPv6": "tx-checksum-ipv6",
}
_GENERIC = "tx-checksum-ip-generic"  # e1000 has one switch for all protocols
_RECEIVED = "rx-checksum"
_MBIT = 1_000_000
_FRONT_END = re.compile(r"vif-(\d+)")


def feature_of(keyword: str, names: frozenset[str]) -> str | None:
    """The feature that a keyword switches, of those an interface has; None for none."""
    name = _SENT.get(keyword)
    if name is not None and name not in names and "checksum" in name:
        name = _GENERIC
    return name if name in names else None


def settings_of(features: dict[str, ethtool.Feature]) -> tuple[tuple[str, str], ...]:
    """The settings a person can change here, sorted by keyword: Windows lists no others.

    netfront has checksums over IPv4 fixed (Linux 6.1, drivers/net/xen-netfront.c: not in hw_features).
    """
    found = []
    names = frozenset(name for name, feature in features.items() if feature.changeable)
    for keyword in _SENT:
        name = feature_of(keyword, names)
        if name is None:
            continue
        value = int(features[name].on)
        if "Checksum" in keyword and _RECEIVED in features:
            value |= 2 * int(features[_RECEIVED].on)
        found.append((keyword, str(value)))
    return tuple(sorted(found))


def wanted_state(keyword: str, value: str) -> bool:
    """Whether a value of a setting means that sending is offloaded.

    Raises:
        OperationRefused: the keyword does not take that value.
    """
    allowed = {"0", "1", "2", "3"} if "Checksum" in keyword else {"0", "1"}
    if value not in allowed:
        raise OperationRefused(
            "bad-parameter", f"{keyword} takes {', '.join(sorted(allowed))}, not {value!r}"
        )
    return bool(int(value) & 1)


class Network:
    """The guest's adapters."""

    def __init__(self, hardware: Hardware, devices: Devices) -> None:
        self._hardware = hardware
        self._devices = devices
        self._net = hardware.root / "sys/class/net"

    def adapters(self) -> tuple[NetworkAdapter, ...]:
        """See ``GuestOperations.network_adapters``: those with a device behind them."""
        addresses = _addresses()
        tree = self._devices.now()
        found = [
            self._adapter(path, tree, addresses.get(path.name, ()))
            for path in sorted(self._net.iterdir())
            if (path / "device").exists()
        ]
        return tuple(sorted(found, key=lambda adapter: adapter.mac))

    def change(self, mac: str, keyword: str, value: str) -> None:
        """See ``GuestOperations.set_network_setting``. Only sending can be switched; the rest is fixed.

        Raises:
            OperationRefused: no such adapter or setting, or the driver has it fixed.
        """
        path = next((path for path in self._net.iterdir() if self._mac(path) == mac.lower()), None)
        if path is None:
            raise OperationRefused("not-found", f"there is no adapter {mac}")
        features = ethtool.features(path.name)
        name = feature_of(keyword, frozenset(features))
        if name is None:
            raise OperationRefused("not-found", f"adapter {mac} has no setting {keyword}")
        on = wanted_state(keyword, value)
        feature = features[name]
        if feature.on == on:
            return
        if not feature.changeable:
            raise OperationRefused("command-failed", f"adapter {mac}: its driver has {name} fixed")
        ethtool.switch(path.name, feature, on=on)
        if ethtool.features(path.name)[name].on != on:
            raise OperationRefused("command-failed", f"adapter {mac}: {name} stays as it was")

    def _adapter(self, path: Path, tree: DeviceTree, addresses: tuple[str, ...]) -> NetworkAdapter:
        match = _FRONT_END.fullmatch(_device(path))
        number = int(match[1]) if match else None
        package = tree.running(DriverName.XENNET) if match else None
        up = _text(path / "operstate") == "up"
        return NetworkAdapter(
            name=path.name,
            description=f"emulated {_driver(path)}" if number is None else f"Xen PV Network Device #{number}",
            mac=self._mac(path),
            instance_id=self._pci_id(path) if number is None else tree.network_id(number),
            up=up,
            speed_bps=max(0, int(_text(path / "speed") or 0)) * _MBIT if up else 0,
            mtu=int(_text(path / "mtu") or 0),
            addresses=addresses,
            driver_version=package.version if package else "",
            statistics=_statistics(path / "statistics"),
            settings=settings_of(ethtool.features(path.name)),
        )

    def _mac(self, path: Path) -> str:
        if not (path / "device").exists():
            return ""
        return ethtool.permanent_mac(path.name) or _text(path / "address")

    def _pci_id(self, path: Path) -> str:
        slot = _device(path)
        return next((one.instance_id for one in self._hardware.pci_devices() if one.slot == slot), "")


def _addresses() -> dict[str, tuple[str, ...]]:
    listed: list[dict[str, Any]] = json.loads(
        subprocess.run(["ip", "-j", "address"], capture_output=True, check=True, timeout=30).stdout
    )
    return {
        link["ifname"]: tuple(sorted(entry["local"] for entry in link["addr_info"] if "local" in entry))
        for link in listed
        if "addr_info" in link
    }


def _statistics(folder: Path) -> NetworkStatistics:
    def count(name: str) -> int:
        return int(_text(folder / name) or 0)

    return NetworkStatistics(
        received_bytes=count("rx_bytes"),
        sent_bytes=count("tx_bytes"),
        received_packets=count("rx_packets"),
        sent_packets=count("tx_packets"),
        received_errors=count("rx_errors"),
        sent_errors=count("tx_errors"),
    )


def _device(path: Path) -> str:
    return (path / "device").resolve().name


def _driver(path: Path) -> str:
    return (path / "device/driver").resolve().name


def _text(path: Path) -> str:
    """A file of sysfs; ``speed`` of an interface that is down gives EINVAL."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
