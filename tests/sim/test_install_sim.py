"""A synthetic build into simulated guests, over real SSH and WinRM on loopback, and out again."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import ConfigurationError, GuestCrashed, GuestError, GuestHung
from harness.guest.guest import Guest, Login
from harness.guest.provision import make_guest, remove_guest
from harness.host.area import RunArea
from harness.host.host import Host
from harness.host.sshlogin import Credentials
from harness.install import install_build, prepare_guest, uninstall_build, verify_drivers
from harness.lab import GuestTemplate, HostKind, HostSpec, Lab
from harness.lab.profile import InstallParams
from harness.model import INSTALL_ORDER, Arch, DriverName, GuestKind, XenVersion
from harness.package import DriverBuild, load_build, make_build
from harness.simlab import SimLab

PARAMS = InstallParams(boot_s=60, install_s=30, settle_s=5)
FAULTY = dataclasses.replace(PARAMS, settle_s=1, boot_s=6)  # nothing comes right by waiting
XENBUS, XENIFACE, XENVIF, XENNET, XENVBD = INSTALL_ORDER

TEMPLATE = GuestTemplate("win", GuestKind.SIMULATED, "win.qcow2", "Windows", Arch.X64, memory_mib=1024)
MakeGuest = Callable[..., Guest]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> DriverBuild:
    return load_build(make_build(tmp_path_factory.mktemp("build") / "b", version="9.1.0.42"))


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> DriverBuild:
    return load_build(make_build(tmp_path_factory.mktemp("newer") / "b", version="9.1.0.43"))


@pytest.fixture
def booted(tmp_path: Path) -> Iterator[MakeGuest]:
    """Boots a guest of a template on a host, both with what the test changes of them."""
    with contextlib.ExitStack() as held:

        def boot(
            *, controller: str | None = None, xen: tuple[int, int] = (4, 17), **changes: object
        ) -> Guest:
            template = dataclasses.replace(TEMPLATE, **changes)
            spec = HostSpec("sim", HostKind.SIMULATED, "", memory_mib=4096, xen=XenVersion(*xen))
            lab = Lab(tmp_path / "hosts.ini", {"sim": spec}, {"win": template})
            sim = held.enter_context(SimLab(lab, folder=tmp_path / "sim", seed=1))
            spec = sim.lab.hosts["sim"]
            if controller is not None:
                spec = dataclasses.replace(spec, controller=controller)
            host = held.enter_context(Host(spec, Credentials(str)))
            area = held.enter_context(RunArea(host.shell, "r1"))
            login = Login(template.user, sim.passwords["win"])
            guest = make_guest(host, area, template, 1, login, report=lambda _: None)
            held.callback(remove_guest, guest, area)
            guest.start()
            guest.wait_ready(guest.deadline(60))
            return guest

        yield boot


@pytest.mark.parametrize(
    "template",
    [
        {"arch": Arch.X64, "os": "Windows 10 (simulated)"},
        {"arch": Arch.X86, "os": "Windows 7 (simulated)"},
    ],
    ids=["x64", "x86"],
)
def test_a_whole_life_of_drivers(
    booted: MakeGuest, build: DriverBuild, newer: DriverBuild, template: dict[str, object]
) -> None:
    guest = booted(**template)

    fresh = prepare_guest(guest, build, PARAMS)
    assert (fresh.reboots, fresh.signing.test_signing) == (2, True)
    assert [store.partition(":")[0] for store in fresh.signing.certificates] == ["Root", "TrustedPublisher"]
    assert "drivers/N" in fresh.verification.checks
    assert [adapter.instance_id[:7] for adapter in guest.operations.network_adapters()] == ["XENVIF\\"]

    again = prepare_guest(guest, build, PARAMS)
    assert (again.reboots, again.signing.certificates, again.signing.rebooted) == (0, (), False)

    upgraded = prepare_guest(guest, newer, PARAMS)
    assert {package.replaced for package in upgraded.packages} == {("9.1.0.42",)}
    assert 0 < upgraded.reboots <= PARAMS.max_reboots
    assert not verify_drivers(guest, build, FAULTY).ok, "the older build's versions are no longer there"

    removed = uninstall_build(guest, newer, PARAMS)
    removed.demand()
    assert len(removed.removed) == 10, "both versions of all five"
    assert [adapter.instance_id[:4] for adapter in guest.operations.network_adapters()] == ["PCI\\"]
    assert [disk.name for disk in guest.operations.disks()] == ["QEMU HARDDISK"]


def test_without_xenvif_the_interface_stays_emulated(booted: MakeGuest, build: DriverBuild) -> None:
    guest = booted()

    report = install_build(guest, build.without(XENVIF), PARAMS)

    report.demand()
    (adapter,) = guest.operations.network_adapters()
    assert adapter.instance_id.startswith("PCI\\")
    assert [disk.target for disk in guest.operations.disks()] == [0]


def test_a_guest_that_cannot_reach_us_gets_the_build_on_a_cd(booted: MakeGuest, build: DriverBuild) -> None:
    guest = booted(controller="192.0.2.1")  # of no network: TEST-NET-1

    report = install_build(guest, build, PARAMS)

    report.demand()
    (warning,) = report.warnings
    assert "it got a CD" in warning
    assert "<token>" in warning
    assert guest.host.shell.run(["find", guest.host.spec.storage, "-name", "*.iso"]).stdout == ""


def test_old_toolstacks_leave_keys_unjudged(booted: MakeGuest, build: DriverBuild) -> None:
    report = install_build(booted(xen=(4, 4)), build, PARAMS)

    report.demand()
    assert {item.check for item in report.verification.not_checked} == {
        "drivers/N",
        "feature/hotplug",
        "control/feature-*",
    }


@pytest.mark.parametrize(
    ("fault", "drivers", "words"),
    [
        ("device-code-28:xennet", {XENNET}, "problem 28"),
        ("device-code-39:xenvbd", {XENVBD}, "problem 39"),
        ("device-code-10:xenvif", {XENVIF, XENNET}, "problem 10"),
        ("device-code-10:xenbus", set(INSTALL_ORDER), "problem 10"),
        ("services-missing:xeniface", {XENIFACE}, "xenagent"),
        ("version-mismatch:xenbus", {XENBUS}, "9.1.0.43"),
    ],
)
def test_a_driver_that_fails_is_named_and_others_are_not(
    booted: MakeGuest, build: DriverBuild, fault: str, drivers: set[DriverName], words: str
) -> None:
    report = install_build(booted(faults=(fault,)), build, FAULTY)

    assert {found.driver for found in report.verification.faults} == drivers
    assert any(words in found.what for found in report.verification.faults)
    with pytest.raises(GuestError, match=words):
        report.demand()


def test_a_bugcheck_while_a_driver_is_installed_is_a_crash(booted: MakeGuest, build: DriverBuild) -> None:
    guest = booted(faults=("bugcheck-install:xenvif",))

    with pytest.raises(GuestCrashed, match=r"while xenvif 9\.1\.0\.42 was installed"):
        install_build(guest, build, PARAMS)


def test_a_network_lost_for_good_is_told_from_a_hang(booted: MakeGuest, build: DriverBuild) -> None:
    guest = booted(faults=("network-lost",))

    with pytest.raises(GuestError, match="lost its network") as error:
        install_build(guest, build, FAULTY)
    assert not isinstance(error.value, GuestHung)


def test_a_build_for_the_other_architecture_is_refused_first(booted: MakeGuest, tmp_path: Path) -> None:
    only_x86 = load_build(make_build(tmp_path / "x86", version="9.1.0.42", arches=[Arch.X86]))
    guest = booted()

    with pytest.raises(ConfigurationError, match="nothing for x64"):
        install_build(guest, only_x86, PARAMS)
    assert guest.operations.driver_packages() == ()
