"""Synthetic driver builds: well formed in every respect but one: there is no driver in them.

For the demo, for tests and for the stand-in guest, because no real driver binary may be shipped
(QSB-091). INF, images, catalog and certificate are real in form; each says that it is synthetic.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.model import INSTALL_ORDER, Arch, DriverName
from harness.package.catalogwriter import ListedFile, TestSigner, make_catalog
from harness.package.infwriter import MARK, make_inf, shape_of
from harness.package.pdbwriter import make_pdb
from harness.package.pe import authenticode_digests
from harness.package.pewriter import AGE, ImageTexts, make_pe, pdb_guid, pdb_name

__all__ = ["CERTIFICATE", "Defect", "make_build"]

CERTIFICATE = f"{MARK}.cer"
_DATE = dt.date(2026, 1, 1)
_OTHER = {Arch.X86: Arch.X64, Arch.X64: Arch.X86}
_NOT_THIS_VERSION = "0.0.0.1"


class Defect(StrEnum):
    """What can be wrong with a build that is made to be refused; it hits the last package made."""

    NO_INF = "no-inf"
    WRONG_ARCH = "wrong-arch"  # images of the other architecture
    INF_OF_OTHER_ARCH = "inf-of-other-arch"
    TAMPERED = "tampered"  # a driver changed after signing
    VERSION_MISMATCH = "version-mismatch"  # images of another version than the INF's
    FILE_MISSING = "file-missing"
    NO_CATALOG = "no-catalog"
    UNSIGNED = "unsigned"  # the catalog as inf2cat leaves it
    FORGED = "forged"  # the catalog changed after signing
    NOT_AN_IMAGE = "not-an-image"  # a driver cut in the middle
    OTHER_SYMBOLS = "other-symbols"  # PDBs that were linked with other images; refused by debuggers only


@dataclass(frozen=True)
class _Recipe:
    version: str
    date: dt.date
    prefix: str
    signer: TestSigner
    now: dt.datetime

    @property
    def timestamp(self) -> int:
        """What the linker writes into images."""
        return int(dt.datetime.combine(self.date, dt.time(), dt.UTC).timestamp())


def make_build(
    folder: Path,
    *,
    version: str,
    arches: Iterable[Arch] = tuple(Arch),
    names: Iterable[DriverName] = INSTALL_ORDER,
    date: dt.date = _DATE,
    prefix: str = "XP",
    defect: Defect | None = None,
) -> Path:
    """Write a build into ``folder`` (made if need be): ``NAME/ARCH/...`` and its test certificate.

    ``version`` is four numbers of 16 bits with dots between them. INFs and images depend on the
    arguments alone; the certificate is thrown away with the key when the call ends, so catalogs
    differ from call to call. Gives the folder.
    """
    now = dt.datetime.now(dt.UTC)
    signer = TestSigner(f"pvhck {MARK} test", now=now)
    recipe = _Recipe(version, date, prefix, signer, now)
    wanted = [(name, arch) for name in names for arch in arches]
    for place in wanted:
        _make_package(folder, *place, recipe, defect if place == wanted[-1] else None)
    (folder / CERTIFICATE).write_bytes(signer.der)
    return folder


def _make_package(folder: Path, name: DriverName, arch: Arch, recipe: _Recipe, defect: Defect | None) -> None:
    target = folder / name / arch
    target.mkdir(parents=True)
    files = {file: _image(name, arch, file, recipe, defect) for file in shape_of(name).files}
    symbols = {pdb_name(file): _pdb(name, arch, file, recipe, defect) for file in files}
    for_arch = _OTHER[arch] if defect is Defect.INF_OF_OTHER_ARCH else arch
    text = make_inf(
        name, for_arch, recipe.version, date=recipe.date, prefix=recipe.prefix, listed=f"{name}.cat"
    )
    files[f"{name}.inf"] = text.encode("ascii")
    signer = None if defect is Defect.UNSIGNED else recipe.signer
    catalog = make_catalog([_listed(file, data) for file, data in files.items()], signer, now=recipe.now)
    files[f"{name}.cat"] = catalog
    for file, data in (_spoiled(files, name, defect) | symbols).items():
        (target / file).write_bytes(data)


def _image(name: DriverName, arch: Arch, file: str, recipe: _Recipe, defect: Defect | None) -> bytes:
    is_for = _OTHER[arch] if defect is Defect.WRONG_ARCH else arch
    return make_pe(is_for, _texts(name, file, recipe, defect), timestamp=recipe.timestamp)


def _pdb(name: DriverName, arch: Arch, file: str, recipe: _Recipe, defect: Defect | None) -> bytes:
    is_for = _OTHER[arch] if defect in {Defect.WRONG_ARCH, Defect.OTHER_SYMBOLS} else arch
    guid = pdb_guid(is_for, _texts(name, file, recipe, defect))
    return make_pdb(guid, AGE, timestamp=recipe.timestamp)


def _texts(name: DriverName, file: str, recipe: _Recipe, defect: Defect | None) -> ImageTexts:
    return ImageTexts(
        name=file,
        version=_NOT_THIS_VERSION if defect is Defect.VERSION_MISMATCH else recipe.version,
        description=f"Xen {shape_of(name).description} ({MARK})",
        company=f"pvhck ({MARK})",
    )


def _listed(file: str, data: bytes) -> ListedFile:
    if file.endswith(".inf"):
        return ListedFile(file, hashlib.sha256(data).digest(), image=False)
    # a catalog of the second version lists SHA-256: the longer of the two digests
    digest = max(authenticode_digests(data), key=len)
    return ListedFile(file, bytes.fromhex(digest), image=True)


def _spoiled(files: dict[str, bytes], name: DriverName, defect: Defect | None) -> dict[str, bytes]:
    """The files with a defect that comes after signing."""
    driver, catalog = f"{name}.sys", f"{name}.cat"
    match defect:
        case Defect.NO_INF:
            del files[f"{name}.inf"]
        case Defect.NO_CATALOG:
            del files[catalog]
        case Defect.FILE_MISSING:
            del files[driver]
        case Defect.TAMPERED:
            at = files[driver].index(b"\xb8\x02\x00\x00\xc0\xc3")
            files[driver] = files[driver][:at] + b"\x90" + files[driver][at + 1 :]
        case Defect.NOT_AN_IMAGE:
            files[driver] = files[driver][:32]
        case Defect.FORGED:
            at = files[catalog].index("inf".encode("utf-16-le"))
            files[catalog] = files[catalog][:at] + b"I" + files[catalog][at + 1 :]
    return files
