"""Partial sets on real Xen: which sheets fail when one driver is missing, and that it comes back.

The tests share a guest and run in the order they stand here: each begins with what the one before took
away put back, so that each costs one boot. What XENVIF is missing for, XENNET is missing for, too.
"""

from __future__ import annotations

import pytest
from xen_steps import BOOT_S, STEP_S, install_preset, uninstall_package

from harness.deadline import Done, NotYet, wait_until
from harness.install import look
from harness.install.patience import reboot_guest
from harness.model import Arch, DriverName
from harness.package import load_build, make_build
from harness.xenlab.standin.presets import PRESET_VERSION

pytestmark = [pytest.mark.xen, pytest.mark.slow]


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """A build as the template has it from the start: of the same version."""
    with load_build(make_build(tmp_path_factory.mktemp("build") / "b", version=PRESET_VERSION)) as loaded:
        yield loaded.for_arch(Arch.X64)


@pytest.fixture(scope="module")
def guest(boot):
    return boot("standin-all")


def _put_back(guest):
    there = {package.original for package in guest.operations.driver_packages()}
    for name in DriverName:
        if f"{name}.inf" not in there:
            install_preset(guest, name)


def _blamed(guest, build, wanted):
    """The drivers with faults, once they are the wanted ones; devices take a moment after a boot."""

    def probe():
        found = look(guest, build)
        blamed = {fault.driver for fault in found.faults}
        return Done(found) if blamed == wanted else NotYet(str([str(fault) for fault in found.faults]))

    return wait_until(
        probe, subject=f"{wanted or 'no driver'} is blamed", deadline=guest.deadline(STEP_S), interval_s=2
    )


def test_with_all_five_drivers_no_sheet_has_a_fault(guest, build):
    assert _blamed(guest, build, set()).ok


@pytest.mark.parametrize(
    ("missing", "blamed"),
    [
        ("xenvbd", {"xenvbd"}),
        ("xennet", {"xennet"}),
        ("xeniface", {"xeniface"}),
        ("xenvif", {"xenvif", "xennet"}),
        ("xenbus", {"xenbus", "xeniface", "xenvif", "xennet", "xenvbd"}),
    ],
)
def test_without_one_driver_its_sheet_fails_and_no_other_but_those_that_need_it(
    guest, build, missing, blamed
):
    _put_back(guest)
    uninstall_package(guest, DriverName(missing))
    reboot_guest(guest, boot_s=BOOT_S, why=f"{missing} was removed")
    found = _blamed(guest, build, {DriverName(name) for name in blamed})
    assert found.of(missing)
