"""The way of a build into a guest and out again: refusals, signatures, order, reboots, silence."""

import dataclasses
from pathlib import Path

import pytest
from install_fakes import (
    ENDED,
    QUICK,
    SECURITY,
    FakeGuest,
    device,
)

from harness.errors import (
    ConfigurationError,
    GuestError,
)
from harness.guest.deliver import Delivery
from harness.guest.guest import GuestState
from harness.install import install as install_module
from harness.install import install_build, prepare_guest
from harness.install.signing import prepare_signing, refuse_unfit
from harness.model import INSTALL_ORDER, Arch, DriverName, GuestKind
from harness.operations import DriverPackage, JobStatus, PendingReboot
from harness.package import DriverBuild, SignerFacts, TrustKind, load_build, make_build


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> DriverBuild:
    folder: Path = tmp_path_factory.mktemp("build") / "b"
    return load_build(make_build(folder, version="9.1.0.42", arches=[Arch.X64]))


@pytest.fixture
def guest(build: DriverBuild, monkeypatch: pytest.MonkeyPatch) -> FakeGuest:
    """A guest whose drivers work as soon as it is asked; a file reaches it by itself."""
    found = FakeGuest(GuestKind.SIMULATED)
    found.with_drivers(build)
    monkeypatch.setattr(install_module, "deliver", lambda _, source, target: Delivery(target))
    return found


def signed(build: DriverBuild, trust: TrustKind) -> DriverBuild:
    """The build as if somebody else had signed it."""
    packages = []
    for package in build.packages:
        signers: tuple[SignerFacts, ...] = tuple(
            dataclasses.replace(signer, trust=trust) for signer in package.catalog.signers
        )
        inf = dataclasses.replace(package.inf, provider="A vendor")
        catalog = dataclasses.replace(package.catalog, signers=signers)
        packages.append(dataclasses.replace(package, catalog=catalog, inf=inf))
    return dataclasses.replace(build, packages=tuple(packages))


# -- refusals come first


def test_a_test_signed_build_on_secure_boot_is_refused_before_anything_is_changed(
    guest: FakeGuest, build: DriverBuild
) -> None:
    guest.operations.security = dataclasses.replace(SECURITY, secure_boot=True)

    with pytest.raises(ConfigurationError, match="Secure Boot on") as error:
        install_build(guest, build, QUICK)

    assert "Secure Boot off" in error.value.mend
    assert [name for name, _ in guest.operations.calls] == ["security_facts"]


def test_a_build_microsoft_signed_is_welcome_on_secure_boot(guest: FakeGuest, build: DriverBuild) -> None:
    facts = dataclasses.replace(SECURITY, secure_boot=True, test_signing=False)

    refuse_unfit(guest, signed(build, TrustKind.MICROSOFT), facts)

    with pytest.raises(ConfigurationError):
        refuse_unfit(guest, signed(build, TrustKind.TEST), facts)


def test_a_synthetic_build_never_goes_to_windows(build: DriverBuild) -> None:
    with pytest.raises(ConfigurationError, match="synthetic") as error:
        refuse_unfit(FakeGuest(GuestKind.WINDOWS), build, SECURITY)
    assert "--build" in error.value.mend


def test_an_account_without_full_token_is_refused(guest: FakeGuest, build: DriverBuild) -> None:
    with pytest.raises(ConfigurationError, match="full token"):
        refuse_unfit(guest, build, dataclasses.replace(SECURITY, full_token=False))


# -- signatures


def test_a_test_signed_build_brings_its_certificates_and_test_signing(
    guest: FakeGuest, build: DriverBuild
) -> None:
    guest.operations.security = off = dataclasses.replace(SECURITY, test_signing=False)

    steps = prepare_signing(guest, build, off, boot_s=5)

    (signer,) = build.signers
    assert {(c.store, c.thumbprint) for c in guest.operations.trusted} == {
        ("Root", signer.thumbprint),
        ("TrustedPublisher", signer.thumbprint),
    }
    assert len(steps.certificates) == 2
    assert steps.test_signing is True
    assert steps.rebooted
    assert guest.operations.boot == 2


def test_what_the_guest_has_already_is_not_done_again(guest: FakeGuest, build: DriverBuild) -> None:
    prepare_signing(guest, build, SECURITY, boot_s=5)
    before = len(guest.operations.trusted)

    steps = prepare_signing(guest, build, SECURITY, boot_s=5)

    assert steps.certificates == ()
    assert not steps.rebooted
    assert len(guest.operations.trusted) == before
    assert guest.operations.boot == 1


def test_a_build_microsoft_signed_is_judged_with_test_signing_off(
    guest: FakeGuest, build: DriverBuild
) -> None:
    steps = prepare_signing(guest, signed(build, TrustKind.MICROSOFT), SECURITY, boot_s=5)

    assert steps.certificates == ()
    assert steps.test_signing is False
    assert not guest.operations.security.test_signing


def test_a_cross_signed_build_needs_its_publisher_trusted_and_nothing_else(
    guest: FakeGuest, build: DriverBuild
) -> None:
    off = dataclasses.replace(SECURITY, test_signing=False)

    steps = prepare_signing(guest, signed(build, TrustKind.CROSS_SIGNED), off, boot_s=5)

    assert [c.store for c in guest.operations.trusted] == ["TrustedPublisher"]
    assert not steps.rebooted


