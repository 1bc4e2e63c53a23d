"""The fixtures scenarios use; their types are published in ``harness.scenario``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import cast

import pytest

from harness.errors import InfrastructureError
from harness.evidence import Scene, store_of
from harness.guest.crash import CrashWatch
from harness.guest.guest import Guest
from harness.host.figures import read_figures
from harness.host.host import Host
from harness.lab import GuestTemplate
from harness.lab.profile import (
    BalloonParams,
    InstallParams,
    InterfaceParams,
    NetworkParams,
    PowerParams,
    StorageParams,
)
from harness.package import DriverBuild
from harness.scenario import Measure
from harness.session.attempt import Attempt
from harness.session.lab_session import LabSession, LeasedHost
from harness.session.placement import Placement
from harness.session.state import attempt_key, lab_of, planned_key

__all__ = [
    "balloon",
    "bare_guest",
    "crash_watch",
    "driver_build",
    "guest",
    "host",
    "install",
    "installed_guest",
    "interface",
    "measure",
    "network",
    "older_build",
    "placement",
    "power",
    "pv_lab",
    "storage",
]

_STORE_S = 30


@pytest.fixture
def pv_lab(request: pytest.FixtureRequest) -> LabSession:
    """The lab of this run."""
    return lab_of(request.config)


@pytest.fixture
def placement(request: pytest.FixtureRequest) -> Placement:
    """Where this test runs: a parameter of every test that needs a host."""
    return cast("Placement", request.param)


@pytest.fixture
def _attempt(request: pytest.FixtureRequest) -> Attempt:
    attempt: Attempt = request.node.stash[attempt_key]
    return attempt


@pytest.fixture
def _leased(
    pv_lab: LabSession,
    placement: Placement,  # noqa: ARG001  # what a test is placed by; where it can run was planned from it
    request: pytest.FixtureRequest,
    _attempt: Attempt,
) -> LeasedHost:
    able = request.node.stash[planned_key].hosts
    chosen = pv_lab.choose(able, _attempt.avoid)
    _attempt.host = pv_lab.host(chosen)
    _attempt.leased = pv_lab.lease(chosen)
    # beside an adopted domain others do what they like: figures of the whole host say nothing of a test
    if request.node.get_closest_marker("pv_exclusive") and pv_lab.options.adoption is None:
        _attempt.figures = read_figures(_attempt.host)
    return _attempt.leased


@pytest.fixture
def _template(pv_lab: LabSession, placement: Placement) -> GuestTemplate:
    return pv_lab.template(placement.template)


@pytest.fixture
def host(_leased: LeasedHost) -> Host:
    """The host the test was placed on."""
    return _leased.host


@pytest.fixture
def installed_guest(
    _leased: LeasedHost, _template: GuestTemplate, _attempt: Attempt, request: pytest.FixtureRequest
) -> Iterator[Guest]:
    """A guest with the drivers installed, whether or not they work; the next test gets it too if it can."""
    found = _leased.keeper.installed(_template)
    _watch(_attempt, found)
    yield found
    if _attempt.spoilt or request.node.get_closest_marker("pv_dirties"):
        found.break_()


@pytest.fixture
def guest(
    _leased: LeasedHost, _template: GuestTemplate, _attempt: Attempt, request: pytest.FixtureRequest
) -> Iterator[Guest]:
    """A guest with its drivers installed and verified; it serves the next test as well if all is well."""
    found = _leased.keeper.installed(_template)
    _attempt.guest = found
    _leased.keeper.verify(found)
    _watch(_attempt, found)
    yield found
    if _attempt.spoilt or request.node.get_closest_marker("pv_dirties"):
        found.break_()


@pytest.fixture
def bare_guest(_leased: LeasedHost, _template: GuestTemplate, _attempt: Attempt) -> Iterator[Guest]:
    """A fresh guest as its template is, without drivers; it is removed after the test."""
    found = _leased.keeper.fresh(_template)
    _watch(_attempt, found)
    yield found
    _leased.keeper.remove(found)


@pytest.fixture
def crash_watch(_attempt: Attempt) -> CrashWatch:
    """The watch that looks for crashes after this test; ask for ``guest`` before it."""
    assert _attempt.watch is not None, "crash_watch needs a guest: name that fixture first"
    return _attempt.watch


@pytest.fixture
def driver_build(pv_lab: LabSession) -> DriverBuild:
    """The build under test; tests that ask for it are skipped when the run has none."""
    if pv_lab.build is None:
        pytest.skip("the run has no driver build: give --build")
    return pv_lab.build


@pytest.fixture
def older_build(pv_lab: LabSession) -> DriverBuild:
    """The build to upgrade from."""
    if pv_lab.older_build is None:
        pytest.skip("the run has no older build to upgrade from: give --upgrade-from")
    return pv_lab.older_build


@pytest.fixture
def measure(_attempt: Attempt) -> Measure:
    """Records numbers of this test."""
    return _attempt.measure


@pytest.fixture
def install(pv_lab: LabSession) -> InstallParams:
    """The profile's parameters of this area."""
    return pv_lab.profile.install


@pytest.fixture
def network(pv_lab: LabSession) -> NetworkParams:
    """The profile's parameters of this area."""
    return pv_lab.profile.network


@pytest.fixture
def storage(pv_lab: LabSession) -> StorageParams:
    """The profile's parameters of this area."""
    return pv_lab.profile.storage


@pytest.fixture
def balloon(pv_lab: LabSession) -> BalloonParams:
    """The profile's parameters of this area."""
    return pv_lab.profile.balloon


@pytest.fixture
def power(pv_lab: LabSession) -> PowerParams:
    """The profile's parameters of this area."""
    return pv_lab.profile.power


@pytest.fixture
def interface(pv_lab: LabSession) -> InterfaceParams:
    """The profile's parameters of this area."""
    return pv_lab.profile.interface


def _watch(attempt: Attempt, guest: Guest) -> None:
    attempt.guest = guest
    attempt.watch = CrashWatch(guest)
    # without it there is nothing to compare with: no reason to have the test break
    with contextlib.suppress(InfrastructureError):
        attempt.store_before = store_of(Scene(guest.host, guest), guest.deadline(_STORE_S))
