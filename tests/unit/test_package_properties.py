"""A driver build came from elsewhere: any bytes are facts, or refused in our words."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hostile_texts import any_text, damaged, one_line, torn_text
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.errors import ConfigurationError
from harness.model import Arch, DriverName
from harness.package.inf import decode_inf, parse_inf
from harness.package.inffacts import architectures_of, read_inf
from harness.package.infwriter import make_inf
from harness.package.layout import find_places
from harness.package.parts import version_numbers
from harness.package.pe import NotAnExecutable, read_pe
from harness.package.pewriter import ImageTexts, make_pe
from harness.package.unpack import Budget, unpack

INF = make_inf(
    DriverName.XENVIF, Arch.X64, "9.1.0.1", date=dt.date(2026, 1, 2), prefix="XP", listed="xenvif.cat"
)
PE = make_pe(Arch.X64, ImageTexts("xen.sys", "9.1.0.1", "Xen", "pvhck"), timestamp=1)
quick = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


# -- INF


@given(st.data())
def test_a_damaged_inf_can_be_read(data: st.DataObject) -> None:
    text = data.draw(damaged(INF))
    for arch in Arch:
        facts = read_inf(
            text.encode(data.draw(st.sampled_from(["utf-8", "utf-16", "utf-16-le"])), "replace"), arch
        )
        assert all(isinstance(one, str) for one in (*facts.files, *facts.hardware_ids, facts.version))
    assert architectures_of(parse_inf(text)) <= set(Arch)


@pytest.mark.parametrize("digits", ["0x" + "f" * 5000, "9" * 5000, "0" * 5000 + "1"])
def test_a_number_of_thousands_of_digits_in_an_inf_is_none(digits: str) -> None:
    text = INF.replace("StartType=3", f"StartType={digits}")
    assert digits in text
    assert read_inf(text.encode(), Arch.X64).services


@given(any_text)
def test_any_text_in_any_encoding_is_decoded(text: str) -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        assert decode_inf(text.encode(encoding)) == text
    assert isinstance(decode_inf(text.encode("utf-16-le")), str)
    assert version_numbers(text) is None or version_numbers(text)


def test_a_version_of_thousands_of_digits_is_none() -> None:
    assert version_numbers("9" * 5000) is None


# -- images


@quick
@given(st.lists(st.tuples(st.integers(0, len(PE) - 1), st.binary(min_size=1, max_size=8)), max_size=4))
def test_an_image_with_changed_bytes_is_read_or_refused(changes: list[tuple[int, bytes]]) -> None:
    image = bytearray(PE)
    for at, instead in changes:
        image[at : at + len(instead)] = instead
    with contextlib.suppress(NotAnExecutable):
        assert read_pe(bytes(image)).digests


# -- archives


def unpacked(data: bytes, name: str) -> list[str]:
    """What lies in the folder afterwards, relative to it; refused ones leave nothing outside."""
    with tempfile.TemporaryDirectory() as outer:
        archive, folder = Path(outer, name), Path(outer, "in", "folder")
        archive.write_bytes(data)
        with contextlib.suppress(ConfigurationError):
            unpack(archive, folder, Budget(max_bytes=1 << 20, max_files=50))
        outside = [path for path in Path(outer).rglob("*") if path.is_file() and folder not in path.parents]
        assert outside == [archive]
        return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


def zipped(names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in dict.fromkeys(names):
            archive.writestr(zipfile.ZipInfo(name or "x"), b"text")
    return buffer.getvalue()


def tarred(names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name or "x")
            member.size = 4
            archive.addfile(member, io.BytesIO(b"text"))
    return buffer.getvalue()


NAMES = st.lists(
    one_line | st.sampled_from(["a/b", "a", "../x", "/etc/x", "C:\\x", "a\\..\\..\\x", "n" * 300]), max_size=4
)


@quick
@given(NAMES)
@example(["n" * 300])
@example(["日" * 100])
def test_files_of_any_name_come_into_the_folder_or_the_archive_is_refused(names: list[str]) -> None:
    assert len(unpacked(tarred(names), "a.tar")) <= len(names)
    assert len(unpacked(zipped(names), "a.zip")) <= len(names)


ARCHIVES = [(zipped(["a/x.inf", "ä"]), "a.zip"), (tarred(["a/x.inf", "n" * 120]), "a.tar")]


@quick
@given(st.sampled_from(ARCHIVES), st.data())
def test_a_damaged_archive_is_unpacked_or_refused(archive: tuple[bytes, str], data: st.DataObject) -> None:
    whole = bytearray(archive[0])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        instead = data.draw(st.binary(min_size=1, max_size=12))
        whole[at : at + len(instead)] = instead
    cut = data.draw(st.integers(0, len(whole)) | st.just(len(whole)))
    assert len(unpacked(bytes(whole[:cut]), archive[1])) <= 2


@quick
@given(
    st.binary(max_size=600),
    st.sampled_from(["a.zip", "a.tar", "a.tar.gz", "a.tar.xz"]),
    st.sampled_from([b"", b"PK\3\4"]),
)
def test_any_bytes_are_no_archive(data: bytes, name: str, start: bytes) -> None:
    assert unpacked(start + data, name) == [] or data


# -- folders


@quick
@given(
    st.lists(
        st.sampled_from(["xenvif.inf", "XENBUS.INF", "x64", "x86", "free", "xenhid.inf", "a"]), max_size=6
    ),
    torn_text,
)
def test_any_layout_of_folders_has_places_or_findings(parts: list[str], odd: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for part in parts:
            if part.lower().endswith(".inf"):
                (here / part).write_bytes((INF + odd).encode("utf-8", "surrogatepass"))
            else:
                here = here / part
                here.mkdir(exist_ok=True)
        places, findings = find_places((Path(folder),))
        assert all(place.inf.exists() for place in places)
        assert places or findings