def test_a_guest_that_does_not_keep_test_signing_is_at_fault(guest: FakeGuest, build: DriverBuild) -> None:
    guest.operations.security = off = dataclasses.replace(SECURITY, test_signing=False)
    guest.operations.answers["set_test_signing"] = lambda enabled: None

    with pytest.raises(GuestError, match="test signing is not on"):
        prepare_signing(guest, build, off, boot_s=5)


# -- packages and reboots


def test_packages_go_in_in_the_known_order(guest: FakeGuest, build: DriverBuild) -> None:
    report = install_build(guest, build, QUICK)

    folder = build.sha256[:16]
    assert [call["inf"] for call in guest.operations.called("install_package")] == [
        f"C:\\ProgramData\\pvhck\\build\\{folder}\\{name}\\{name}.inf" for name in INSTALL_ORDER
    ]
    assert [package.name for package in report.packages] == list(INSTALL_ORDER)
    assert {package.version for package in report.packages} == {"9.1.0.42"}
    assert report.synthetic
    assert report.reboots == 0
    assert guest.state is GuestState.DRIVERS


def test_the_report_tells_each_step_and_what_was_replaced(guest: FakeGuest, build: DriverBuild) -> None:
    guest.operations.stored = (
        DriverPackage("oem1.inf", "xenvif.inf", "", "", "9.1.0.41"),
        DriverPackage("oem2.inf", "xennet.inf", "", "", "9.1.0.42"),
        DriverPackage("oem3.inf", "other.inf", "", "", "1.0.0.0"),
    )
    told: list[str] = []

    report = install_build(guest, build, QUICK, report=told.append)

    assert {p.name: p.replaced for p in report.packages if p.replaced} == {DriverName.XENVIF: ("9.1.0.41",)}
    assert [step.step for step in report.steps] == [text.removeprefix("pvhck-r1-1: ") for text in told]
    assert "install xenvbd" in [step.step for step in report.steps]


def test_pnputils_wish_for_a_reboot_is_granted(guest: FakeGuest, build: DriverBuild) -> None:
    guest.operations.answers["job_status"] = lambda job: dataclasses.replace(
        ENDED, exit_code=3010 if "xenbus" in job else 259
    )

    report = install_build(guest, build, QUICK)

    assert report.reboots == 1
    assert report.reasons == ("xenbus (pnputil)",)
    assert report.verification.ok


def test_it_reboots_as_long_as_somebody_asks(guest: FakeGuest, build: DriverBuild) -> None:
    guest.operations.pending = [
        (PendingReboot("xenbus"),),
        (PendingReboot("xenvif"), PendingReboot("xenvbd")),
    ]

    report = install_build(guest, build, QUICK)

    assert report.reasons == (
        "xenbus (xenbus_monitor)",
        "xenvif (xenbus_monitor), xenvbd (xenbus_monitor)",
    )
    assert guest.operations.boot == 3


def test_a_device_that_needs_a_restart_asks_as_well(guest: FakeGuest, build: DriverBuild) -> None:
    good = guest.operations.devices
    package = build.package(DriverName.XENVIF)
    waiting = tuple(device(package, problem=14) if d.service == "xenvif" else d for d in good)
    guest.operations.answers["pnp_devices"] = lambda prefix: waiting if guest.operations.boot == 1 else good

    report = install_build(guest, build, QUICK)

    assert report.reboots == 1
    assert "xenvif" in report.reasons[0]


@pytest.mark.parametrize("limit", [0, 3])
def test_somebody_who_never_stops_asking_is_named(guest: FakeGuest, build: DriverBuild, limit: int) -> None:
    guest.operations.answers["pending_reboots"] = lambda: (PendingReboot("xenvif"),)

    with pytest.raises(GuestError, match=f"after {limit} reboots one more is asked for by xenvif"):
        install_build(guest, build, dataclasses.replace(QUICK, max_reboots=limit))
    assert guest.operations.boot == 1 + limit


def test_a_package_that_is_refused_fails_its_driver_and_the_others_go_on(
    guest: FakeGuest, build: DriverBuild
) -> None:
    guest.operations.answers["job_status"] = lambda job: JobStatus(
        "ended", (0xE000024B - (1 << 32)) if "xenvbd" in job else 0, "Hash not in catalog", ""
    )

    report = install_build(guest, build, QUICK)

    assert {fault.driver for fault in report.verification.faults} == {DriverName.XENVBD}
    assert "does not list a file" in report.verification.of(DriverName.XENVBD)[0]
    assert "Hash not in catalog" in report.verification.of(DriverName.XENVBD)[0]
    with pytest.raises(GuestError, match="xenvbd"):
        report.demand()


def test_preparing_a_guest_raises_what_installing_only_reports(guest: FakeGuest, build: DriverBuild) -> None:
    assert prepare_guest(guest, build, QUICK).verification.ok

    guest.operations.devices = ()
    with pytest.raises(GuestError, match="xenbus: there is no device"):
        prepare_guest(guest, build, QUICK)


def test_a_build_for_another_architecture_touches_no_guest(guest: FakeGuest, build: DriverBuild) -> None:
    guest.template = dataclasses.replace(guest.template, arch=Arch.X86)

    with pytest.raises(ConfigurationError, match="holds nothing for x86"):
        install_build(guest, build, QUICK)
    assert guest.operations.calls == []
