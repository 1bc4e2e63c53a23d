"""Builds as a whole: layouts, what makes one unusable, what is only said."""

import dataclasses
import datetime as dt
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.model import INSTALL_ORDER, Arch, DriverName
from harness.package import (
    BuildError,
    Defect,
    DriverBuild,
    FindingKind,
    Severity,
    TrustKind,
    load_build,
    make_build,
)
from harness.package.checks import check_package

VERSION = "9.1.0.42"
TWO = INSTALL_ORDER[:2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("build") / "synthetic", version=VERSION)


@pytest.fixture(scope="module")
def build(folder: Path) -> DriverBuild:
    return load_build(folder)


def test_a_synthetic_build_is_well_formed_and_says_what_it_is(build: DriverBuild) -> None:
    assert build.names == INSTALL_ORDER
    assert build.arches == (Arch.X86, Arch.X64)
    assert build.warnings == ()
    assert build.synthetic
    assert {package.version for package in build.packages} == {VERSION}
    for package in build.packages:
        assert "synthetic" in package.inf.provider
        assert "synthetic" in package.inf.description
        images = [file.image for file in package.files if file.image]
        assert images
        assert all("synthetic" in image.description for image in images)


def test_a_synthetic_build_is_test_signed_by_a_certificate_of_its_own(build: DriverBuild) -> None:
    (signer,) = build.signers

    assert signer.trust is TrustKind.TEST
    assert build.needs_test_signing
    assert "synthetic" in signer.subject


def test_packages_come_in_install_order(build: DriverBuild) -> None:
    assert tuple(package.name for package in build.for_arch(Arch.X64).packages) == INSTALL_ORDER


def test_devices_are_those_of_the_real_drivers(build: DriverBuild) -> None:
    ids = {package.name: package.inf.hardware_ids for package in build.for_arch(Arch.X64).packages}

    assert "PCI\\VEN_5853&DEV_0001" in ids[DriverName.XENBUS]
    assert "XENBUS\\VEN_XP0001&DEV_VIF&REV_0900000B" in ids[DriverName.XENVIF]
    assert "XENVIF\\VEN_XP0001&DEV_NET&REV_09000005" in ids[DriverName.XENNET]


def test_the_same_arguments_give_the_same_package_but_for_its_signature(tmp_path: Path) -> None:
    first, second = (
        load_build(make_build(tmp_path / name, version=VERSION, names=TWO)) for name in ("a", "b")
    )

    assert [package.sha256 for package in first.packages] == [package.sha256 for package in second.packages]
    assert first.sha256 == second.sha256
    assert first.signers[0].thumbprint != second.signers[0].thumbprint


def test_another_version_is_another_package(build: DriverBuild, tmp_path: Path) -> None:
    other = load_build(make_build(tmp_path / "b", version="9.1.0.43"))

    assert not {p.sha256 for p in other.packages} & {p.sha256 for p in build.packages}


# -- layouts


def packed(folder: Path, target: Path) -> Path:
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as zipped:
            for path in folder.rglob("*"):
                zipped.write(path, path.relative_to(folder.parent))
    else:
        with tarfile.open(target, "w:" + target.suffix.removeprefix(".").replace("tar", "")) as tar:
            tar.add(folder, folder.name)
    return target


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tar.xz"])
def test_archives_hold_the_same_build_and_leave_nothing_behind(
    folder: Path, build: DriverBuild, tmp_path: Path, suffix: str
) -> None:
    with load_build(packed(folder, tmp_path / f"b.{suffix}")) as unpacked:
        place = unpacked.packages[0].folder
        assert unpacked.sha256 == build.sha256
        assert place.is_dir()
    assert not place.exists()


def test_an_archive_can_be_unpacked_where_the_caller_says(folder: Path, tmp_path: Path) -> None:
    with load_build(packed(folder, tmp_path / "b.zip"), work=tmp_path / "work") as build:
        assert all(package.folder.is_relative_to(tmp_path / "work") for package in build.packages)


def test_a_folder_of_tars_as_the_drivers_own_builds_make_it(
    folder: Path, build: DriverBuild, tmp_path: Path
) -> None:
    for name in INSTALL_ORDER:
        (tmp_path / "builds" / name).mkdir(parents=True)
        packed(folder / name, tmp_path / "builds" / name / f"{name}.tar")

    with load_build(tmp_path / "builds") as unpacked:
        assert unpacked.sha256 == build.sha256


