"""The simulated guest gets drivers: what is seen in between, and what a whole set looks like."""

from __future__ import annotations

from pathlib import Path

import pytest
from guest_machine import MAC, bench

from harness.lab import NicModel
from harness.model import INSTALL_ORDER, Arch, DriverName
from harness.operations import OperationRefused
from harness.package.synthetic import Defect

_KEY_STATES = ("device/vif/0/state", "device/vbd/768/state")


def test_a_fresh_guest_has_emulated_devices_and_an_unknown_platform_device(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        box = one.start()
        assert one.problems() == {"BUS": 28}
        (adapter,) = one.ops.network_adapters()
        assert adapter.instance_id.startswith("PCI\\VEN_8086")
        assert [disk.name for disk in one.ops.disks()] == ["QEMU HARDDISK"]
        assert not box.callback
        assert [box.key(path) for path in _KEY_STATES] == ["1", "1"]
        assert one.ops.services(names=("xenbus", "xenagent")) == ()


def test_two_reboots_bring_all_five_drivers_up(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        one.put_build()
        one.sign_for_tests()
        ended = one.install()
        # pnputil: 3010 asks for a reboot, 259 has found no device yet
        assert [status.exit_code for status in ended] == [3010, 259, 259, 259, 259]
        assert one.problems() == {"BUS": 14}
        assert [pending.driver for pending in one.ops.pending_reboots()] == ["xenbus"]

        box = one.reboot()
        assert one.problems() == {"BUS": 0, "VIF": 0, "NET": 14, "VBD": 0, "IFACE": 0}
        assert [pending.driver for pending in one.ops.pending_reboots()] == ["xenvbd", "xenvif"]
        assert box.callback
        assert [box.key(path) for path in _KEY_STATES] == ["1", "1"]
        assert one.ops.disks()[0].name == "QEMU HARDDISK"

        box = one.reboot()
        assert set(one.problems().values()) == {0}
        assert one.ops.pending_reboots() == ()
        assert [box.key(path) for path in _KEY_STATES] == ["4", "4"]
        backs = [box.key(f"{path.rpartition('/')[0]}/backend") for path in _KEY_STATES]
        assert [box.store.get(f"{back}/state") for back in backs] == ["4", "4"]
        assert all(nic.model is None for nic in box.nics)
        (adapter,) = one.ops.network_adapters()
        assert (adapter.instance_id.split("\\")[0], adapter.mac) == ("XENVIF", MAC)
        assert [(disk.name, disk.target, disk.number) for disk in one.ops.disks()] == [
            ("XENSRC PVDISK", 0, 0)
        ]
        assert not [
            device for device in one.ops.pnp_devices(prefix="") if "QEMU_HARDDISK" in device.instance_id
        ]


def test_each_driver_says_its_name_in_xenstore_and_its_services_run(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        box = one.install_all()
        names = sorted(box.key(f"drivers/{number}") for number in range(5))
        assert names == sorted(f"pvhck (synthetic) {name.upper()} 9.1.0.42" for name in DriverName)
        wanted = (
            "xenbus",
            "xenfilt",
            "xenbus_monitor",
            "xeniface",
            "xenagent",
            "xenvif",
            "xennet",
            "xenvbd",
            "xendisk",
        )
        assert {service.name: service.state for service in one.ops.services(names=wanted)} == dict.fromkeys(
            wanted, "running"
        )
        for feature in ("poweroff", "reboot", "suspend", "s3", "s4"):
            assert box.key(f"control/feature-{feature}") == "1"
        assert box.key("control/feature-balloon") == "", "under xl the guest may not make nodes there"
        assert (box.key("feature/hotplug/vif"), box.key("feature/hotplug/vbd")) == ("1", "1")
        assert box.key("attr/vif/0/ipv4/0") == one.addresses[MAC]
        assert box.key("attr/vif/0/mac/0") == MAC
        assert box.key("device/vif/0/multi-queue-num-queues") == "2"
        assert box.key("device/vbd/768/target-id") == "0"


def test_devices_show_what_the_inf_says(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        one.install_all()
        (vif,) = [d for d in one.ops.pnp_devices(prefix="XENBUS\\") if "DEV_VIF" in d.instance_id]
        assert (vif.driver_version, vif.driver_provider) == ("9.1.0.42", "pvhck (synthetic)")
        assert (vif.service, vif.device_class, vif.signer) == ("xenvif", "System", "pvhck synthetic test")
        packages = one.ops.driver_packages()
        assert {package.original for package in packages} == {f"{name}.inf" for name in DriverName}
        assert vif.driver_inf in {package.published for package in packages}


@pytest.mark.parametrize("arch", list(Arch))
def test_old_windows_and_x86_take_a_build_too(tmp_path: Path, arch: Arch) -> None:
    with bench(tmp_path, os="Windows 7 (simulated)", arch=arch, memory_mib=1024) as one:
        one.start()
        one.install_all()
        assert set(one.problems().values()) == {0}
        assert one.ops.system_facts().architecture == arch
        assert one.ops.system_facts().os_version.startswith("6.1")
        assert one.ops.security_facts().defender_realtime is None


def test_without_xennet_the_interface_stays_emulated(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        one.put_build()
        one.sign_for_tests()
        one.install(DriverName.XENBUS, DriverName.XENVIF)
        one.reboot()
        box = one.reboot()
        assert one.problems() == {"BUS": 0, "VIF": 0, "NET": 28, "VBD": 28, "IFACE": 28}
        assert [nic.model for nic in box.nics] == ["e1000"]
        assert one.ops.pending_reboots() == ()


def test_a_bus_of_another_line_has_no_device_for_the_others(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        one.put_build("8.2.2.1")
        one.sign_for_tests()
        one.install(version="8.2.2.1")
        one.reboot()
        # the synthetic INFs name the revisions of 9.x: an 8.2 bus has no device for them
        assert one.problems() == {"BUS": 0, "VIF": 28, "VBD": 28, "IFACE": 28}


def test_a_pv_only_interface_works_after_the_reboots(tmp_path: Path) -> None:
    with bench(tmp_path, nic=NicModel.NONE) as one:
        one.start()
        assert one.system.endpoint.address == ""
        one.install_all()
        assert one.problems()["NET"] == 0
        assert one.system.endpoint.address == one.addresses[MAC]


def test_test_signed_drivers_do_not_load_without_test_signing(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        one.put_build()
        assert one.install(DriverName.XENBUS)[0].exit_code == 0
        assert one.problems() == {"BUS": 52}
        one.reboot()
        assert one.problems() == {"BUS": 52}
        assert not one.box.callback


def test_on_x86_no_signature_is_asked_for(tmp_path: Path) -> None:
    with bench(tmp_path, arch=Arch.X86) as one:
        one.start()
        one.put_build()
        one.install(DriverName.XENBUS)
        one.reboot()
        assert one.problems()["BUS"] == 0


@pytest.mark.parametrize(
    ("defect", "code"),
    [
        (Defect.NO_CATALOG, 0xE000022F),
        (Defect.UNSIGNED, 0xE000022F),
        (Defect.FILE_MISSING, 2),
        (Defect.INF_OF_OTHER_ARCH, 0xE0000101),
    ],
)
def test_a_broken_package_is_refused_and_leaves_nothing(tmp_path: Path, defect: Defect, code: int) -> None:
    with bench(tmp_path) as one:
        one.start()
        one.put_build(defect=defect, names=(DriverName.XENBUS,), arches=(Arch.X64,))
        (ended,) = one.install(DriverName.XENBUS)
        assert ended.exit_code is not None
        assert ended.exit_code % (1 << 32) == code
        assert one.ops.driver_packages() == ()
        assert one.problems() == {"BUS": 28}


def test_an_untrusted_publisher_is_refused(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        one.put_build()
        one.system.kept.certificates[:] = [c for c in one.system.kept.certificates if c.store == "Root"]
        (ended,) = one.install(DriverName.XENBUS)
        assert ended.exit_code == 0xE0000242 - (1 << 32)
        assert one.ops.driver_packages() == ()


def test_a_package_that_is_not_there_cannot_be_installed(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        with pytest.raises(OperationRefused, match="not-found"):
            one.ops.install_package(inf="C:\\none\\xenbus.inf")
        with pytest.raises(OperationRefused, match="bad-parameter"):
            one.ops.uninstall_package(published="xenbus.inf")


def test_an_upgrade_shows_the_new_version_and_an_older_one_changes_nothing(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        one.install_all()
        one.put_build("9.1.0.43")
        codes = {name: one.install(name, version="9.1.0.43")[0].exit_code for name in INSTALL_ORDER}
        assert codes["xeniface"] == codes["xenvif"] == codes["xennet"] == 0
        assert codes["xenbus"] == codes["xenvbd"] == 3010, "the bus and the system disk's adapter are in use"
        box = one.reboot()
        assert set(one.problems().values()) == {0}
        versions = {device.driver_version for device in one.ops.pnp_devices(prefix="XENBUS\\")}
        assert versions == {"9.1.0.43"}
        assert "9.1.0.43" in box.key("drivers/0")

        one.put_build("9.1.0.1")
        assert one.install(DriverName.XENVIF, version="9.1.0.1")[0].exit_code == 259
        versions = {device.driver_version for device in one.ops.pnp_devices(prefix="XENBUS\\")}
        assert versions == {"9.1.0.43"}


def test_uninstalling_takes_everything_back(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        one.install_all()
        by_name = {package.original: package.published for package in one.ops.driver_packages()}
        for name in ("xenvbd", "xennet", "xenvif", "xeniface", "xenbus"):
            ended = one.run(one.ops.uninstall_package(published=by_name[f"{name}.inf"]).job)
            assert ended.exit_code in {0, 3010}
        assert one.system.endpoint.address == "", "its interface is gone until the next boot"
        box = one.reboot()
        assert one.problems() == {"BUS": 28}
        assert [disk.name for disk in one.ops.disks()] == ["QEMU HARDDISK"]
        assert [nic.model for nic in box.nics] == ["e1000"]
        assert not box.callback
        assert one.ops.driver_packages() == ()
        assert one.ops.services(names=("xenbus", "xenfilt", "xenbus_monitor", "xenagent")) == ()
        assert box.key("drivers/0") == ""


def test_unplug_counters_without_xenvbd_end_in_an_inaccessible_boot_device(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        one.install_all()
        # a snapshot rolled back in part: the counter stands there, the driver is gone
        one.system.kept.packages[:] = [p for p in one.system.kept.packages if p.original != "xenvbd.inf"]
        one.ops.restart()
        one.box.await_stop()
        one.guest.cut()
        box = one.make_box()
        one.guest.power_on(box)
        assert box.await_stop() == "c"
        assert any("INACCESSIBLE_BOOT_DEVICE" in line for line in one.lines)
