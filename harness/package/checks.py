"""What is wrong with a package by itself and with the packages of a build together. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator

from harness.model import DriverName
from harness.package.findings import BuildFinding, FindingKind, Severity
from harness.package.parts import BuildPackage, PackageFile, version_numbers
from harness.package.symbols import pdb_of
from harness.package.trust import SignerFacts, TrustKind

__all__ = ["check_build", "check_package"]

# XENBUS\VEN_XP0001&DEV_VIF&REV_0900000B (win-xenvif src/xenvif.inf): prefix and revision
_CHILD_ID = re.compile(
    r"XEN(?:BUS|VIF)\\VEN_([A-Z]+)[0-9A-F]{4}&DEV_[A-Z]+&REV_([0-9A-F]{8})$", re.IGNORECASE
)
_AGAIN = "build or copy this package again"
_SIGN = "make the catalog again with inf2cat and sign it"


def check_package(package: BuildPackage, now: dt.datetime) -> Iterator[BuildFinding]:
    """Problems of one package; ``now`` is when its certificates have to be valid."""
    yield from _check_inf(package)
    yield from _check_files(package)
    yield from _check_symbols(package)
    yield from _check_catalog(package, now)


def check_build(packages: Iterable[BuildPackage]) -> Iterator[BuildFinding]:
    """Problems of packages that do not fit each other: the guest may take them all the same."""
    packages = tuple(packages)
    versions = {package.version: str(package) for package in packages}
    if len(versions) > 1:
        yield _warning(
            FindingKind.MIXED_VERSIONS,
            "the build",
            "packages of several versions: " + ", ".join(f"{v} ({p})" for v, p in versions.items()),
        )
    prefixes, series = _contracts(packages)
    if len(prefixes) > 1:
        yield _warning(
            FindingKind.MIXED_VENDORS,
            "the build",
            f"ids of several vendors: {_listed(prefixes)}; "
            "drivers of one vendor do not bind devices of another",
        )
    if len(series) > 1:
        yield _warning(
            FindingKind.MIXED_REVISIONS,
            "the build",
            f"bus and function drivers of different interface series: {_listed(series)}; "
            "devices may stay without a driver (problem 28)",
        )


def _check_inf(package: BuildPackage) -> Iterator[BuildFinding]:
    inf, subject = package.inf, f"{package} {package.inf_name}"
    if package.arch not in inf.arches:
        named = ", ".join(sorted(inf.arches)) or "no architecture we know"
        yield _error(
            FindingKind.WRONG_ARCH,
            subject,
            f"lies in the place for {package.arch} and is written for {named}",
            "put the package of the right architecture there",
        )
        return
    if not inf.hardware_ids:
        yield _error(FindingKind.BAD_INF, subject, "names no device it is for", _AGAIN)
    if version_numbers(inf.version) is None:
        yield _error(FindingKind.BAD_INF, subject, f"DriverVer holds no version: {inf.version!r}", _AGAIN)


def _check_files(package: BuildPackage) -> Iterator[BuildFinding]:
    for name in package.inf.files:
        file = package.find(name)
        if file is None:
            yield _error(
                FindingKind.FILE_MISSING,
                f"{package} {name}",
                f"{package.inf_name} copies it, it is not there",
                _AGAIN,
            )
        elif file.image is not None:
            yield from _check_image(package, file)


def _check_image(package: BuildPackage, file: PackageFile) -> Iterator[BuildFinding]:
    """Programs and libraries may be another's (dpinst, co-installers): only drivers must fit."""
    assert file.image is not None
    report = _error if file.name.lower().endswith(".sys") else _warning
    if file.image.arch is not package.arch:
        is_for = file.image.arch or "another architecture"
        yield report(
            FindingKind.WRONG_ARCH,
            f"{package} {file.name}",
            f"is an image for {is_for} in a package for {package.arch}",
            "put the package of the right architecture there",
        )
    written, built = version_numbers(package.version), version_numbers(file.image.file_version)
    if written is not None and built is not None and written != built:
        yield report(
            FindingKind.VERSION_MISMATCH,
            f"{package} {file.name}",
            f"is version {file.image.file_version}, {package.inf_name} says {package.version}",
            "the package is put together from two builds: build or copy it again",
        )


