"""The stand-in's device tree: a device works only when sysfs says so, whatever is installed."""

from __future__ import annotations

import pytest
from xenlab_guest_tree import GuestTree

from harness.model import INSTALL_ORDER, DriverName
from harness.xenlab import pvstate
from harness.xenlab.standin.bootrecord import BootRecord, SigningSwitch
from harness.xenlab.standin.devices import Devices
from harness.xenlab.standin.driverstore import DriverStore
from harness.xenlab.standin.hardware import Hardware
from harness.xenlab.standin.places import Places
from harness.xenlab.standin.presets import preset_inf

BUS, IFACE, VIF, NET, VBD = INSTALL_ORDER


class Boot:
    """A guest that booted with some packages, as its agent sees it."""

    def __init__(self, root, installed):
        self.places = Places(root)
        self.places.installed.parent.mkdir(parents=True, exist_ok=True)
        self.places.installed.write_text(pvstate.installed_text(installed))
        self.store = DriverStore(self.places)
        self.store.prepare()
        record = BootRecord.take(self.places, self.store, SigningSwitch(self.places))
        self.devices = Devices(Hardware(root), self.store, record)

    def add(self, *names, version="1.0.0.0"):
        for name in names:
            inf = self.places.root / f"{name}.inf"
            inf.write_text(preset_inf(name).replace("1.0.0.0", version))
            self.store.add(inf)

    def problems(self):
        """Problem code by device of Xen's."""
        return {
            device.instance_id.split("&REV")[0].split("&SUBSYS")[0]: device.problem
            for device in self.devices.all()
            if "5853" in device.instance_id or device.instance_id.startswith("XEN")
        }

    def pending(self):
        return [one.driver for one in self.devices.pending_reboots()]


@pytest.fixture
def tree(tmp_path):
    return GuestTree(tmp_path)


def _all_in(tree):
    tree.bus_up()
    tree.front_end("vif-0", "vif", "Connected")
    tree.front_end("vbd-768", "vbd", "Connected")
    tree.open_xenstore()


def test_a_bare_guest_shows_the_platform_device_without_driver_and_the_emulated_ones(tree):
    tree.emulated_nic()
    tree.emulated_disk()
    boot = Boot(tree.root, ())
    assert boot.problems() == {r"PCI\VEN_5853&DEV_0001": 28}
    shown = {device.device_class for device in boot.devices.all()}
    assert {"Net", "DiskDrive"} <= shown
    assert boot.devices.services(("xenbus",)) == ()


def test_packages_installed_before_xenbus_runs_wait_in_the_store(tree):
    boot = Boot(tree.root, ())
    boot.add(*INSTALL_ORDER)
    assert boot.problems() == {r"PCI\VEN_5853&DEV_0001": 14}
    assert boot.pending() == ["xenbus"]
    assert [one.state for one in boot.devices.services(("xenbus", "xennet"))] == ["stopped", "stopped"]


def test_with_everything_connected_every_device_works(tree):
    _all_in(tree)
    boot = Boot(tree.root, INSTALL_ORDER)
    assert boot.problems() == {
        r"PCI\VEN_5853&DEV_0001": 0,
        r"XENBUS\VEN_XP0001&DEV_IFACE": 0,
        r"XENBUS\VEN_XP0001&DEV_VBD": 0,
        r"XENBUS\VEN_XP0001&DEV_VIF": 0,
        r"XENVIF\VEN_XP0001&DEV_NET": 0,
    }
    assert boot.pending() == []
    assert {one.state for one in boot.devices.services(("XENBUS", "xenagent", "xenvbd"))} == {"running"}


@pytest.mark.parametrize(
    ("spoil", "device"),
    [
        (lambda tree: tree.front_end("vif-0", "vif", "Initialising"), r"XENVIF\VEN_XP0001&DEV_NET"),
        (lambda tree: tree.front_end("vbd-768", "vbd", "Closed"), r"XENBUS\VEN_XP0001&DEV_VBD"),
        (lambda tree: (tree.root / "dev/xen/xenbus").unlink(), r"XENBUS\VEN_XP0001&DEV_IFACE"),
    ],
)
def test_an_installed_driver_whose_device_the_kernel_does_not_run_is_not_started(tree, spoil, device):
    _all_in(tree)
    spoil(tree)
    assert Boot(tree.root, INSTALL_ORDER).problems()[device] == 10


def test_a_bus_that_the_kernel_does_not_drive_is_not_started_although_installed(tree):
    assert Boot(tree.root, INSTALL_ORDER).problems() == {r"PCI\VEN_5853&DEV_0001": 10}


def test_xenvif_without_xennet_shows_the_device_that_xennet_is_for(tree):
    tree.bus_up()
    problems = Boot(tree.root, (BUS, VIF)).problems()
    assert problems[r"XENBUS\VEN_XP0001&DEV_VIF"] == 0
    assert problems[r"XENVIF\VEN_XP0001&DEV_NET"] == 28
    assert problems[r"XENBUS\VEN_XP0001&DEV_VBD"] == 28


def test_drivers_added_to_a_running_bus_ask_for_the_next_boot(tree):
    tree.bus_up()
    boot = Boot(tree.root, (BUS,))
    boot.add(VIF, NET, VBD)
    assert boot.pending() == ["xennet", "xenvbd", "xenvif"]
    assert boot.problems()[r"XENBUS\VEN_XP0001&DEV_IFACE"] == 28


def test_xeniface_needs_no_boot_only_its_device_file(tree):
    tree.bus_up()
    boot = Boot(tree.root, (BUS,))
    boot.add(IFACE)
    assert boot.problems()[r"XENBUS\VEN_XP0001&DEV_IFACE"] == 10
    tree.open_xenstore()
    assert boot.problems()[r"XENBUS\VEN_XP0001&DEV_IFACE"] == 0
    assert boot.pending() == []


def test_an_upgrade_runs_from_the_next_boot_on(tree):
    _all_in(tree)
    boot = Boot(tree.root, INSTALL_ORDER)
    boot.add(NET, version="2.0.0.0")
    (device,) = [one for one in boot.devices.all() if "DEV_NET" in one.instance_id]
    assert (device.driver_version, device.problem) == ("2.0.0.0", 14)
    assert boot.pending() == ["xennet"]
    again = Boot(tree.root, INSTALL_ORDER)
    assert again.pending() == ["xennet"], "an agent started anew in the same boot forgot what the boot had"


def test_a_driver_taken_away_runs_on_until_the_next_boot_and_asks_for_nothing(tree):
    _all_in(tree)
    boot = Boot(tree.root, INSTALL_ORDER)
    vbd = boot.store.best(VBD)
    boot.store.remove(vbd.published)
    assert boot.problems()[r"XENBUS\VEN_XP0001&DEV_VBD"] == 14
    assert boot.pending() == []
    tree.write("proc/sys/kernel/random/boot_id", "another\n")
    tree.front_end("vbd-768", "", "Initialising")
    (tree.root / "sys/bus/xen/devices/vbd-768/driver").unlink()
    after = Boot(tree.root, INSTALL_ORDER)
    assert after.problems()[r"XENBUS\VEN_XP0001&DEV_VBD"] == 28
    assert not any("XENVBD" in one.original.upper() for one in after.store.packages())


def test_the_driver_of_every_device_is_known_by_its_hardware_id(tree):
    _all_in(tree)
    boot = Boot(tree.root, INSTALL_ORDER)
    named = {one.driver_inf for one in boot.devices.all() if one.driver_inf}
    assert len(named) == len(DriverName)
