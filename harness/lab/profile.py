"""Profiles: what a run does and how much of it, typed and frozen.

Each area has its parameters; scenarios take every size, duration and number of
cycles from there. All times are in seconds, before the host's ``time_factor``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from harness.model import Area

__all__ = [
    "Axis",
    "BalloonParams",
    "InstallParams",
    "InterfaceParams",
    "Limits",
    "NetworkParams",
    "PowerParams",
    "Profile",
    "StorageParams",
    "limits_of",
]

T = TypeVar("T")

_DAY_S = 86400


class Axis(StrEnum):
    """What tells hosts apart: a test runs once per value of each axis of its profile."""

    HOST = "host"
    TOOLSTACK = "toolstack"
    XEN = "xen"


@dataclass(frozen=True)
class Limits:
    """What a number of a profile may be, for each element where there are several."""

    low: float
    high: float


def _number(default: T, low: float, high: float) -> T:
    return field(default=default, metadata={"limits": Limits(low, high)})


def _seconds(default: float) -> float:
    return _number(default, 0.1, _DAY_S)


def limits_of(metadata: Any) -> Limits | None:
    """The limits in the metadata of a parameter's field, if it is a number."""
    limits = metadata.get("limits")
    return limits if isinstance(limits, Limits) else None


@dataclass(frozen=True)
class InstallParams:
    """Installing, upgrading and removing a driver build."""

    max_reboots: int = _number(3, 0, 20)  # of the reboot loop
    boot_s: float = _seconds(600)  # from create or reboot until WinRM answers
    install_s: float = _seconds(300)  # one package
    settle_s: float = _seconds(120)  # until devices and front ends are what they should be


@dataclass(frozen=True)
class NetworkParams:
    """iperf3 and payload transfers."""

    seconds: float = _seconds(10)  # each measurement
    warm_up_s: float = _number(1.0, 0, 600)  # not counted
    repeats: int = _number(3, 1, 100)  # samples of each measurement
    streams: tuple[int, ...] = _number((1, 8), 1, 128)
    udp_mbps: int = _number(100, 1, 100_000)  # offered load
    udp_loss_percent: float = _number(1.0, 0, 100)  # more is a failure
    payload_mib: int = _number(64, 1, 65536)  # sent and compared by SHA-256
    offload_seconds: float = _seconds(5)  # with checksum offload on, and again off


@dataclass(frozen=True)
class StorageParams:
    """Work on a PV disk that the run creates."""

    disk_mib: int = _number(2048, 64, 1_048_576)
    seconds: float = _seconds(10)  # each measurement
    repeats: int = _number(3, 1, 100)  # samples of each measurement
    block_sizes_kib: tuple[int, ...] = _number((4, 64), 1, 16384)
    depths: tuple[int, ...] = _number((1, 32), 1, 1024)
    pattern_blocks: int = _number(256, 1, 1_048_576)  # written, read again after a reboot
    pattern_block_kib: int = _number(64, 4, 16384)
    flushes: int = _number(32, 1, 100_000)
    attach_s: float = _seconds(60)  # until the guest sees the disk


@dataclass(frozen=True)
class BalloonParams:
    """Memory targets, down and up again. The tolerances are proposals (facts/pv-drivers.md 3)."""

    steps: int = _number(4, 1, 64)  # from full to the floor
    cycles: int = _number(2, 1, 1000)
    floor_percent: float = _number(50.0, 1, 99)  # of the guest's memory: has to be reached
    tolerance_mib: int = _number(4, 0, 1024)  # guest, xl list and host agree, settled
    progress_tolerance_mib: int = _number(32, 0, 4096)  # while memory moves
    settle_s: float = _seconds(120)  # each step
    impossible_percent: float = _number(5.0, 0.1, 99)  # of its memory: cannot be reached
    impossible_s: float = _seconds(60)  # how long it is left there
    recover_s: float = _seconds(180)  # until the guest is back at full memory


@dataclass(frozen=True)
class PowerParams:
    """Shutdown and reboot by the toolstack."""

    cycles: int = _number(3, 1, 10_000)
    load_cycles: int = _number(1, 1, 1000)  # under network and storage load
    acknowledge_s: float = _seconds(30)  # until control/shutdown is taken
    shutdown_s: float = _seconds(300)
    reboot_s: float = _seconds(600)  # until the guest answers with a new boot id
    refusal_s: float = _seconds(60)  # without PV drivers: how long nothing may happen


@dataclass(frozen=True)
class InterfaceParams:
    """xenstore through XENIFACE."""

    keys: int = _number(16, 1, 10_000)  # written and read on each side
    value_bytes: int = _number(256, 1, 3072)  # a xenstore message holds 4096 bytes in all
    watches: int = _number(8, 1, 1000)  # changes that have to be seen
    watch_s: float = _seconds(30)  # each


@dataclass(frozen=True)
class Profile:
    """One ``profiles/NAME.toml``.

    ``select`` and ``deselect`` are shell patterns on test ids; an empty ``select`` means
    every test of the areas. Hosts that no axis tells apart are a pool.
    """

    name: str
    description: str = ""
    areas: tuple[Area, ...] = tuple(Area)
    axes: tuple[Axis, ...] = ()
    select: tuple[str, ...] = ()
    deselect: tuple[str, ...] = ()
    install: InstallParams = InstallParams()
    network: NetworkParams = NetworkParams()
    storage: StorageParams = StorageParams()
    balloon: BalloonParams = BalloonParams()
    power: PowerParams = PowerParams()
    interface: InterfaceParams = InterfaceParams()
