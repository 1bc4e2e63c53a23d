"""Network adapters: emulated ones while they are plugged in, PV ones that work, and who has an address."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.operations import NetworkAdapter, NetworkStatistics, OperationRefused
from harness.simlab.faults import FaultKind, Faults
from harness.simlab.guest.devicetree import Node, Tree, shown_version
from harness.simlab.guest.disk import Kept
from harness.simlab.guest.editions import Edition
from harness.simlab.guest.hardware import emulated_instance
from harness.simlab.machine import Machine, MachineNic

__all__ = ["Network"]

_MTU = 1500
_EMULATED_BPS = 1_000_000_000
_PV_BPS = 100_000_000_000  # XENVIF's own figure where xenstore names none (facts/pv-drivers.md 4)
_PACKET = 1460

# Defaults of xennet.inf (facts/pv-drivers.md 4), for an INF that names none.
_PV_SETTINGS = {
    "*IPChecksumOffloadIPv4": "3",
    "*LSOV2IPv4": "1",
    "*LSOV2IPv6": "1",
    "*NumRSSQueues": "8",
    "*RSS": "1",
    "*TCPChecksumOffloadIPv4": "3",
    "*TCPChecksumOffloadIPv6": "3",
    "*UDPChecksumOffloadIPv4": "3",
    "*UDPChecksumOffloadIPv6": "3",
    "LROIPv4": "1",
    "LROIPv6": "1",
    "NeedChecksumValue": "1",
}
_EMULATED_SETTINGS = {"*FlowControl": "3", "*SpeedDuplex": "0"}  # guess: two that every inbox driver has


@dataclass
class _Adapter:
    """An adapter that is there now."""

    nic: MachineNic
    instance_id: str
    description: str
    driver_version: str
    defaults: Mapping[str, str]
    pv: bool


class Network:
    """The adapters of a running guest."""

    def __init__(
        self, seed: str, kept: Kept, edition: Edition, faults: Faults, tree: Callable[[], Tree]
    ) -> None:
        self._seed = seed
        self._kept = kept
        self._edition = edition
        self._faults = faults
        self._tree = tree
        self._leases: dict[tuple[str, bool], str] = {}
        self._carried: Counter[str] = Counter()

    def adapters(self, machine: Machine) -> tuple[NetworkAdapter, ...]:
        """See ``GuestOperations.network_adapters``."""
        found = [
            self._shown(machine, number, adapter) for number, adapter in enumerate(self._present(machine))
        ]
        return tuple(sorted(found, key=lambda adapter: adapter.mac))

    def way_out(self, machine: Machine) -> tuple[str, bool] | None:
        """The address the guest can be reached at, and whether that goes by PV; None without a network."""
        for adapter in self._present(machine):
            lost = FaultKind.NETWORK_CUT in self._faults or (
                adapter.pv and FaultKind.NETWORK_LOST in self._faults
            )
            if not lost:
                return self._address(machine, adapter), adapter.pv
        return None

    def addresses(self, machine: Machine, index: int) -> tuple[str, ...]:
        """The addresses of a PV interface."""
        for adapter in self._present(machine):
            if adapter.pv and adapter.nic.index == index:
                return self._addresses(machine, adapter)
        return ()

    def settings(self, nic: MachineNic) -> Mapping[str, str]:
        """The settings of a PV interface as they stand."""
        return self._settings(nic, self._pv_defaults())

    def change(self, machine: Machine, mac: str, keyword: str, value: str) -> _Adapter:
        """See ``GuestOperations.set_network_setting``; what is kept is changed."""
        for adapter in self._present(machine):
            if adapter.nic.mac.lower() == mac:
                if keyword not in adapter.defaults:
                    raise OperationRefused("not-found", f"adapter {mac} has no setting {keyword}")
                self._kept.adapters.setdefault(mac, {})[keyword] = value
                return adapter
        raise OperationRefused("not-found", f"there is no adapter {mac}")

    def count(self, machine: Machine, size: int) -> None:
        """So many bytes went over the network the guest is reached by, half of them each way."""
        if FaultKind.COUNTERS_STUCK in self._faults:
            return
        for adapter in self._present(machine)[:1]:
            self._carried[adapter.nic.mac] += size

    # -- inner parts

    def _present(self, machine: Machine) -> list[_Adapter]:
        found = []
        version = f"{self._edition.version}.1"
        nets = {node.number: node for node in self._tree().nodes if node.instance_id.startswith("XENVIF\\")}
        for nic in machine.nics:
            if nic.model is not None:
                instance, name = emulated_instance(nic)
                found.append(_Adapter(nic, instance, name, version, _EMULATED_SETTINGS, pv=False))
            node = nets.get(nic.index)
            if node is not None and node.works and nic.index in self._tree().vifs:
                found.append(
                    _Adapter(
                        nic, node.instance_id, node.name, self._version(node), self._pv_defaults(), pv=True
                    )
                )
        return found

    def _pv_defaults(self) -> Mapping[str, str]:
        for node in self._tree().nodes:
            if node.instance_id.startswith("XENVIF\\") and node.package and node.package.inf.settings:
                return node.package.inf.settings
        return _PV_SETTINGS

    def _version(self, node: Node) -> str:
        return shown_version(node.package, self._faults) if node.package else ""

    def _settings(self, nic: MachineNic, defaults: Mapping[str, str]) -> dict[str, str]:
        changed = self._kept.adapters.get(nic.mac.lower(), {})
        return {key: changed.get(key, value) for key, value in sorted(defaults.items())}

    def _shown(self, machine: Machine, number: int, adapter: _Adapter) -> NetworkAdapter:
        # Windows gives the second adapter it meets, the PV one, the next name
        place = number + adapter.pv
        carried = self._carried[adapter.nic.mac]
        first = _noise(f"{self._seed}/{adapter.nic.mac}/{adapter.pv}")
        received, sent = 400_000 + first + carried // 2, 250_000 + first // 2 + carried - carried // 2
        return NetworkAdapter(
            name=self._edition.adapter + (f" {place + 1}" if place else ""),
            description=adapter.description,
            mac=adapter.nic.mac.lower(),
            instance_id=adapter.instance_id,
            up=True,
            speed_bps=self._speed(machine, adapter),
            mtu=self._mtu(machine, adapter),
            addresses=self._addresses(machine, adapter),
            driver_version=adapter.driver_version,
            statistics=NetworkStatistics(received, sent, received // _PACKET, sent // _PACKET, 0, 0),
            settings=tuple(self._settings(adapter.nic, adapter.defaults).items()),
        )

    def _speed(self, machine: Machine, adapter: _Adapter) -> int:
        if not adapter.pv:
            return _EMULATED_BPS
        speed, _, unit = _front(machine, adapter, "speed").partition(",")
        return int(speed) * {"": 1, "K": 1000, "M": 10**6, "G": 10**9}.get(unit, 1) if speed else _PV_BPS

    def _mtu(self, machine: Machine, adapter: _Adapter) -> int:
        return int(_front(machine, adapter, "mtu") or _MTU) if adapter.pv else _MTU

    def _addresses(self, machine: Machine, adapter: _Adapter) -> tuple[str, ...]:
        parts = [int(part, 16) for part in adapter.nic.mac.split(":")]
        if adapter.pv and FaultKind.NETWORK_LOST in self._faults:
            found = f"169.254.{parts[4]}.{parts[5]}"  # APIPA: nobody answers DHCP
        else:
            found = self._address(machine, adapter)
        return tuple(sorted((found, _link_local(parts))))

    def _address(self, machine: Machine, adapter: _Adapter) -> str:
        key = (adapter.nic.mac, adapter.pv)
        if key not in self._leases:
            self._leases[key] = machine.lease(adapter.nic.mac)
        return self._leases[key]


def _front(machine: Machine, adapter: _Adapter, key: str) -> str:
    return machine.store.get(f"/local/domain/{machine.domid}/device/vif/{adapter.nic.index}/{key}")


def _link_local(parts: list[int]) -> str:
    """fe80:: with the modified EUI-64 of a MAC (RFC 4291 appendix A)."""
    first = parts[0] ^ 2
    words = (first << 8 | parts[1], parts[2] << 8 | 0xFF, 0xFE00 | parts[3], parts[4] << 8 | parts[5])
    return "fe80::" + ":".join(f"{word:x}" for word in words)


def _noise(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:2], "big")
