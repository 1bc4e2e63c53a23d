"""A medium of Windows is read, its boot made silent, and what is on a setup CD is read back."""

from __future__ import annotations

import io
from pathlib import Path

import pycdlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_media import NO_PROMPT, PROMPT, WIN10, make_medium, make_wim

from harness.errors import ConfigurationError
from harness.image.eltorito import SECTOR, boot_patch
from harness.image.iso import SETUP_LABEL, make_setup_iso, read_medium


@pytest.mark.parametrize("udf", [True, False])
@pytest.mark.parametrize("name", ["install.wim", "install.esd"])
def test_the_images_of_a_medium_are_found_in_either_file_system(
    tmp_path: Path, name: str, *, udf: bool
) -> None:
    medium = read_medium(make_medium(tmp_path / "win.iso", WIN10, name=name, udf=udf))
    assert [image.name for image in medium.images] == ["Windows 10 Home", "Windows 10 Pro"]
    assert medium.size == (tmp_path / "win.iso").stat().st_size


@pytest.mark.parametrize("udf", [True, False])
def test_with_the_patched_sector_a_uefi_gets_the_loader_that_asks_nobody(
    tmp_path: Path, *, udf: bool
) -> None:
    path = make_medium(tmp_path / "win.iso", udf=udf)
    medium = read_medium(path)
    before = path.read_bytes()
    assert before[entry(before) * SECTOR :].startswith(PROMPT)
    assert medium.no_prompt is not None
    at = medium.no_prompt.sector * SECTOR
    after = before[:at] + medium.no_prompt_sector + before[at + SECTOR :]
    assert after[entry(after) * SECTOR :].startswith(NO_PROMPT)
    assert sum(old != new for old, new in zip(before, after, strict=True)) <= 4


def entry(image: bytes) -> int:
    """The sector that the UEFI entry leads to, as a firmware reads it."""
    catalogue = int.from_bytes(image[17 * SECTOR + 71 :][:4], "little") * SECTOR
    assert image[catalogue + 64] in {0x90, 0x91}, "no section behind the BIOS's entry"
    assert image[catalogue + 65] == 0xEF
    assert image[catalogue + 96] == 0x88
    return int.from_bytes(image[catalogue + 104 :][:4], "little")


@pytest.mark.parametrize("how", [{"uefi": False}, {"no_prompt": False}])
def test_a_medium_without_such_a_loader_has_no_patch(tmp_path: Path, how: dict[str, bool]) -> None:
    medium = read_medium(make_medium(tmp_path / "win.iso", **how))
    assert medium.no_prompt is None
    assert medium.no_prompt_sector == b""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("boot.wim", "no medium of Windows"),
        ("install.swm", "split"),
    ],
)
def test_a_medium_without_a_whole_image_is_refused_with_the_reason(
    tmp_path: Path, name: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read_medium(make_medium(tmp_path / "win.iso", name=name))


@pytest.mark.parametrize("content", [b"", b"no ISO" * 9000])
def test_a_file_that_is_no_iso_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "win.iso").write_bytes(content)
    with pytest.raises(ConfigurationError, match="no ISO image"):
        read_medium(tmp_path / "win.iso")


def test_a_file_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"win\.iso: No such file"):
        read_medium(tmp_path / "win.iso")


def test_a_wim_whose_text_is_beyond_its_end_is_not_read_from_its_neighbour(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cut off"):
        read_medium(make_medium(tmp_path / "win.iso", wim=make_wim(WIN10)[:-10]))


@settings(deadline=None, max_examples=60)  # the machine may be busy
@given(st.binary(max_size=3 * SECTOR))
def test_whatever_stands_in_a_catalogue_a_patch_stays_in_its_sector(junk: bytes) -> None:
    record = b"\0CD001\1EL TORITO SPECIFICATION".ljust(71, b"\0") + (18).to_bytes(4, "little")
    data = bytes(17 * SECTOR) + record.ljust(SECTOR, b"\0") + junk
    patch = boot_patch(io.BytesIO(data), 7)
    assert patch is None or (patch.sector == 18 and patch.offset % SECTOR <= SECTOR - 4)


def test_a_setup_cd_has_what_was_put_there_under_the_same_names(tmp_path: Path) -> None:
    (tmp_path / "u.msu").write_bytes(b"update")
    root = {"Autounattend.xml": b"<x/>", "pvhck/setup.ps1": b"exit\r\n", "pvhck/setup.json": b"{}"}
    make_setup_iso(tmp_path / "setup.iso", root, {"pvhck/updates": {"u-KB1-x64.msu": tmp_path / "u.msu"}})
    iso = pycdlib.PyCdlib()
    iso.open(str(tmp_path / "setup.iso"))
    try:
        assert iso.pvd.volume_identifier.decode().strip() == SETUP_LABEL
        assert iso.eltorito_boot_catalog is None, "it would be booted"
        for name, content in {**root, "pvhck/updates/u-KB1-x64.msu": b"update"}.items():
            found = io.BytesIO()
            iso.get_file_from_iso_fp(found, joliet_path=f"/{name}")
            assert found.getvalue() == content
    finally:
        iso.close()


@pytest.mark.parametrize("name", ["ä.ps1", "x" * 61, "pvhck/a\nb"])
def test_a_name_that_no_cd_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="file name on a CD"):
        make_setup_iso(tmp_path / "setup.iso", {name: b""}, {})
