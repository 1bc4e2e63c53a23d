"""Fixtures that put work on the guest; their types are published in ``harness.scenario``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import InfrastructureError
from harness.guest.deliver import deliver
from harness.guest.guest import Guest
from harness.guest.transfer import FileServer
from harness.lab import ToolName
from harness.scenario import Record
from harness.session.attempt import Attempt
from harness.session.lab_session import LabSession, LeasedHost
from harness.workload.datadisk import DataDisks
from harness.workload.payload import Payloads
from harness.workload.tools import GuestTools
from harness.workload.traffic import Traffic

__all__ = ["data_disks", "payloads", "record", "store_folder", "tools", "traffic"]

_LOOPBACK = "127.0.0.1"


@pytest.fixture
def record(_attempt: Attempt) -> Record:
    """Records what a workload measured."""
    return _attempt.measurements.extend


@pytest.fixture
def payloads(guest: Guest, pv_lab: LabSession) -> Iterator[Payloads]:
    """Random bytes to and from the guest, at the address hosts.ini names for us."""
    # simulated guests are on loopback themselves and need no address of ours
    spec = guest.host.spec
    with FileServer(spec.controller or _LOOPBACK, towards=spec.address) as server:
        yield Payloads(guest, server, pv_lab.options.seed)


@pytest.fixture
def tools(guest: Guest, pv_lab: LabSession) -> GuestTools:
    """The workload programs of the guest, put there when they are first asked for."""

    def carry(source: Path, target: str) -> None:
        warning = deliver(guest, source, target).warning
        if warning:
            pv_lab.warn(f"{guest.name}: {warning}")

    return GuestTools(guest, pv_lab.lab.tools, carry)


@pytest.fixture
def traffic(guest: Guest, tools: GuestTools) -> Iterator[Traffic]:
    """iperf3 between the guest and its peer, whose server lives as long as the test."""
    with Traffic.between(guest, tools.find(ToolName.IPERF3)) as found:
        yield found


@pytest.fixture
def data_disks(guest: Guest, _leased: LeasedHost, pv_lab: LabSession) -> Iterator[DataDisks]:
    """Makes PV data disks for the guest; they are taken away after the test."""
    with DataDisks(guest, _leased.area, pv_lab.options.seed) as disks:
        yield disks


@pytest.fixture
def store_folder(guest: Guest) -> Iterator[str]:
    """A folder of xenstore that the guest may fill, below its own; it is taken away after the test.

    ``data`` is writable for guests under every toolstack but that of Xen 3.4 (facts/pv-drivers.md 2.1).
    """
    folder = "data/pvhck"
    yield folder
    with contextlib.suppress(InfrastructureError):
        # the guest may be gone, and its part of xenstore with it
        guest.host.xenstore.remove(f"{guest.store}/{folder}")
