"""Driver builds on disk: INF, images, catalog, signers, hashes. Pure: no SSH, no guest."""

from harness.package.build import DriverBuild, load_build
from harness.package.findings import BuildError, BuildFinding, FindingKind, Severity
from harness.package.inffacts import InfFacts, InfService
from harness.package.parts import BuildPackage, PackageFile, version_numbers
from harness.package.symbols import keep_symbols
from harness.package.synthetic import Defect, make_build
from harness.package.trust import SignerFacts, TrustKind

__all__ = [
    "BuildError",
    "BuildFinding",
    "BuildPackage",
    "Defect",
    "DriverBuild",
    "FindingKind",
    "InfFacts",
    "InfService",
    "PackageFile",
    "Severity",
    "SignerFacts",
    "TrustKind",
    "keep_symbols",
    "load_build",
    "make_build",
    "version_numbers",
]
