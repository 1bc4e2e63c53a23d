"""Drivers held against their INFs: every fault is found and laid at the right driver's door."""

import dataclasses
from pathlib import Path

import pytest
from install_fakes import EMULATED_DISK, EMULATED_NIC, PV_NIC, QUICK, FakeGuest, adapter, device, lost

from harness.errors import GuestError
from harness.host.domain import DiskSpec
from harness.install import DriverFault, Verification, look, verify_drivers
from harness.install.hostview import readable_keys, target_of
from harness.install.problems import describe_exit, describe_problem
from harness.model import INSTALL_ORDER, Arch, DriverName, GuestKind, ToolstackName, XenVersion
from harness.operations import Service
from harness.package import DriverBuild, load_build, make_build

XENBUS, XENIFACE, XENVIF, XENNET, XENVBD = INSTALL_ORDER
ALL_KEYS = {"drivers/N", "feature/hotplug", "control/feature-*"}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> DriverBuild:
    folder: Path = tmp_path_factory.mktemp("build") / "b"
    return load_build(make_build(folder, version="9.1.0.42", arches=[Arch.X64]))


@pytest.fixture
def guest(build: DriverBuild) -> FakeGuest:
    found = FakeGuest()
    found.with_drivers(build)
    return found


def faults(guest: FakeGuest, build: DriverBuild) -> dict[DriverName, str]:
    found = look(guest, build)
    return {name: "; ".join(found.of(name)) for name in DriverName if found.of(name)}


def test_a_guest_with_all_drivers_working_has_no_fault(guest: FakeGuest, build: DriverBuild) -> None:
    found = look(guest, build)

    assert found.faults == ()
    assert found.not_checked == ()
    assert len(found.checks) == 7


def change(guest: FakeGuest, name: DriverName, **changes: object) -> None:
    guest.operations.devices = tuple(
        dataclasses.replace(found, **changes) if found.service == name else found
        for found in guest.operations.devices
    )


@pytest.mark.parametrize("name", INSTALL_ORDER)
def test_a_device_with_a_problem_fails_its_own_driver_only(
    guest: FakeGuest, build: DriverBuild, name: DriverName
) -> None:
    change(guest, name, problem=39)

    found = faults(guest, build)

    assert set(found) == {name}
    assert "problem 39: its driver is missing or corrupted" in found[name]
    assert "usually" in found[name]


@pytest.mark.parametrize("name", INSTALL_ORDER)
def test_a_device_with_another_version_fails_its_own_driver_only(
    guest: FakeGuest, build: DriverBuild, name: DriverName
) -> None:
    change(guest, name, driver_version="9.1.0.41")

    assert set(faults(guest, build)) == {name}
    assert "9.1.0.41" in faults(guest, build)[name]


def test_leading_zeros_make_no_other_version(guest: FakeGuest, build: DriverBuild) -> None:
    change(guest, XENVIF, driver_version="09.1.0.042")

    assert faults(guest, build) == {}


def test_a_device_that_is_not_there_is_a_fault(guest: FakeGuest, build: DriverBuild) -> None:
    guest.operations.devices = tuple(d for d in guest.operations.devices if d.service != "xeniface")

    assert "there is no device for it" in faults(guest, build)[XENIFACE]


def test_a_device_of_another_revision_is_not_the_drivers(guest: FakeGuest, build: DriverBuild) -> None:
    change(guest, XENVIF, hardware_ids=("XENBUS\\VEN_XP0001&DEV_VIF&REV_09000FFF",))

    assert "there is no device for it" in faults(guest, build)[XENVIF]


def test_ids_are_compared_as_windows_does_and_compatible_ones_count(
    guest: FakeGuest, build: DriverBuild
) -> None:
    change(guest, XENBUS, hardware_ids=("pci\\other",), compatible_ids=("pci\\ven_5853&dev_0001",))

    assert faults(guest, build) == {}


@pytest.mark.parametrize(
    ("service", "driver"),
    [("xenfilt", XENBUS), ("xenbus_monitor", XENBUS), ("xenagent", XENIFACE), ("xendisk", XENVBD)],
)
@pytest.mark.parametrize("state", ["stopped", "changing", None])
def test_a_service_that_does_not_run_fails_its_driver(
    guest: FakeGuest, build: DriverBuild, service: str, driver: DriverName, state: str | None
) -> None:
    guest.operations.running = tuple(s for s in guest.operations.running if s.name != service)
    if state is not None:
        guest.operations.running += (Service(service, state, "auto"),)

    assert service in faults(guest, build)[driver]
    assert set(faults(guest, build)) == {driver}


# -- emulated devices