def test_one_package_by_itself_is_a_build(folder: Path) -> None:
    alone = load_build(folder / "xenvif" / "x64")

    assert [(package.name, package.arch) for package in alone.packages] == [(DriverName.XENVIF, Arch.X64)]


def test_a_folder_without_architecture_is_told_by_its_inf(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "xenbus" / "x86", tmp_path / "some" / "where")

    assert load_build(tmp_path).arches == (Arch.X86,)


def test_free_and_checked_side_by_side_are_refused(folder: Path, tmp_path: Path) -> None:
    for flavour in ("free", "checked"):
        shutil.copytree(folder / "xenbus", tmp_path / flavour / "xenbus")

    with pytest.raises(BuildError, match="two packages") as error:
        load_build(tmp_path)
    assert {finding.kind for finding in error.value.findings} == {FindingKind.AMBIGUOUS}


def test_sister_drivers_are_left_alone_and_named(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "xenbus", tmp_path / "xenbus")
    (tmp_path / "xencons" / "x64").mkdir(parents=True)
    (tmp_path / "xencons" / "x64" / "xencons.inf").write_text("[Version]\n")

    (warning,) = load_build(tmp_path).warnings

    assert (warning.kind, warning.severity) == (FindingKind.UNKNOWN_PACKAGE, Severity.WARNING)
    assert "xencons" in str(warning)


# -- what is not a build


@pytest.mark.parametrize("name", ["missing", "file.txt", "empty"])
def test_what_is_no_build_is_refused_with_what_one_looks_like(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").write_text("nothing")
    (tmp_path / "empty").mkdir()

    with pytest.raises(ConfigurationError) as error:
        load_build(tmp_path / name)
    assert name in error.value.found
    assert error.value.mend


@pytest.mark.parametrize(
    ("defect", "kind", "named"),
    [
        (Defect.NO_INF, FindingKind.NO_INF, "xeniface x64"),
        (Defect.WRONG_ARCH, FindingKind.WRONG_ARCH, "xeniface.sys"),
        (Defect.INF_OF_OTHER_ARCH, FindingKind.WRONG_ARCH, "xeniface.inf"),
        (Defect.TAMPERED, FindingKind.NOT_IN_CATALOG, "xeniface.sys"),
        (Defect.VERSION_MISMATCH, FindingKind.VERSION_MISMATCH, "xeniface.sys"),
        (Defect.FILE_MISSING, FindingKind.FILE_MISSING, "xeniface.sys"),
        (Defect.NO_CATALOG, FindingKind.NO_CATALOG, "xeniface.cat"),
        (Defect.UNSIGNED, FindingKind.UNSIGNED, "xeniface.cat"),
        (Defect.FORGED, FindingKind.BAD_CATALOG, "xeniface.cat"),
        (Defect.NOT_AN_IMAGE, FindingKind.BAD_PE, "xeniface.sys"),
    ],
)
def test_a_defect_is_named_with_its_file_and_its_mend(
    tmp_path: Path, defect: Defect, kind: FindingKind, named: str
) -> None:
    make_build(tmp_path / "b", version=VERSION, names=TWO, arches=[Arch.X64], defect=defect)

    with pytest.raises(BuildError) as error:
        load_build(tmp_path / "b")

    findings = [finding for finding in error.value.findings if finding.kind is kind]
    assert findings, f"found instead: {error.value}"
    assert named in findings[0].subject
    assert findings[0].mend
    assert {finding.subject.split()[0] for finding in error.value.findings} == {"xeniface"}


def test_every_error_of_a_build_is_said_at_once(tmp_path: Path) -> None:
    make_build(tmp_path / "b", version=VERSION, names=TWO, arches=[Arch.X64])
    (tmp_path / "b/xenbus/x64/xen.sys").unlink()
    (tmp_path / "b/xeniface/x64/xeniface.inf").write_bytes(b"")

    with pytest.raises(BuildError) as error:
        load_build(tmp_path / "b")

    assert "xen.sys" in str(error.value)
    assert "xeniface.inf" in str(error.value)


def test_a_changed_inf_is_not_what_the_catalog_lists(tmp_path: Path) -> None:
    make_build(tmp_path / "b", version=VERSION, names=TWO, arches=[Arch.X64])
    inf = tmp_path / "b/xenbus/x64/xenbus.inf"
    inf.write_bytes(inf.read_bytes() + b"; one more line\r\n")

    with pytest.raises(BuildError, match=r"xenbus.inf: xenbus.cat does not list it"):
        load_build(tmp_path / "b")


def test_a_broken_program_that_the_package_does_not_install_is_nobodys_business(tmp_path: Path) -> None:
    make_build(tmp_path / "b", version=VERSION, names=TWO, arches=[Arch.X64])
    (tmp_path / "b/xenbus/x64/dpinst.exe").write_bytes(b"not one")

    assert load_build(tmp_path / "b").names == TWO


# -- what is only said


def mixed(tmp_path: Path, version: str) -> DriverBuild:
    make_build(tmp_path / "a", version=VERSION, names=[DriverName.XENBUS])
    make_build(tmp_path / "b", version=version, names=[DriverName.XENVIF, DriverName.XENNET])
    shutil.copytree(tmp_path / "b" / "xenvif", tmp_path / "a" / "xenvif")
    shutil.copytree(tmp_path / "b" / "xennet", tmp_path / "a" / "xennet")
    return load_build(tmp_path / "a")


def test_packages_of_several_versions_are_said(tmp_path: Path) -> None:
    warnings = mixed(tmp_path, version="9.1.0.41").warnings

    assert [warning.kind for warning in warnings] == [FindingKind.MIXED_VERSIONS]


def test_a_bus_of_another_interface_series_is_said(tmp_path: Path) -> None:
    make_build(tmp_path / "a", version="8.2.0.1")

    warnings = load_build(tmp_path / "a").warnings

    assert [warning.kind for warning in warnings] == [FindingKind.MIXED_REVISIONS]
    assert "problem 28" in warnings[0].found


def test_packages_of_several_vendors_are_said(tmp_path: Path) -> None:
    make_build(tmp_path / "a", version=VERSION, names=[DriverName.XENVIF], prefix="XS")
    make_build(tmp_path / "b", version=VERSION, names=[DriverName.XENNET], prefix="XP")
    shutil.copytree(tmp_path / "b" / "xennet", tmp_path / "a" / "xennet")

    assert FindingKind.MIXED_VENDORS in {warning.kind for warning in load_build(tmp_path / "a").warnings}


def test_a_certificate_that_has_run_out_is_said(folder: Path) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=400)

    warnings = load_build(folder, now=later).warnings

    assert {warning.kind for warning in warnings} == {FindingKind.NOT_VALID_NOW}