def _check_symbols(package: BuildPackage) -> Iterator[BuildFinding]:
    """A PDB beside its driver is to be that driver's: else a debugger refuses it, after the crash."""
    for file in package.files:
        pdb = pdb_of(package, file)
        if pdb is None or file.image is None or file.image.symbols in pdb.symbols:
            continue
        keys = " or ".join(sorted(pdb.symbols))
        is_other = f"is that of another build ({keys})" if keys else "is no PDB of version 7"
        yield _warning(
            FindingKind.OTHER_SYMBOLS,
            f"{package} {pdb.name}",
            f"{is_other}; {file.name} asks for {file.image.symbols}",
            "copy the PDB that was linked with the driver",
        )


def _check_catalog(package: BuildPackage, now: dt.datetime) -> Iterator[BuildFinding]:
    subject = f"{package} {package.inf.catalog}".strip()
    if not package.inf.catalog:
        yield _error(FindingKind.NO_CATALOG, subject, f"{package.inf_name} names no catalog", _SIGN)
        return
    if not package.has_catalog:
        if package.find(package.inf.catalog) is None:
            yield _error(FindingKind.NO_CATALOG, subject, "the catalog is not there", _SIGN)
        return  # else it has been found to be unreadable
    catalog = package.catalog
    if catalog.damage:
        yield _error(FindingKind.BAD_CATALOG, subject, catalog.damage, _SIGN)
    elif not catalog.signers:
        yield _error(
            FindingKind.UNSIGNED,
            subject,
            "the catalog is not signed: Windows refuses the package",
            "sign it, with a test certificate at least",
        )
    for name in (package.inf_name, *package.inf.files):
        file = package.find(name)
        if file is not None and not catalog.lists(file.digests):
            yield _error(
                FindingKind.NOT_IN_CATALOG,
                f"{package} {file.name}",
                f"{package.inf.catalog} does not list it: it was changed after signing, or never signed",
                _SIGN,
            )
    for signer in catalog.signers:
        yield from _check_signer(subject, signer, now)


def _check_signer(subject: str, signer: SignerFacts, now: dt.datetime) -> Iterator[BuildFinding]:
    if signer.trust is TrustKind.TEST and signer.root is None:
        yield _warning(
            FindingKind.NO_ROOT,
            subject,
            f"the certificate {signer.top} at the top of its signer's chain is not in the build: a guest "
            "that does not know it refuses the package",
            "put it into the build as a .cer file",
        )
    if not signer.valid_at(now):
        yield _warning(
            FindingKind.NOT_VALID_NOW,
            subject,
            f"its signer {signer.subject} is valid from {signer.not_before:%Y-%m-%d} to "
            f"{signer.not_after:%Y-%m-%d} and there is no timestamp",
        )


def _contracts(packages: Iterable[BuildPackage]) -> tuple[dict[str, str], dict[str, str]]:
    """Vendor prefixes, and interface series (08 or 09), each with the package that has it.

    The series is the first byte of a revision; XENBUS has it as its major version (8.x speaks 08,
    9.x 09: facts/pv-drivers.md 1.1, the table of revisions).
    """
    prefixes: dict[str, str] = {}
    series: dict[str, str] = {}
    for package in packages:
        numbers = version_numbers(package.version)
        if package.name is DriverName.XENBUS and numbers:
            series.setdefault(f"{numbers[0]:02X}", str(package))
        for identifier in package.inf.hardware_ids:
            match = _CHILD_ID.match(identifier)
            if match:
                prefixes.setdefault(match[1].upper(), str(package))
                series.setdefault(match[2][:2].upper(), str(package))
    return prefixes, series


def _listed(found: dict[str, str]) -> str:
    return ", ".join(f"{value} ({package})" for value, package in found.items())


def _error(kind: FindingKind, subject: str, found: str, mend: str = "") -> BuildFinding:
    return BuildFinding(kind, Severity.ERROR, subject, found, mend)


def _warning(kind: FindingKind, subject: str, found: str, mend: str = "") -> BuildFinding:
    return BuildFinding(kind, Severity.WARNING, subject, found, mend)
