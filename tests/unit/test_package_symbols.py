"""PDBs: whose they are, what is said of one that is another's, and how they are kept for a debugger."""

from __future__ import annotations

import struct
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import Arch, DriverName
from harness.package import Defect, FindingKind, keep_symbols, load_build, make_build
from harness.package.pdb import NotAPdb, PdbIdentity, read_pdb
from harness.package.pdbwriter import make_pdb

GUID = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")
HEX = "0123456789ABCDEF0123456789ABCDEF"
PDB = make_pdb(GUID, 1, timestamp=1)
_INFO_AGE = 3 * 512 + 8  # where the writer's first stream has it


def written(folder: Path, defect: Defect | None = None) -> Path:
    names = (DriverName.XENBUS, DriverName.XENVIF)
    return make_build(folder, version="9.1.0.42", arches=[Arch.X64], names=names, defect=defect)


def test_guid_and_age_are_read_as_symbol_servers_write_them() -> None:
    assert read_pdb(make_pdb(GUID, 0x1F, timestamp=1)) == PdbIdentity(HEX, frozenset({0x1F}))
    assert read_pdb(make_pdb(GUID, 0x1F, timestamp=1)).symbols() == {f"{HEX}1F"}


def test_a_pdb_that_a_tool_wrote_into_later_is_still_its_image_s() -> None:
    data = PDB[:_INFO_AGE] + struct.pack("<I", 4) + PDB[_INFO_AGE + 4 :]

    assert read_pdb(data).symbols() == {f"{HEX}1", f"{HEX}4"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "does not begin like"),
        (b"Microsoft C/C++ program database 2.00\r\n\x1aJG\0\0", "does not begin like"),
        (PDB[:40], "cut off"),
        (PDB[:32] + struct.pack("<I", 7) + PDB[36:], "blocks cannot have 7 bytes"),
        (PDB[:44] + struct.pack("<I", 0xFFFFFFFF) + PDB[48:], "directory"),
        (PDB[:1536], "cut off|directory"),
    ],
)
def test_what_is_no_pdb_is_refused_with_what_was_found(data: bytes, words: str) -> None:
    with pytest.raises(NotAPdb, match=words):
        read_pdb(data)


@given(
    st.lists(st.tuples(st.integers(0, len(PDB)), st.binary(min_size=1, max_size=6)), max_size=5),
    st.integers(0, len(PDB)),
)
def test_a_damaged_pdb_is_read_or_refused(changes: list[tuple[int, bytes]], cut: int) -> None:
    data = bytearray(PDB)
    for at, new in changes:
        data[at : at + len(new)] = new
    try:
        identity = read_pdb(bytes(data[:cut]))
    except NotAPdb:
        return
    assert len(identity.guid) == 32


def test_a_synthetic_build_has_the_pdb_of_each_image_and_they_are_not_for_the_guest(tmp_path: Path) -> None:
    build = load_build(written(tmp_path / "build"))

    for package in build.packages:
        images = [file for file in package.files if file.image is not None]
        assert images
        for file in images:
            assert file.image is not None
            pdb = package.find(file.image.pdb)
            assert pdb is not None
            assert pdb.symbols == {file.image.symbols}
            assert pdb not in package.payload
    assert build.warnings == ()


def test_pdbs_of_another_build_are_a_warning(tmp_path: Path) -> None:
    build = load_build(written(tmp_path / "build", Defect.OTHER_SYMBOLS))

    (warning,) = build.warnings
    assert warning.kind is FindingKind.OTHER_SYMBOLS
    assert "xenvif x64 xenvif.pdb: is that of another build (" in str(warning)
    assert "xenvif.sys asks for" in str(warning)


def test_a_pdb_that_cannot_be_read_is_a_warning_and_one_that_is_missing_is_none(tmp_path: Path) -> None:
    folder = written(tmp_path / "build")
    (folder / "xenvif" / "x64" / "xenvif.pdb").write_bytes(b"Microsoft C/C++ program database 2.00")
    for pdb in (folder / "xenbus" / "x64").glob("*.pdb"):
        pdb.unlink()

    (warning,) = load_build(folder).warnings

    assert "is no PDB of version 7" in str(warning)


def test_symbols_are_kept_where_a_debugger_looks_for_them(tmp_path: Path) -> None:
    build = load_build(written(tmp_path / "build"))
    store = tmp_path / "symbols"

    kept = keep_symbols(build.packages, store)

    image = build.package(DriverName.XENVIF).find("xenvif.sys")
    assert image is not None
    assert image.image is not None
    place = store / "xenvif.pdb" / image.image.symbols / "xenvif.pdb"
    assert place in kept
    assert place.read_bytes() == (tmp_path / "build" / "xenvif" / "x64" / "xenvif.pdb").read_bytes()
    assert {path.relative_to(store).parts[0] for path in kept} >= {"xen.pdb", "xenbus.pdb", "xenvif.pdb"}
    assert not list(store.rglob(".*")), "nothing half copied is left"


def test_symbols_are_copied_once_and_survive_the_next_build(tmp_path: Path) -> None:
    folder = written(tmp_path / "build")
    store = tmp_path / "symbols"
    first = keep_symbols(load_build(folder).packages, store)
    was = {path: path.stat().st_ino for path in first}
    with (folder / "xenvif" / "x64" / "xenvif.pdb").open("r+b") as pdb:
        pdb.write(b"written over in place")

    again = keep_symbols(load_build(folder).packages, store)

    assert {path: path.stat().st_ino for path in first} == was
    assert all(path.read_bytes().startswith(b"Microsoft C/C++ MSF 7.00") for path in first)
    assert not any("xenvif.pdb" in path.parts for path in again), "it is its driver's no more"


def test_a_pdb_that_is_not_its_driver_s_is_not_kept(tmp_path: Path) -> None:
    build = load_build(written(tmp_path / "build", Defect.OTHER_SYMBOLS))

    kept = keep_symbols(build.packages, tmp_path / "symbols")

    assert "xenvif.pdb" not in {path.name for path in kept}
    assert "xenbus.pdb" in {path.name for path in kept}
