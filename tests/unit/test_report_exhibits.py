"""Evidence on the page: screens, excerpts, and what must not be read."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from results_examples import screen

from harness.report import exhibits
from harness.report.exhibits import Exhibit, Exhibits
from harness.report.images import as_png


def pixels_of(png: bytes) -> tuple[int, int, bytes]:
    """Width, height and RGB samples, read as the PNG specification has them: unfiltered 8 bit RGB only."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    place, chunks = 8, {}
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        kind, data = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        (crc,) = struct.unpack(">I", png[place + 8 + length : place + 12 + length])
        assert crc == zlib.crc32(kind + data)
        chunks[kind] = data
        place += 12 + length
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (8, 2)
    rows = zlib.decompress(chunks[b"IDAT"])
    step = 1 + 3 * width
    assert all(rows[start] == 0 for start in range(0, len(rows), step))
    return width, height, b"".join(rows[start + 1 : start + step] for start in range(0, len(rows), step))


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_a_ppm_becomes_a_png_with_the_same_pixels(width: int, height: int, data: st.DataObject) -> None:
    pixels = data.draw(st.binary(min_size=3 * width * height, max_size=3 * width * height))
    png = as_png(b"P6\n%d %d\n255\n" % (width, height) + pixels)
    assert png is not None
    assert pixels_of(png) == (width, height, pixels)


def test_a_ppm_with_comments_is_read_and_a_png_is_left_as_it_is() -> None:
    png = as_png(b"P6 # made by\n# qemu\n1\t1\n255\nabc")
    assert png is not None
    assert pixels_of(png) == (1, 1, b"abc")
    assert as_png(png) == png


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"P6",
        b"P6\n2 2\n255\nabc",
        b"P6\n0 1\n255\n",
        b"P6\n1 1\n65535\nabcdef",
        b"P3\n1 1\n255\n1 2 3",
        b"GIF89a",
    ],
)
def test_what_is_no_whole_image_is_none(data: bytes) -> None:
    assert as_png(data) is None


def one_of(folder: Path, name: str, data: bytes) -> Exhibit:
    (folder / name).write_bytes(data)
    (found,) = Exhibits(folder).of([name])
    return found


def test_a_screen_dump_is_embedded_as_png(tmp_path: Path) -> None:
    found = one_of(tmp_path, "screen.ppm", screen(4, 4))
    assert found.kind == "image"
    kind, _, data = found.content.partition(",")
    assert kind == "data:image/png;base64"
    assert pixels_of(base64.b64decode(data))[:2] == (4, 4)


def test_a_short_text_is_shown_whole_and_a_long_one_from_both_ends(tmp_path: Path) -> None:
    assert one_of(tmp_path, "a.txt", b"one\r\ntwo\n").content == "one\ntwo"
    found = one_of(tmp_path, "b.txt", "\n".join(f"line {n}" for n in range(1000)).encode())
    lines = found.content.splitlines()
    assert (lines[0], lines[-1]) == ("line 0", "line 999")
    assert "915 lines left out" in found.content
    assert found.note.endswith("915 lines left out")
    assert len(lines) < 100


# names as harness.evidence gives them
@pytest.mark.parametrize(
    "name",
    ["hypervisor.txt", "dom0-kernel.txt", "qemu-dm.txt", "xl.txt", "xend.txt", "libvirt.txt", "console.txt",
     "console-pv.txt", "setupapi.txt", "channel.jsonl", "guest-events.jsonl"],
)  # fmt: skip
def test_logs_open_at_their_end(tmp_path: Path, name: str) -> None:
    assert one_of(tmp_path, name, b"x").from_end


@pytest.mark.parametrize(
    "name",
    ["domains.txt", "xenstore.txt", "xenstore-backends.txt", "domain-config.txt", "guest-devices.json"],
)
def test_lists_and_descriptions_open_at_their_beginning(tmp_path: Path, name: str) -> None:
    assert not one_of(tmp_path, name, b"x").from_end


def test_utf16_as_windows_tools_write_it_is_text_and_a_dump_is_not(tmp_path: Path) -> None:
    assert one_of(tmp_path, "a.txt", "Überlauf".encode("utf-16")).content == "Überlauf"
    found = one_of(tmp_path, "memory.dmp", b"PAGEDUMP\0\0")
    assert (found.kind, found.content, found.note) == ("file", "", "10 bytes")


def test_control_characters_of_a_guest_are_written_out(tmp_path: Path) -> None:
    assert one_of(tmp_path, "a.txt", b"a\x1b[2Jb").content == "a\\x1b[2Jb"


@pytest.mark.parametrize("path", ["../secret.txt", "/etc/hostname", "link/secret.txt"])
def test_nothing_outside_the_runs_folder_is_read(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path, target_is_directory=True)
    (found,) = Exhibits(folder).of([path])
    assert (found.kind, found.content, found.href) == ("missing", "", "")


def test_a_file_that_is_not_there_is_named_as_missing(tmp_path: Path) -> None:
    (found,) = Exhibits(tmp_path).of(["gone.txt"])
    assert (found.kind, found.path) == ("missing", "gone.txt")


def test_a_folder_gives_its_files_screens_first(tmp_path: Path) -> None:
    (tmp_path / "e" / "sub").mkdir(parents=True)
    (tmp_path / "e" / "a.txt").write_text("a")
    (tmp_path / "e" / "sub" / "z.ppm").write_bytes(screen(2, 2))
    assert [one.path for one in Exhibits(tmp_path).of(["e", "e"])] == ["e/sub/z.ppm", "e/a.txt"]


def test_a_link_survives_odd_names(tmp_path: Path) -> None:
    assert one_of(tmp_path, "a b#1%.txt", b"x").href == "a%20b%231%25.txt"


def test_a_page_that_is_full_names_the_rest_instead_of_growing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exhibits, "_WHOLE_PAGE", 10)
    (tmp_path / "a.txt").write_text("12345678")
    (tmp_path / "b.txt").write_text("12345678")
    first, second = Exhibits(tmp_path).of(["a.txt", "b.txt"])
    assert (first.kind, second.kind, second.content) == ("text", "file", "")
    assert "the page is full" in second.note
