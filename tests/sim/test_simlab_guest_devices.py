"""Devices of the simulated guest: hot plug, fault switches of single drivers, raw PV disks."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from guest_machine import MAC, bench

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.model import Arch, DriverName
from harness.operations import OperationRefused
from harness.simlab.faults import Faults
from harness.simlab.guest.catalog import Signature
from harness.simlab.guest.devicetree import AtBoot, Surroundings, scan
from harness.simlab.guest.disk import StoredPackage
from harness.simlab.guest.inf import Inf, InfModel, InfService
from harness.simlab.machine import MachineDisk, MachineNic


@pytest.mark.parametrize("code", [10, 28, 39])
@pytest.mark.parametrize(
    ("driver", "node"),
    [("xenbus", "BUS"), ("xeniface", "IFACE"), ("xenvif", "VIF"), ("xennet", "NET"), ("xenvbd", "VBD")],
)
def test_a_device_code_fault_hits_the_device_of_that_driver_and_no_other(
    tmp_path: Path, code: int, driver: str, node: str
) -> None:
    with bench(tmp_path, f"device-code-{code}:{driver}") as one:
        one.start()
        box = one.install_all()
        problems = one.problems()
        assert problems[node] == code
        below = {"BUS": set(problems), "VIF": {"VIF", "NET"}}.get(node, {node})
        assert {name for name, problem in problems.items() if problem} <= below
        assert one.system.endpoint.address, "with its twin still there the network works"
        if driver in {"xenvif", "xennet", "xenbus"}:
            assert box.key("device/vif/0/state") == "1"
            assert box.nics[0].model == "e1000"
        if driver in {"xenvbd", "xenbus"}:
            assert box.key("device/vbd/768/state") == "1"
            assert box.disks[0].emulated
        assert box.callback is (driver != "xenbus")
        if driver == "xeniface":
            with pytest.raises(OperationRefused, match="XENIFACE"):
                one.ops.xenstore_read(path="data")
            assert one.ops.services(names=("xenagent",)) == () or (
                one.ops.services(names=("xenagent",))[0].state == "stopped"
            )


def test_the_fault_version_mismatch_shows_on_the_device(tmp_path: Path) -> None:
    with bench(tmp_path, "version-mismatch:xenvif") as one:
        one.start()
        one.install_all()
        versions = {
            device.service: device.driver_version for device in one.ops.pnp_devices(prefix="XENBUS\\")
        }
        assert versions["xenvif"] == "9.1.0.43"
        assert {versions["xenvbd"], versions["xeniface"]} == {"9.1.0.42"}
        assert {package.version for package in one.ops.driver_packages()} == {"9.1.0.42"}


def _stored(name: DriverName, version: str, hardware_id: str, number: int) -> StoredPackage:
    inf = Inf(
        "Xen Project", "System", "01/01/2019", version, f"{name}.cat",
        (InfModel(hardware_id, f"Xen {name}"),), (InfService(name, "demand", associated=True),),
    )  # fmt: skip
    return StoredPackage(
        f"oem{number}.inf", f"{name}.inf", inf, Signature("Xen", issuers=("CN=Microsoft CA",))
    )


@pytest.mark.parametrize(
    ("twin", "unplugged", "problem", "counted"),
    [(True, False, 10, 1), (False, False, 0, 1), (True, True, 0, 1)],
)
def test_with_8_2_only_an_interface_whose_twin_is_up_fails_to_start(
    *, twin: bool, unplugged: bool, problem: int, counted: int
) -> None:
    bus = _stored(DriverName.XENBUS, "8.2.2.1", "PCI\\VEN_5853&DEV_0001", 0)
    packages = [
        bus,
        _stored(DriverName.XENVIF, "8.2.2.1", "XENBUS\\VEN_XP0001&DEV_VIF&REV_0800000B", 1),
        _stored(DriverName.XENNET, "8.2.2.1", "XENVIF\\VEN_XP0001&DEV_NET&REV_0800000D", 2),
    ]
    tree = scan(
        Surroundings(Arch.X64, packages, Faults(), AtBoot(bus=bus, no_nics=unplugged), vifs={0: twin})
    )
    (net,) = [node for node in tree.nodes if node.instance_id.startswith("XENVIF")]
    assert net.problem == problem
    assert tree.counters == {"NICS": counted}
    assert (DriverName.XENVIF in tree.waiting) is (problem != 0)


def test_another_vendors_bus_has_no_device_for_these_drivers() -> None:
    bus = _stored(DriverName.XENBUS, "9.1.0.1", "PCI\\VEN_5853&DEV_0001", 0)
    bus = replace(bus, inf=replace(bus.inf, provider="Citrix Systems, Inc."))
    vif = _stored(DriverName.XENVIF, "9.1.0.1", "XENBUS\\VEN_XP0001&DEV_VIF&REV_0900000B", 1)
    tree = scan(Surroundings(Arch.X64, [bus, vif], Faults(), AtBoot(bus=bus), vifs={0: True}))
    assert [node.problem for node in tree.nodes if "DEV_VIF" in node.instance_id] == [28]
    assert "VEN_XS0001" in tree.nodes[1].instance_id


def test_a_pv_disk_works_before_the_reboot_the_system_disk_needs(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.add_disk("xvdg", 51808, 6, 1 << 20)
        one.start()
        one.put_build()
        one.sign_for_tests()
        one.install(DriverName.XENBUS, DriverName.XENVBD)
        box = one.reboot()
        assert [(disk.number, disk.target) for disk in one.ops.disks()] == [(0, -1), (1, 6)]
        assert (box.key("device/vbd/768/state"), box.key("device/vbd/51808/state")) == ("1", "4")
        assert [pending.driver for pending in one.ops.pending_reboots()] == ["xenvbd"]


def test_a_pattern_lies_on_the_disk_as_its_definition_says(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        path = one.add_disk("xvdg", 51808, 6, 1 << 20)
        one.start()
        one.install_all()
        wrote = one.ops.write_pattern(target=6, seed=3, blocks=2, block_size=512)
        blocks = [hashlib.sha256(f"3:{number}".encode()).digest() * 16 for number in range(2)]
        assert path.read_bytes()[:1024] == b"".join(blocks)
        assert wrote.sha256 == hashlib.sha256(b"".join(blocks)).hexdigest()
        assert one.ops.read_pattern(target=6, blocks=2, block_size=512) == wrote
        one.reboot()
        assert one.ops.read_pattern(target=6, blocks=2, block_size=512) == wrote
        empty = hashlib.sha256(bytes(4096)).hexdigest()
        path.write_bytes(b"")
        assert one.ops.read_pattern(target=6, blocks=1, block_size=4096).sha256 == empty


@pytest.mark.parametrize(
    ("params", "kind"),
    [
        ({"target": 9, "blocks": 1, "block_size": 512}, "not-found"),
        ({"target": 6, "blocks": 0, "block_size": 512}, "bad-parameter"),
        ({"target": 6, "blocks": 1, "block_size": 500}, "bad-parameter"),
        ({"target": 6, "blocks": 3000, "block_size": 512}, "command-failed"),
        ({"target": 0, "blocks": 1, "block_size": 512}, "access-denied"),
    ],
)
def test_a_pattern_that_cannot_be_written_is_refused(
    tmp_path: Path, params: dict[str, int], kind: str
) -> None:
    with bench(tmp_path) as one:
        one.add_disk("xvdg", 51808, 6, 1 << 20)
        one.start()
        one.install_all()
        with pytest.raises(OperationRefused) as refused:
            one.ops.write_pattern(seed=1, **params)
        assert refused.value.kind == kind


def test_the_fault_corrupt_payload_changes_what_lies_on_a_pv_disk(tmp_path: Path) -> None:
    with bench(tmp_path, "corrupt-payload") as one:
        one.add_disk("xvdg", 51808, 6, 1 << 20)
        one.start()
        one.install_all()
        wrote = one.ops.write_pattern(target=6, seed=3, blocks=2, block_size=512)
        assert one.ops.read_pattern(target=6, blocks=2, block_size=512).sha256 != wrote.sha256


def test_a_disk_is_plugged_in_and_taken_out_while_it_runs(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        box = one.install_all()
        image = tmp_path / "data.img"
        image.write_bytes(b"")
        disk = MachineDisk("xvdg", 51808, 6, image, 1 << 20, emulated=False, pv=True)
        one.disks.append(disk)
        one.plug_disk(disk)
        one.guest.devices_changed()
        one.until(lambda: box.key("device/vbd/51808/state") == "4", "the disk is connected")
        one.settle()
        assert box.store.get(box.key("device/vbd/51808/backend") + "/state") == "4"
        assert [disk.target for disk in one.ops.disks()] == [0, 6]
        one.take_back("device/vbd/51808")
        one.until(
            lambda: box.store.get(box.key("device/vbd/51808/backend") + "/state") == "6", "the guest lets go"
        )
        assert [disk.target for disk in one.ops.disks()] == [0]


def test_without_xenvbd_nobody_lets_go_of_a_disk(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.add_disk("xvdg", 51808, 6, 1 << 20)
        box = one.start()
        one.take_back("device/vbd/51808")
        one.settle()
        assert box.key("device/vbd/51808/state") == "1"


def test_an_interface_taken_out_takes_the_network_with_it(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        box = one.install_all()
        assert one.system.endpoint.address
        one.take_back("device/vif/0")
        one.until(lambda: one.system.endpoint.address == "", "WinRM is gone")
        assert box.key("device/vif/0/state") == "6"
        assert one.ops.network_adapters() == ()


def test_an_interface_plugged_in_later_gets_an_adapter_and_an_address(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        box = one.install_all()
        one.nics.append(MachineNic(1, "00:16:3e:0a:0b:0d", None))
        one.plug_nic(one.nics[-1])
        one.guest.devices_changed()
        one.until(lambda: box.key("device/vif/1/state") == "4", "the interface is connected")
        one.settle()
        first, second = one.ops.network_adapters()
        assert (first.mac, second.mac) == (MAC, "00:16:3e:0a:0b:0d")
        assert first.name != second.name
        assert second.instance_id.endswith("\\1")
        assert box.key("attr/vif/1/ipv4/0") in second.addresses


def test_the_fault_network_lost_leaves_the_adapter_and_no_way_to_the_guest(tmp_path: Path) -> None:
    with bench(tmp_path, "network-lost") as one:
        one.start()
        assert one.system.endpoint.address, "the emulated interface works"
        box = one.install_all()
        assert one.system.endpoint.address == ""
        (adapter,) = one.ops.network_adapters()
        assert any(address.startswith("169.254.") for address in adapter.addresses)
        assert box.key("device/vif/0/state") == "4"


def test_a_setting_of_the_pv_adapter_stays_over_a_reboot(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        one.install_all()
        (adapter,) = one.ops.network_adapters()
        assert ("*TCPChecksumOffloadIPv4", "3") in adapter.settings
        one.ops.set_network_setting(mac=MAC, keyword="*TCPChecksumOffloadIPv4", value="0")
        one.reboot()
        (adapter,) = one.ops.network_adapters()
        assert ("*TCPChecksumOffloadIPv4", "0") in adapter.settings
        for mac, keyword in ((MAC, "*None"), ("00:00:00:00:00:00", "*RSS")):
            with pytest.raises(OperationRefused, match="not-found"):
                one.ops.set_network_setting(mac=mac, keyword=keyword, value="1")


def test_xenstore_through_xeniface_has_the_guests_rights(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        box = one.install_all()
        assert one.ops.xenstore_write(path="data/pvhck", value="äöü\n").value == "äöü\n"
        assert box.key("data/pvhck") == "äöü\n"
        box.store.write(f"/local/domain/{box.domid}/data/pvhck/child", "x")
        assert one.ops.xenstore_read(path="data/pvhck").children == ("child",)
        assert one.ops.xenstore_read(path="name").value == "win1"
        assert one.ops.xenstore_read(path=f"/local/domain/{box.domid}/name").value == "win1"
        for path, kind in (
            ("memory/target", "access-denied"),
            ("name", "access-denied"),
            ("new", "access-denied"),
        ):
            with pytest.raises(OperationRefused) as refused:
                one.ops.xenstore_write(path=path, value="1")
            assert refused.value.kind == kind
        with pytest.raises(OperationRefused, match="not-found"):
            one.ops.xenstore_read(path="data/none")


def test_a_watch_fires_on_a_change_and_times_out_without_one(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        box = one.install_all()
        assert not one.ops.xenstore_watch(path="data/quiet", seconds=0).fired
        path = f"/local/domain/{box.domid}/data/loud"
        one.clock.after(0.02, lambda: box.store.write(path, "now"))
        assert one.ops.xenstore_watch(path="data/loud", seconds=5).fired


def test_a_watch_ends_with_the_domain(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        one.install_all()
        one.clock.after(0.02, one.guest.cut)
        ended = Deadline.after(5)
        assert not one.ops.xenstore_watch(path="data/x", seconds=60).fired
        assert not ended.expired
        wait_until(
            lambda: Done(None) if one.guest._life.ended.is_set() else NotYet("runs"),
            subject="the guest's thread ends",
            deadline=Deadline.after(5),
        )
