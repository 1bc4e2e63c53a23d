"""Archives of builds: what may come out of them."""

import contextlib
import gzip
import io
import random
import stat
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigurationError
from harness.package.unpack import Budget, unpack


def tar_with(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def zip_with(path: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in members:
            zipped.writestr(name, data)
    return path


@pytest.mark.parametrize(("suffix", "mode"), [("tar", "w"), ("tar.gz", "w:gz"), ("tar.xz", "w:xz")])
def test_tars_of_all_three_kinds_are_unpacked(tmp_path: Path, suffix: str, mode: str) -> None:
    folder = tarfile.TarInfo("./xenbus/x64")
    folder.type = tarfile.DIRTYPE
    archive = tar_with(
        tmp_path / f"b.{suffix}", (folder, b""), (tarfile.TarInfo("./xenbus/x64/a.inf"), b"text"), mode=mode
    )

    unpack(archive, tmp_path / "out", Budget())

    assert (tmp_path / "out/xenbus/x64/a.inf").read_bytes() == b"text"


def test_zips_with_windows_separators_are_unpacked(tmp_path: Path) -> None:
    archive = zip_with(tmp_path / "b.zip", ("xenbus\\x64\\a.inf", b"text"))

    unpack(archive, tmp_path / "out", Budget())

    assert (tmp_path / "out/xenbus/x64/a.inf").read_bytes() == b"text"


@pytest.mark.parametrize(
    "name", ["../up", "a/../../up", "/etc/absolute", "C:\\Windows\\x", "\\\\server\\share", "..\\up", "a:b"]
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_names_that_lead_out_are_refused(tmp_path: Path, kind: str, name: str) -> None:
    if kind == "tar":
        archive = tar_with(tmp_path / "b.tar", (tarfile.TarInfo(name), b"x"))
    else:
        archive = zip_with(tmp_path / "b.zip", (name, b"x"))

    with pytest.raises(ConfigurationError, match="would leave its folder"):
        unpack(archive, tmp_path / "out", Budget())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [archive]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("xenbus/link")
    member.type, member.linkname = kind, "/etc/passwd"

    with pytest.raises(ConfigurationError, match="link or a device"):
        unpack(tar_with(tmp_path / "b.tar", (member, b"")), tmp_path / "out", Budget())


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16

    with pytest.raises(ConfigurationError, match="is a link"):
        unpack(zip_with(tmp_path / "b.zip", (link, b"/etc/passwd")), tmp_path / "out", Budget())


def test_a_bomb_is_refused_while_it_unfolds(tmp_path: Path) -> None:
    archive = zip_with(tmp_path / "b.zip", ("zeros", bytes(20 << 20)))
    assert archive.stat().st_size < 1 << 16

    with pytest.raises(ConfigurationError, match="unpacks to more than 8 MiB"):
        unpack(archive, tmp_path / "out", Budget(max_bytes=8 << 20))
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) <= 8 << 20


def test_endless_small_files_are_refused(tmp_path: Path) -> None:
    archive = zip_with(tmp_path / "b.zip", *((f"{number}", b"") for number in range(11)))

    with pytest.raises(ConfigurationError, match="more than 10 files"):
        unpack(archive, tmp_path / "out", Budget(max_files=10))


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    archive = tar_with(tmp_path / "b.tar", (tarfile.TarInfo("a"), b"1"), (tarfile.TarInfo("./a"), b"2"))

    with pytest.raises(ConfigurationError, match="is there twice"):
        unpack(archive, tmp_path / "out", Budget())


def test_a_file_below_a_file_is_refused(tmp_path: Path) -> None:
    archive = tar_with(tmp_path / "b.tar", (tarfile.TarInfo("a"), b"1"), (tarfile.TarInfo("a/b"), b"2"))

    with pytest.raises(ConfigurationError, match="both a file and a folder"):
        unpack(archive, tmp_path / "out", Budget())


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.xz", "zip"])
def test_an_archive_cut_in_the_middle_is_named(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole.{suffix}"
    data = random.Random(1).randbytes(100_000)
    if suffix == "zip":
        zip_with(whole, ("a", data))
    else:
        tar_with(whole, (tarfile.TarInfo("a"), data), mode="w" + suffix.removeprefix("tar").replace(".", ":"))
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[:50_000])

    with pytest.raises(ConfigurationError, match=f"cut.{suffix} cannot be unpacked"):
        unpack(cut, tmp_path / "out", Budget())


def test_a_name_too_long_for_any_disk_is_the_archive_s_fault(tmp_path: Path) -> None:
    archive = tmp_path / "long.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("n" * 300))
    with pytest.raises(ConfigurationError, match=r"long\.tar cannot be unpacked"):
        unpack(archive, tmp_path / "out", Budget())


def test_a_zip_whose_names_are_no_text_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "odd.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("ä.inf", b"x")
    archive.write_bytes(archive.read_bytes().replace("ä".encode(), b"\xc3("))
    with pytest.raises(ConfigurationError, match=r"odd\.zip cannot be unpacked"):
        unpack(archive, tmp_path / "out", Budget())


def one_of(tmp_path: Path, kind: str, *names: str) -> Path:
    if kind == "tar":
        return tar_with(tmp_path / "b.tar", *((tarfile.TarInfo(name), b"x") for name in names))
    return zip_with(tmp_path / "b.zip", *((name, b"x") for name in names))


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize(
    "names", [("a.inf", "A.INF"), ("x/a.inf", "X/a.inf"), ("stra\u00dfe", "STRASSE"), ("a.inf", "./a.inf")]
)
def test_names_that_windows_takes_for_one_are_refused(
    tmp_path: Path, kind: str, names: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigurationError, match="is there twice"):
        unpack(one_of(tmp_path, kind, *names), tmp_path / "out", Budget())


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize(
    "names", [("a", "a/b"), ("a/b", "a"), ("A/b", "a"), ("a", "A/b/c"), ("x/a/b", "x/A")]
)
def test_a_name_that_is_a_file_and_a_folder_is_refused(
    tmp_path: Path, kind: str, names: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigurationError, match="is both a file and a folder"):
        unpack(one_of(tmp_path, kind, *names), tmp_path / "out", Budget())


def test_the_same_name_in_two_archives_is_no_collision(tmp_path: Path) -> None:
    budget = Budget()
    for folder in ("one", "two"):
        unpack(one_of(tmp_path, "tar", "a.inf"), tmp_path / folder, budget)
    assert (tmp_path / "two" / "a.inf").read_bytes() == b"x"


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize(
    "name",
    [
        "nul",
        "x/CON",
        "aux.inf",
        "Com1.txt",
        "lpt9",
        "a.inf.",
        "a.inf ",
        "x /a.inf",
        "a?.inf",
        "a|b",
        'a"b',
        "a\tb",
    ],
)
def test_names_that_mean_something_else_on_windows_are_refused(tmp_path: Path, kind: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no name on Windows"):
        unpack(one_of(tmp_path, kind, name), tmp_path / "out", Budget())


@pytest.mark.parametrize(
    "name", ["console.inf", "common.txt", "nulls", "auxiliary.inf", ".hidden", "a.b.c", "x y.inf"]
)
def test_names_that_only_look_like_it_are_unpacked(tmp_path: Path, name: str) -> None:
    unpack(one_of(tmp_path, "tar", name), tmp_path / "out", Budget())
    assert (tmp_path / "out" / name).read_bytes() == b"x"


@pytest.mark.parametrize(
    "kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK]
)
def test_a_header_that_would_fill_the_memory_is_refused_before_it_is_read(
    tmp_path: Path, kind: bytes
) -> None:
    header = tarfile.TarInfo("x")
    header.type = kind
    header.size = 1 << 33
    archive = tmp_path / "b.tar.gz"
    with gzip.open(archive, "wb") as out:
        out.write(header.tobuf(tarfile.GNU_FORMAT))
        for _ in range(64):
            out.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(ConfigurationError, match="cannot be unpacked: a header of"):
        unpack(archive, tmp_path / "out", Budget())
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()


def test_a_member_to_be_skipped_without_end_is_refused(tmp_path: Path) -> None:
    folder = tarfile.TarInfo("folder")
    folder.type = tarfile.DIRTYPE
    folder.size = 1 << 40  # tarfile goes over it, whatever a folder's size may mean
    archive = tmp_path / "b.tar"
    archive.write_bytes(folder.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    unpack(archive, tmp_path / "out", Budget())
    odd = tarfile.TarInfo("odd")
    odd.size = 1 << 40
    archive.write_bytes(odd.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    with pytest.raises(ConfigurationError, match="cannot be unpacked"):
        unpack(archive, tmp_path / "out", Budget())


@pytest.mark.parametrize("packed", [b"\x1f\x8b\x08\x00", b"\xfd7zXZ\x00", b"\x1f\x8bnonsense", b"", b"P"])
def test_what_only_begins_like_an_archive_is_named(tmp_path: Path, packed: bytes) -> None:
    archive = tmp_path / "b.tar.gz"
    archive.write_bytes(packed)
    with pytest.raises(ConfigurationError, match="cannot be unpacked"):
        unpack(archive, tmp_path / "out", Budget())


@pytest.mark.filterwarnings("ignore:Duplicate name")
# zipfile cuts a name at a zero, and cannot write what is left of one that begins so
@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=12), max_size=4))
def test_whatever_names_it_has_nothing_is_outside_of_the_folder(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    home = tmp_path_factory.mktemp("any")
    for kind in ("tar", "zip"):
        with contextlib.suppress(ConfigurationError, UnicodeEncodeError, ValueError):
            unpack(one_of(home, kind, *names), home / "out" / kind, Budget())
    assert {path.name for path in home.iterdir()} <= {"out", "b.tar", "b.zip"}
