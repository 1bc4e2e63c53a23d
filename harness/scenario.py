"""What scenarios import, all of it: types of the fixtures, markers, helpers.

A scenario is a thin test that reads like the specification::

    from harness.scenario import Guest, Measure, PowerParams, drivers, shut_down

    @drivers("xenbus", "xeniface")
    def test_shutdown_is_acknowledged(guest: Guest, power: PowerParams, measure: Measure) -> None:
        stop = shut_down(guest, ack_s=power.acknowledge_s, off_s=power.shutdown_s)
        measure("shutdown_acknowledged", stop.acknowledged_s, "s", better="lower")

Fixtures: ``guest`` (booted, drivers installed and verified), ``installed_guest`` (installed, not
judged yet), ``bare_guest`` (a fresh one as its template is), ``driver_build``, ``older_build``,
``host``, ``measure``, ``crash_watch``, and the profile's parameters of each area by its name
(``power``, ``network``, ``storage``, ``balloon``, ``install``, ``interface``);
for work: ``tools``, ``traffic``, ``data_disks``, ``payloads``, ``store_folder``, ``record``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, Protocol, TypeVar

import pytest

from harness.deadline import Deadline, Done, NotYet, WaitTimedOut, wait_until
from harness.errors import GuestError, OperationFailed
from harness.guest.crash import CrashWatch
from harness.guest.guest import Guest
from harness.guest.power import Stop, reboot, shut_down, start_again
from harness.host.host import Host
from harness.host.toolstack.protocol import Fallback, Trigger
from harness.install import (
    InstallReport,
    UninstallReport,
    Verification,
    install_build,
    uninstall_build,
    verify_drivers,
)
from harness.lab import ToolName
from harness.lab.match import Requirement
from harness.lab.profile import (
    BalloonParams,
    InstallParams,
    InterfaceParams,
    NetworkParams,
    PowerParams,
    StorageParams,
)
from harness.model import INSTALL_ORDER, Change, DriverName, GuestKind, Measurement, ToolstackName, XenVersion
from harness.package import DriverBuild
from harness.workload.balloon import Balloon, Tolerance
from harness.workload.datadisk import DataDisk, DataDisks
from harness.workload.disk import Access, DiskLoad, Order
from harness.workload.measure import Direction
from harness.workload.offload import checksum_keywords, checksum_offload, own_adapter
from harness.workload.payload import Payloads
from harness.workload.tools import GuestTools
from harness.workload.traffic import Traffic
from harness.workload.watching import watch_in_guest

__all__ = [
    "INSTALL_ORDER",
    "Access",
    "Balloon",
    "BalloonParams",
    "Change",
    "CrashWatch",
    "DataDisk",
    "DataDisks",
    "Deadline",
    "Direction",
    "DiskLoad",
    "Done",
    "DriverBuild",
    "DriverName",
    "Fallback",
    "Guest",
    "GuestError",
    "GuestKind",
    "GuestTools",
    "Host",
    "InstallParams",
    "InstallReport",
    "InterfaceParams",
    "Measure",
    "Measurement",
    "NetworkParams",
    "NotYet",
    "OperationFailed",
    "Order",
    "Payloads",
    "PowerParams",
    "Record",
    "Requirement",
    "Stop",
    "StorageParams",
    "Tolerance",
    "ToolName",
    "ToolstackName",
    "Traffic",
    "Trigger",
    "UninstallReport",
    "Verification",
    "WaitTimedOut",
    "XenVersion",
    "changes",
    "checksum_keywords",
    "checksum_offload",
    "dirties",
    "drivers",
    "exclusive",
    "hck",
    "install_build",
    "own_adapter",
    "reboot",
    "requires",
    "shut_down",
    "start_again",
    "uninstall_build",
    "verify_drivers",
    "wait_until",
    "watch_in_guest",
]

_Test = TypeVar("_Test", bound=Callable[..., None])


class Measure(Protocol):
    """Records a number of this test with the parameters it was taken under."""

    def __call__(
        self,
        metric: str,
        value: float | None,
        unit: str,
        *,
        better: Literal["higher", "lower"],
        samples: tuple[float, ...] = (),
        **params: str | float,
    ) -> None:
        """Record it; None (could not be seen) is not recorded."""


class Record(Protocol):
    """Records what a workload measured, as it comes from ``Traffic`` and ``DataDisk``."""

    def __call__(self, measurements: Iterable[Measurement], /) -> None:
        """Record them all."""


def drivers(*names: str) -> Callable[[_Test], _Test]:
    """The drivers whose sheets this test counts on: it fails when one of them does not work."""
    return pytest.mark.pv_drivers(*(DriverName(name) for name in names))


def requires(requirement: Requirement) -> Callable[[_Test], _Test]:
    """What host, template and lab must have; else the test is skipped with the reason."""
    return pytest.mark.pv_requires(requirement)


def changes(*what: Change) -> Callable[[_Test], _Test]:
    """What this test does to its guest and cannot take back: the owner of an adopted one has to allow it."""
    return pytest.mark.pv_changes(*what)


def hck(*tests: str) -> Callable[[_Test], _Test]:
    """Names of the HCK/HLK tests this scenario stands for."""
    return pytest.mark.pv_hck(*tests)


def dirties(test: _Test) -> _Test:
    """After this test the guest is not as it was: the next test gets a fresh one."""
    return _marked(test, pytest.mark.pv_dirties)


def exclusive(test: _Test) -> _Test:
    """This test measures or reads host-wide figures: it has its host for itself."""
    return _marked(test, pytest.mark.pv_exclusive)


def _marked(test: _Test, mark: pytest.MarkDecorator) -> _Test:
    mark(test)  # stores itself on the function
    return test