def test_an_emulated_interface_beside_the_pv_one_fails_xenvif(guest: FakeGuest, build: DriverBuild) -> None:
    guest.operations.adapters = (PV_NIC, EMULATED_NIC)

    assert "still there" in faults(guest, build)[XENVIF]


def test_an_interface_that_stays_emulated_because_of_xennet_is_xennets(
    guest: FakeGuest, build: DriverBuild
) -> None:
    change(guest, XENNET, problem=28)
    guest.operations.adapters = (EMULATED_NIC,)
    guest.host.xenstore.nodes["/local/domain/7/device/vif/0/state"] = "1"

    assert set(faults(guest, build)) == {XENNET}


def test_a_pv_interface_that_is_down_fails_xennet(guest: FakeGuest, build: DriverBuild) -> None:
    guest.operations.adapters = (adapter(PV_NIC.instance_id, up=False),)

    assert set(faults(guest, build)) == {XENNET}


def test_an_emulated_disk_that_stays_fails_xenvbd(guest: FakeGuest, build: DriverBuild) -> None:
    guest.operations.drives = (EMULATED_DISK,)

    assert set(faults(guest, build)) == {XENVBD}


def test_an_adapter_of_another_mac_is_nobodys_fault(guest: FakeGuest, build: DriverBuild) -> None:
    guest.operations.adapters = (
        PV_NIC,
        adapter("PCI\\VEN_8086&DEV_10C9\\passed through", mac="02:00:00:00:00:01"),
    )

    assert faults(guest, build) == {}


@pytest.mark.parametrize("missing", [XENBUS, XENVIF, XENNET])
def test_without_one_of_three_packages_the_interface_must_stay_emulated_and_work(
    guest: FakeGuest, build: DriverBuild, missing: DriverName
) -> None:
    part = build.without(missing) if missing is not XENBUS else build.only(XENVIF, XENNET)
    guest.with_drivers(part)
    guest.operations.adapters = (EMULATED_NIC,)
    if missing is XENBUS:
        guest.operations.drives = (EMULATED_DISK,)

    assert faults(guest, part) == {}

    guest.operations.adapters = ()
    assert "gone though no driver replaces it" in faults(guest, part)[XENVIF]
    guest.operations.adapters = (adapter(EMULATED_NIC.instance_id, up=False),)
    assert "is down" in faults(guest, part)[XENVIF]


def test_without_xenvbd_the_disk_must_stay_emulated(guest: FakeGuest, build: DriverBuild) -> None:
    part = build.without(XENVBD)
    guest.with_drivers(part)
    assert set(faults(guest, part)) == {XENVBD}

    guest.operations.drives = (EMULATED_DISK,)
    assert faults(guest, part) == {}


# -- the host's side


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("device/vif/0/state", "2", (XENVIF, "front end is in state 2")),
        ("/local/domain/0/backend/vif/7/0/state", "5", (XENVIF, "back end is in state 5")),
        ("device/vbd/768/state", "3", (XENVBD, "front end is in state 3")),
        ("/local/domain/0/backend/qdisk/7/768/state", "2", (XENVBD, "back end is in state 2")),
        ("drivers/0", "Xen Project XENBUS 9.1.0.41", (XENBUS, "not version 9.1.0.42")),
        ("drivers/3", "", (XENNET, "does not name it")),
        ("control/feature-suspend", "", (XENBUS, "feature-suspend")),
        ("control/feature-poweroff", "", (XENIFACE, "feature-poweroff")),
        ("feature/hotplug/vbd", "0", (XENVBD, "hotplug/vbd")),
    ],
)
def test_what_xenstore_shows_fails_the_driver_that_writes_it(
    guest: FakeGuest, build: DriverBuild, path: str, value: str, fault: tuple[DriverName, str]
) -> None:
    driver, words = fault
    whole = path if path.startswith("/") else f"/local/domain/7/{path}"
    assert whole in guest.host.xenstore.nodes
    guest.host.xenstore.nodes[whole] = value

    found = faults(guest, build)

    assert set(found) == {driver}
    assert words in found[driver]


