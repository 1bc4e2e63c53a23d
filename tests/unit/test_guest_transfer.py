"""Files offered and taken by HTTP, and put on CDs."""

from __future__ import annotations

import hashlib
import http.client
import io
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pycdlib
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.errors import ConfigurationError, HarnessError, InfrastructureError
from harness.guest.transfer import CD_LABEL, FileServer, from_guest, make_iso, sha256_of, to_guest
from harness.operations import FileFacts


@pytest.fixture
def server():
    with FileServer("127.0.0.1") as running:
        yield running


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def status(url: str, *, method: str = "GET", data: bytes | None = None) -> int:
    request = urllib.request.Request(url, data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "a file ä.bin"
    path.write_bytes(bytes(range(256)) * 5000)
    return path


def test_an_offered_file_is_served_whole_to_many_at_once(server, file):
    with server.offer(file) as url, ThreadPoolExecutor(5) as pool:
        assert set(pool.map(get, [url] * 5)) == {file.read_bytes()}


def test_an_offer_ends_with_its_context(server, file):
    with server.offer(file) as url:
        assert status(url) == 200
    assert status(url) == 404


def test_nothing_is_shown_without_the_token(server, file):
    with server.offer(file) as url:
        root = url.rsplit("/", 2)[0]
        for path in ("", "/", "/x", f"/{file.name}", "/../../etc/passwd", url.removeprefix(root)[:-30]):
            assert status(f"{root}{urllib.parse.quote(path)}") == 404


def test_two_offers_have_two_tokens(server, file):
    with server.offer(file) as first, server.offer(file) as second:
        assert first != second
        assert len(first.rsplit("/", 2)[1]) >= 32


def test_what_is_offered_cannot_be_written_and_what_is_accepted_cannot_be_read(server, file, tmp_path):
    before = file.read_bytes()
    with server.offer(file) as url, server.accept(tmp_path / "new") as put_url:
        assert status(url, method="PUT", data=b"x") == 404
        assert status(put_url) == 404
    assert file.read_bytes() == before


def test_an_accepted_file_arrives(server, tmp_path):
    data = bytes(range(256)) * 9000
    with server.accept(tmp_path / "new") as url:
        assert status(url, method="PUT", data=data) == 201
    assert (tmp_path / "new").read_bytes() == data


def test_a_put_without_a_length_is_refused(server, tmp_path):
    with server.accept(tmp_path / "new") as url:
        host, _, path = url.removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(host, timeout=10)
        connection.request("PUT", f"/{path}", io.BytesIO(b"x"), {"Transfer-Encoding": "chunked"})
        assert connection.getresponse().status == 411
        connection.close()


def test_an_address_that_is_not_ours_is_listened_for_where_its_host_is_reached(file):
    """A guest behind address translation sees us under an address this machine does not have."""
    with FileServer("192.0.2.77", towards="127.0.0.1") as server, server.offer(file) as url:
        assert url.startswith("http://192.0.2.77:")
        assert server.listens[0] == "127.0.0.1"
        assert get(url.replace("192.0.2.77", "127.0.0.1")) == file.read_bytes()


def test_an_address_that_is_none_is_a_mistake_in_hosts_ini():
    with pytest.raises(ConfigurationError, match="controller"):
        FileServer("no.such.name.invalid")


class Puller:
    """A guest that does as it is told, or changes a byte."""

    def __init__(self, *, spoils: bool = False) -> None:
        self.spoils = spoils
        self.files: dict[str, bytes] = {}

    def pull_file(self, *, url, path, sha256):
        self.files[path] = get(url) + (b"x" if self.spoils else b"")
        return self.file_facts(path)

    def push_file(self, *, path, url):
        facts = self.file_facts(path)
        assert status(url, method="PUT", data=self.files[path] + (b"x" if self.spoils else b"")) == 201
        return facts

    def file_facts(self, path):
        data = self.files[path]
        return FileFacts(path, len(data), hashlib.sha256(data).hexdigest())


def test_a_file_goes_to_a_guest_and_back_by_its_hash(server, file, tmp_path):
    guest = Puller()
    facts = to_guest(guest, server, file, "C:\\a")
    assert (facts.size, facts.sha256) == (file.stat().st_size, sha256_of(file))
    assert from_guest(guest, server, "C:\\a", tmp_path / "back") == facts
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


def test_a_file_that_arrives_changed_is_the_way_s_fault(server, file, tmp_path):
    with pytest.raises(InfrastructureError, match="arrived as C:"):
        to_guest(Puller(spoils=True), server, file, "C:\\a")
    guest = Puller(spoils=True)
    guest.files["C:\\a"] = b"a"
    with pytest.raises(InfrastructureError, match=r"C:\\a of the guest arrived"):
        from_guest(guest, server, "C:\\a", tmp_path / "back")


def test_a_file_that_never_arrives_is_the_way_s_fault(server, tmp_path):
    class Mute(Puller):
        def push_file(self, *, path, url):
            return FileFacts(path, 1, "0" * 64)

    with pytest.raises(InfrastructureError, match="of nothing"):
        from_guest(Mute(), server, "C:\\a", tmp_path / "back")


# -- CDs


def read_iso(path: Path) -> dict[str, bytes]:
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    try:
        assert iso.pvd.volume_identifier.decode().strip() == CD_LABEL
        found = {}
        for record in iso.list_children(joliet_path="/"):
            name = record.file_identifier().decode("utf-16_be")
            if record.is_file():
                data = io.BytesIO()
                iso.get_file_from_iso_fp(data, joliet_path=f"/{name}")
                found[name] = data.getvalue()
        return found
    finally:
        iso.close()


def test_files_are_on_the_cd_by_their_names(tmp_path):
    (tmp_path / "one").write_bytes(b"1" * 5000)
    (tmp_path / "two").write_bytes(b"")
    make_iso({"größe 日本.bin": tmp_path / "one", "b.inf": tmp_path / "two"}, tmp_path / "cd.iso")
    assert read_iso(tmp_path / "cd.iso") == {"größe 日本.bin": b"1" * 5000, "b.inf": b""}


@example(name=".")
@example(name="..")
@example(name="\u0800" * 22)  # 66 bytes: 22 characters
@given(name=st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co")), min_size=1, max_size=70))
def test_every_name_is_on_the_cd_or_refused(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("iso")
    (folder / "data").write_bytes(b"data")
    try:
        make_iso({name: folder / "data"}, folder / "cd.iso")
    except HarnessError:
        assert (
            len(name.encode()) > 60
            or any(c in "*/:;?\\" or ord(c) > 0xFFFF for c in name)
            or name in {".", ".."}
        )
        return
    assert read_iso(folder / "cd.iso") == {name: b"data"}
