"""A driver build on disk: its packages with all that is known of them."""

from __future__ import annotations

import datetime as dt
import hashlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from cryptography import x509

from harness.errors import ConfigurationError
from harness.model import INSTALL_ORDER, Arch, DriverName
from harness.package.catalog import CatalogFacts, NotACatalog, flat_digests, read_catalog
from harness.package.checks import check_build, check_package
from harness.package.findings import BuildError, BuildFinding, FindingKind, Severity
from harness.package.inffacts import InfFacts, InfService, read_inf
from harness.package.infwriter import MARK
from harness.package.layout import Place, WorkFolder, find_places, gather
from harness.package.parts import BuildPackage, PackageFile
from harness.package.pdb import NotAPdb, read_pdb
from harness.package.pe import NotAnExecutable, read_pe
from harness.package.trust import SignerFacts, TrustKind, load_certificates
from harness.package.unpack import Budget, is_archive

__all__ = [
    "BuildPackage",
    "DriverBuild",
    "InfFacts",
    "InfService",
    "PackageFile",
    "SignerFacts",
    "load_build",
]

_IMAGES = (".sys", ".exe", ".dll")
_CERTIFICATES = (".cer", ".crt")
_PDB = ".pdb"


@dataclass(frozen=True)
class DriverBuild:
    """Packages of one build, in install order, x86 before x64. Use it as a context.

    ``warnings`` are what a report shows. What was unpacked for it is removed when the context
    ends; parts of a build (``only``, ``for_arch``) live as long as the build they came from.
    """

    path: Path
    packages: tuple[BuildPackage, ...]
    warnings: tuple[BuildFinding, ...]
    _work: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False, compare=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was unpacked."""
        if self._work is not None:
            self._work.cleanup()

    @property
    def synthetic(self) -> bool:
        """Whether any package is made up (``harness.package.synthetic``): it holds no driver."""
        return any(MARK in package.inf.provider.lower() for package in self.packages)

    @property
    def names(self) -> tuple[DriverName, ...]:
        """The drivers it holds, in install order."""
        held = {package.name for package in self.packages}
        return tuple(name for name in INSTALL_ORDER if name in held)

    @property
    def arches(self) -> tuple[Arch, ...]:
        """The architectures for which it holds any package."""
        return tuple(arch for arch in Arch if any(package.arch is arch for package in self.packages))

    @property
    def signers(self) -> tuple[SignerFacts, ...]:
        """Everyone who signed a package, each once."""
        found = {signer.thumbprint: signer for package in self.packages for signer in package.catalog.signers}
        return tuple(found.values())

    @property
    def needs_test_signing(self) -> bool:
        """Whether Windows takes these packages only with test signing on."""
        return any(signer.trust is TrustKind.TEST for signer in self.signers)

    @property
    def sha256(self) -> str:
        """One hash for the whole build, from its packages' own."""
        text = "".join(f"{package.name}/{package.arch} {package.sha256}\n" for package in self.packages)
        return hashlib.sha256(text.encode()).hexdigest()

    def package(self, name: DriverName) -> BuildPackage:
        """The package of a driver, in a build of one architecture (``for_arch``).

        Raises:
            KeyError: there is none.
        """
        for package in self.packages:
            if package.name is name:
                return package
        raise KeyError(name)

    def for_arch(self, arch: Arch) -> DriverBuild:
        """The part for an architecture.

        Raises:
            ConfigurationError: it holds nothing for it.
        """
        part = self._part(package for package in self.packages if package.arch is arch)
        if not part.packages:
            raise ConfigurationError(
                f"driver build {self.path} holds nothing for {arch}",
                mend=f"build for {arch} too, or choose templates of another architecture",
            )
        return part

    def only(self, *names: DriverName) -> DriverBuild:
        """The part with these drivers."""
        return self._part(package for package in self.packages if package.name in names)

    def without(self, *names: DriverName) -> DriverBuild:
        """The part without these drivers."""
        return self._part(package for package in self.packages if package.name not in names)

    def _part(self, packages: Iterable[BuildPackage]) -> DriverBuild:
        return replace(self, packages=tuple(packages), _work=None)