def test_what_the_file_system_refuses_is_said_without_a_traceback(tmp_path: Path) -> None:
    archive = tmp_path / "b.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("n" * 300, b"")

    with pytest.raises(ConfigurationError, match=r"b\.zip cannot be unpacked"):
        load_build(archive)


# -- parts


def test_a_part_without_a_driver_has_the_rest(build: DriverBuild) -> None:
    part = build.without(DriverName.XENVIF)

    assert part.names == tuple(name for name in INSTALL_ORDER if name is not DriverName.XENVIF)
    assert build.names == INSTALL_ORDER


def test_an_architecture_the_build_has_not_is_a_mistake_of_the_person(tmp_path: Path) -> None:
    build = load_build(make_build(tmp_path / "b", version=VERSION, names=TWO, arches=[Arch.X64]))

    with pytest.raises(ConfigurationError, match="holds nothing for x86"):
        build.for_arch(Arch.X86)


def test_symbols_stay_at_home(tmp_path: Path) -> None:
    make_build(tmp_path / "b", version=VERSION, names=TWO, arches=[Arch.X64])
    (tmp_path / "b/xenbus/x64/xenbus.pdb").write_bytes(b"symbols")

    package = load_build(tmp_path / "b").packages[0]

    assert "xenbus.pdb" in {file.name for file in package.files}
    assert "xenbus.pdb" not in {file.name for file in package.payload}


def test_a_test_signature_without_its_root_is_told_of(build: DriverBuild) -> None:
    package = build.packages[0]
    (signer,) = package.catalog.signers
    rootless = dataclasses.replace(signer, root=None, top="CN=Somebody's root")
    catalog = dataclasses.replace(package.catalog, signers=(rootless,))

    found = list(check_package(dataclasses.replace(package, catalog=catalog), dt.datetime.now(dt.UTC)))

    assert [(finding.kind, finding.severity) for finding in found] == [
        (FindingKind.NO_ROOT, Severity.WARNING)
    ]
    assert "CN=Somebody's root" in found[0].found