@pytest.mark.parametrize(
    ("kind", "toolstack", "xen", "unchecked"),
    [
        (GuestKind.WINDOWS, ToolstackName.XL, (4, 17), set()),
        (GuestKind.WINDOWS, ToolstackName.LIBVIRT, (4, 14), set()),
        (GuestKind.WINDOWS, ToolstackName.XL, (4, 7), {"control/feature-*"}),
        (GuestKind.WINDOWS, ToolstackName.XL, (4, 6), ALL_KEYS),
        (GuestKind.WINDOWS, ToolstackName.XM, (4, 0), {"drivers/N", "feature/hotplug"}),
        (GuestKind.STAND_IN, ToolstackName.XL, (4, 17), {"drivers/N", "feature/hotplug"}),
        (
            GuestKind.STAND_IN,
            ToolstackName.XL,
            (4, 14),
            {"drivers/N", "feature/hotplug", "control/feature-*"},
        ),
    ],
)
def test_keys_a_guest_cannot_write_are_not_judged_and_the_reason_is_said(
    kind: GuestKind, toolstack: ToolstackName, xen: tuple[int, int], unchecked: set[str]
) -> None:
    keys = readable_keys(kind, toolstack, XenVersion(*xen))

    assert {item.check for item in keys.not_checked} == unchecked
    assert all(item.reason for item in keys.not_checked)


def test_an_old_toolstack_does_not_make_a_driver_fail(guest: FakeGuest, build: DriverBuild) -> None:
    guest.host.info.version = XenVersion(4, 4)
    for path in list(guest.host.xenstore.nodes):
        if "/drivers/" in path or "/feature" in path:
            del guest.host.xenstore.nodes[path]

    assert faults(guest, build) == {}


@pytest.mark.parametrize(("vdev", "target"), [("hda", 0), ("hdb", 1), ("sda", 0), ("xvda", 0), ("xvdg", 6)])
def test_a_disks_target_is_its_letter(vdev: str, target: int) -> None:
    assert target_of(DiskSpec("/x", vdev)) == target


# -- waiting, and saying it


def test_what_is_wrong_when_the_time_is_up_is_said_not_raised(guest: FakeGuest, build: DriverBuild) -> None:
    change(guest, XENVBD, problem=10)

    found = verify_drivers(guest, build, QUICK)

    assert [fault.driver for fault in found.faults] == [XENVBD]


def test_a_driver_asked_for_by_name_does_not_wait_for_the_others(
    guest: FakeGuest, build: DriverBuild
) -> None:
    change(guest, XENVBD, problem=10)
    for_ever = dataclasses.replace(QUICK, settle_s=86400)

    assert verify_drivers(guest, build, for_ever, XENVIF, XENNET).ok
    assert [fault.driver for fault in verify_drivers(guest, build, QUICK, XENVBD).faults] == [XENVBD]


def test_what_comes_right_in_time_is_no_fault(guest: FakeGuest, build: DriverBuild) -> None:
    devices = guest.operations.devices
    looks = iter([(), devices])
    guest.operations.answers["pnp_devices"] = lambda prefix: next(looks)

    assert verify_drivers(guest, build, dataclasses.replace(QUICK, settle_s=30)).ok


def test_an_interface_that_restarts_while_we_look_is_waited_for(guest: FakeGuest, build: DriverBuild) -> None:
    answers = iter([lost(), guest.operations.devices])

    def devices(prefix: str) -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    guest.operations.answers["pnp_devices"] = devices

    assert verify_drivers(guest, build, dataclasses.replace(QUICK, settle_s=30)).ok
    assert guest.disconnects == 1, "the next question goes over a new connection"


def test_demanding_names_each_driver_once_with_its_first_fault() -> None:
    found = Verification(
        (DriverFault(XENVIF, "first"), DriverFault(XENBUS, "bus"), DriverFault(XENVIF, "second")), ()
    )

    with pytest.raises(GuestError) as error:
        found.demand("win1")

    assert str(error.value) == "win1: xenbus: bus; xenvif: first (and 1 more)"


def test_nothing_wrong_demands_nothing() -> None:
    Verification((), ()).demand("win1")
    assert Verification((), ()).ok


@pytest.mark.parametrize("code", [1, 10, 14, 19, 28, 31, 37, 39, 52])
def test_problem_codes_come_in_words_with_a_cause(code: int) -> None:
    assert f"problem {code}: " in describe_problem(code)
    assert "usually: " in describe_problem(code)


def test_an_unknown_problem_code_keeps_its_number() -> None:
    assert describe_problem(999) == "problem 999"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (None, "no exit code"),
        (1, "exit code 1"),
        (5, "exit code 5 (access denied: the account has no full token)"),
        (0xE0000242 - (1 << 32), "exit code 0xE0000242 (the publisher is not trusted)"),
        (0x800F0242, "exit code 0x800F0242 (the publisher is not trusted)"),
        (-1, "exit code 0xFFFFFFFF"),
    ],
)
def test_exit_codes_come_in_words_where_windows_has_them(code: int | None, text: str) -> None:
    assert describe_exit(code) == text


def test_devices_made_by_the_fake_fit_their_infs(build: DriverBuild) -> None:
    assert all(device(package).driver_version == package.version for package in build.packages)