def load_build(path: Path, *, work: Path | None = None, now: dt.datetime | None = None) -> DriverBuild:
    """Read a driver build from a folder, a tar (plain, gzip, xz) or a zip file.

    Archives are unpacked into ``work``, else into a temporary folder that the build owns.
    ``now`` is when its certificates have to be valid, by default the present.

    Raises:
        BuildError: it is corrupt or incomplete; names each thing and its mend.
        ConfigurationError: there is no such build, or its archive cannot be unpacked.
    """
    if not path.is_dir() and not (path.is_file() and is_archive(path)):
        there = "is no folder, tar or zip file" if path.exists() else "does not exist"
        raise ConfigurationError(
            f"driver build {path} {there}", mend="name a folder, a tar, tar.gz or tar.xz, or a zip file"
        )
    owned: list[tempfile.TemporaryDirectory[str]] = []

    def make_work() -> Path:
        if work is not None:
            return work
        if not owned:
            owned.append(tempfile.TemporaryDirectory(prefix="pvhck-build-"))
        return Path(owned[0].name)

    try:
        packages, warnings = _read(path, WorkFolder(make_work), now or dt.datetime.now(dt.UTC))
    except BaseException as error:
        for folder in owned:
            folder.cleanup()
        if isinstance(error, OSError):
            raise ConfigurationError(f"driver build {path} cannot be read or unpacked: {error}") from error
        raise
    return DriverBuild(path, packages, warnings, owned[0] if owned else None)


def _read(
    path: Path, work: WorkFolder, now: dt.datetime
) -> tuple[tuple[BuildPackage, ...], tuple[BuildFinding, ...]]:
    roots = gather(path, work, Budget())
    places, found = find_places(roots)
    certificates = _certificates(roots)
    findings = list(found)
    packages = []
    for place in sorted(
        places, key=lambda place: (INSTALL_ORDER.index(place.name), list(Arch).index(place.arch))
    ):
        package, problems = _read_package(place, certificates)
        packages.append(package)
        findings += [*problems, *check_package(package, now)]
    findings += check_build(packages)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise BuildError(path, errors)
    return tuple(packages), tuple(findings)


def _certificates(roots: tuple[Path, ...]) -> tuple[x509.Certificate, ...]:
    found: list[x509.Certificate] = []
    for root in roots:
        for file in sorted(root.rglob("*")):
            if file.suffix.lower() in _CERTIFICATES and file.is_file():
                found += load_certificates(file.read_bytes())
    return tuple(found)


def _read_package(
    place: Place, certificates: tuple[x509.Certificate, ...]
) -> tuple[BuildPackage, list[BuildFinding]]:
    subject = f"{place.name} {place.arch}"
    problems: list[BuildFinding] = []
    files = []
    for path in sorted(place.folder.rglob("*")):
        if path.is_file():
            file, problem = _read_file(path, path.relative_to(place.folder).as_posix(), subject)
            files.append(file)
            problems += problem
    inf = read_inf(place.inf.read_bytes(), place.arch)
    catalog = CatalogFacts((), (), "")
    listed = next((file for file in files if file.name.lower() == inf.catalog.lower()), None)
    if listed is not None:
        try:
            catalog = read_catalog((place.folder / listed.name).read_bytes(), certificates)
        except NotACatalog as error:
            problems.append(
                BuildFinding(
                    FindingKind.BAD_CATALOG,
                    Severity.ERROR,
                    f"{subject} {listed.name}",
                    f"cannot be read as a catalog: {error}",
                    "make it again with inf2cat and sign it",
                )
            )
            listed = None
    package = BuildPackage(
        place.name,
        place.arch,
        place.folder,
        place.inf.name,
        inf,
        tuple(files),
        catalog,
        has_catalog=listed is not None,
    )
    broken = {problem.subject for problem in problems if problem.kind is FindingKind.BAD_PE}
    kernel = {f"{subject} {file}" for file in inf.files if file.lower().endswith(".sys")}
    # a damaged image that the package does not copy is nobody's business
    needed = [problem for problem in problems if problem.subject not in broken or problem.subject in kernel]
    return package, needed


def _read_file(path: Path, name: str, subject: str) -> tuple[PackageFile, list[BuildFinding]]:
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    digests = flat_digests(data)
    if not name.lower().endswith(_IMAGES):
        return PackageFile(name, len(data), sha256, digests, None, _symbols(name, data)), []
    try:
        image = read_pe(data)
    except NotAnExecutable as error:
        problem = BuildFinding(
            FindingKind.BAD_PE,
            Severity.ERROR,
            f"{subject} {name}",
            f"is no Windows executable: {error}",
            "the file is damaged: build or copy this package again",
        )
        return PackageFile(name, len(data), sha256, digests, None), [problem]
    return PackageFile(name, len(data), sha256, digests | image.digests, image), []


def _symbols(name: str, data: bytes) -> frozenset[str]:
    """What a PDB may be filed under."""
    if not name.lower().endswith(_PDB):
        return frozenset()
    try:
        return read_pdb(data).symbols()
    except NotAPdb:
        return frozenset()
