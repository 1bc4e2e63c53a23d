"""A driver build into a guest: transfer, signatures, packages in order, reboots, a look at the result."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from harness.errors import GuestCrashed, GuestError
from harness.guest.deliver import deliver
from harness.guest.guest import Guest, GuestState
from harness.install.balloon import empty_balloon
from harness.install.folder import guest_path
from harness.install.outcome import DriverFault, InstalledPackage, InstallReport, Verification
from harness.install.patience import Silent, Steps, reboot_guest, run_job
from harness.install.problems import REBOOT_CODES, SUCCESS_CODES, describe_exit
from harness.install.signing import prepare_signing, refuse_unfit
from harness.install.verify import Settled, settle
from harness.lab.profile import InstallParams
from harness.package import BuildPackage, DriverBuild

__all__ = ["install_build", "prepare_guest", "reboot_loop"]

_WORDS = 300  # characters of the installer's own words that a fault shows


def prepare_guest(
    guest: Guest, build: DriverBuild, params: InstallParams, *, report: Callable[[str], None] = lambda _: None
) -> InstallReport:
    """Install a build and have it verified: what a session does once per host, template and build.

    Raises:
        GuestError: names each driver, its device and what is wrong.
        ConfigurationError: build and template do not fit.
    """
    installed = install_build(guest, build, params, report=report)
    installed.demand()
    return installed


def install_build(
    guest: Guest, build: DriverBuild, params: InstallParams, *, report: Callable[[str], None] = lambda _: None
) -> InstallReport:
    """Install a build, fresh, again, or over another version, and say how it went.

    A driver that does not work is in the report, so that each can be judged by itself;
    ``report`` is told each step as it begins.

    Raises:
        ConfigurationError: build and template do not fit; nothing was changed.
        GuestError: the guest got lost, crashed, or asks for ever more reboots.
    """
    build = build.for_arch(guest.template.arch)
    steps = Steps(lambda step: report(f"{guest.name}: {step}"))
    facts = guest.operations.security_facts()
    refuse_unfit(guest, build, facts)
    with steps.step("transfer"):
        folder, warning = _transfer(guest, build)
    with steps.step("signatures"):
        signing = prepare_signing(guest, build, facts, boot_s=params.boot_s)
    empty_balloon(guest, params)
    packages, faults = _install_packages(guest, build, params, folder=folder, steps=steps)
    asked = tuple(f"{p.name} (pnputil)" for p in packages if p.exit_code in REBOOT_CODES)
    settled, reasons = reboot_loop(guest, build, params, asked, steps)
    guest.state = GuestState.DRIVERS
    return InstallReport(
        guest=guest.name,
        synthetic=build.synthetic,
        packages=packages,
        signing=signing,
        reboots=len(reasons),
        reasons=reasons,
        steps=steps.times,
        verification=_with(faults, settled.verification),
        warnings=(warning,) if warning else (),  # the build's own are said once, when the run begins
    )


def reboot_loop(
    guest: Guest, build: DriverBuild, params: InstallParams, asked: tuple[str, ...], steps: Steps
) -> tuple[Settled, tuple[str, ...]]:
    """Reboot until nothing asks for it any more; gives how it ended, and who asked for each reboot.

    ``asked`` are those who have asked already.

    Raises:
        GuestError: after ``max_reboots`` somebody still asks.
    """
    reasons: list[str] = []
    with steps.step("settle"):
        settled = settle(guest, build, params) if not asked else Settled(asked, Verification((), ()))
    while settled.reboot_reasons:
        why = ", ".join(settled.reboot_reasons)
        if len(reasons) == params.max_reboots:
            raise GuestError(f"{guest.name}: after {len(reasons)} reboots one more is asked for by {why}")
        reasons.append(why)
        with steps.step(f"reboot {len(reasons)}"):
            reboot_guest(guest, boot_s=params.boot_s, why=why)
        with steps.step("settle"):
            settled = settle(guest, build, params)
    return settled, tuple(reasons)


def _transfer(guest: Guest, build: DriverBuild) -> tuple[str, str]:
    """The build's packages into a folder below ``guest_path``; gives its name, and a warning."""
    name = build.sha256[:16]
    with tempfile.TemporaryDirectory(prefix="pvhck-pack-") as work:
        archive = Path(work) / f"{name}.zip"
        _pack(build, archive)
        delivery = deliver(guest, archive, guest_path(guest.kind, archive.name))
    guest.operations.expand_zip(path=delivery.path, folder=guest_path(guest.kind, name))
    guest.operations.remove_file(path=delivery.path)
    return name, delivery.warning


def _pack(build: DriverBuild, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for package in build.packages:
            for file in package.payload:
                zipped.write(package.folder / file.name, f"{package.name}/{file.name}")


def _install_packages(
    guest: Guest, build: DriverBuild, params: InstallParams, *, folder: str, steps: Steps
) -> tuple[tuple[InstalledPackage, ...], tuple[DriverFault, ...]]:
    before = guest.operations.driver_packages()
    installed, faults = [], []
    for package in build.packages:
        inf = guest_path(guest.kind, folder, package.name, package.inf_name)
        with steps.step(f"install {package.name}"):
            code, fault = _install(guest, package, params, inf)
        if fault is not None:
            faults.append(fault)
        replaced = tuple(
            store.version
            for store in before
            if store.original.lower() == package.inf_name.lower() and store.version != package.version
        )
        installed.append(
            InstalledPackage(
                package.name, package.version, package.sha256, code, replaced, steps.times[-1].seconds
            )
        )
    return tuple(installed), tuple(faults)


def _install(
    guest: Guest, package: BuildPackage, params: InstallParams, inf: str
) -> tuple[int | None, DriverFault | None]:
    """The exit code, and what is wrong with it."""
    try:
        status = run_job(
            guest,
            # installing a package twice does no more than once: a lost answer may be asked for again
            lambda: guest.operations.install_package(inf=inf),
            subject=f"{guest.name} installs {package.name}",
            seconds=params.install_s,
        )
    except (Silent, GuestCrashed) as error:
        # here the driver is known that was being installed: say so, with the same kind of error
        raise type(error)(f"while {package.name} {package.version} was installed: {error}") from error
    if status.exit_code in SUCCESS_CODES:
        return status.exit_code, None
    words = " ".join((status.stdout + status.stderr).split())[-_WORDS:]
    return status.exit_code, DriverFault(
        package.name, f"installing it ended with {describe_exit(status.exit_code)}: {words or 'no words'}"
    )


def _with(faults: tuple[DriverFault, ...], verification: Verification) -> Verification:
    return Verification((*faults, *verification.faults), verification.checks, verification.not_checked)
