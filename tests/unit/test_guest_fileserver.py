"""The file server against clients that mean no good: raw sockets, no client library in between."""

from __future__ import annotations

import contextlib
import hmac
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import ConfigurationError, OperationFailed
from harness.guest import fileserver
from harness.guest.fileserver import TOKEN, FileServer
from harness.guest.transfer import to_guest
from harness.lab import Redactor

CONTENT = bytes(range(256)) * 400


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer("127.0.0.1") as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "build.zip"
    path.write_bytes(CONTENT)
    return path


def place_of(url: str) -> str:
    return "/" + url.split("/", 3)[3]


def said(server: FileServer, request: bytes, *, from_address: str = "127.0.0.1") -> bytes:
    """All that comes back for some bytes."""
    with connected(server, from_address) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
        return all_of(sock)


@contextlib.contextmanager
def connected(server: FileServer, from_address: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.create_connection(server.listens, timeout=10, source_address=(from_address, 0)) as sock:
        yield sock


def all_of(sock: socket.socket) -> bytes:
    answer = bytearray()
    with contextlib.suppress(ConnectionError):
        while chunk := sock.recv(1 << 16):
            answer += chunk
    return bytes(answer)


def request(method: str, place: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{method} {place} HTTP/1.1", "Host: x", *headers, "", ""]).encode() + body


def code(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


# -- only its tokens


def test_a_file_is_served_at_its_place_and_nowhere_else(server: FileServer, file: Path) -> None:
    with server.offer(file) as url:
        place = place_of(url)
        token = place.split("/")[1]
        assert said(server, request("GET", place)).endswith(b"\r\n\r\n" + CONTENT)
        for other in (
            "/",
            "*",
            f"/{token}",
            f"/{token}/",
            f"/{token}/other.zip",
            f"{place}/",
            f"{place}?x",
            f"{place}/../build.zip",
            f"/x/..{place}",
            f"/{token[:-1]}/build.zip",
            f"/{token}x/build.zip",
            f"/{token.upper()}/build.zip",
            f"/{TOKEN}/build.zip",
            "/../../../../etc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            f"/{file}",
            "http://other.example/",
            "/\u00e4\u20ac",
        ):
            answer = said(server, request("GET", other))
            assert code(answer) == 404, other
            assert CONTENT[:64] not in answer
    assert code(said(server, request("GET", place))) == 404, "the offer has ended"


def test_tokens_are_long_differ_and_are_known_as_such(server: FileServer, file: Path) -> None:
    with server.offer(file) as first, server.offer(file) as second:
        tokens = {place_of(url).split("/")[1] for url in (first, second)}
        assert len(tokens) == 2
        assert all(token.startswith(TOKEN) and len(token) >= len(TOKEN) + 32 for token in tokens)


def test_a_guess_is_compared_in_the_same_time_however_near_it_is(
    server: FileServer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []
    really = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return really(one, other)

    monkeypatch.setattr(fileserver.hmac, "compare_digest", compare)
    with server.offer(file) as first, server.offer(file) as second:
        said(server, request("GET", place_of(first)))
        assert compared == [place_of(url).encode() for url in (first, second)], "none is left out"


@pytest.mark.parametrize(
    "method", ["HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND", "TRACE", "CONNECT", "get", "<script>"]
)
def test_there_are_no_other_methods_and_nothing_of_the_request_comes_back(
    server: FileServer, file: Path, method: str
) -> None:
    with server.offer(file) as url:
        answer = said(server, request(method, place_of(url), "X-Odd: <script>alert(1)</script>"))
    assert code(answer) == 501
    assert b"script" not in answer
    assert TOKEN.encode() not in answer
    assert CONTENT[:64] not in answer


def test_the_answer_tells_nothing_of_us(server: FileServer, file: Path) -> None:
    with server.offer(file) as url:
        for asked in (place_of(url), "/none"):
            head = said(server, request("GET", asked)).partition(b"\r\n\r\n")[0]
            assert b"Python" not in head
            assert str(file.parent).encode() not in head


# -- only on its address


def test_it_listens_on_the_address_it_was_given_and_on_no_other(file: Path) -> None:
    with FileServer("127.0.0.7") as server, server.offer(file) as url:
        assert server.listens[0] == "127.0.0.7"
        assert url.startswith("http://127.0.0.7:")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.listens[1]), timeout=5)


def test_behind_address_translation_it_listens_where_the_host_is_reached(file: Path) -> None:
    with FileServer("192.0.2.77", towards="127.0.0.1") as server:
        assert server.listens[0] == "127.0.0.1"


def test_with_no_way_to_the_host_it_listens_nowhere() -> None:
    with pytest.raises(ConfigurationError, match="no way to"):
        FileServer("192.0.2.77", towards="no.such.name.invalid")


def test_when_it_is_closed_nobody_is_let_in(server: FileServer, file: Path) -> None:
    with FileServer("127.0.0.1") as closed:
        place = closed.listens
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(place, timeout=5)


# -- what is put


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), 411),
        (("Content-Length: -1",), 411),
        (("Content-Length: 0x10",), 411),
        (("Content-Length: 1e3",), 411),
        (("Content-Length: \u0661",), 411),
        (("Content-Length: 5, 5",), 411),
        (("Transfer-Encoding: chunked",), 411),
        (("Content-Length: 4", "Transfer-Encoding: chunked"), 411),
        (("Content-Length: 1001",), 413),
        ((f"Content-Length: {10**30}",), 413),
    ],
)
def test_a_body_without_an_honest_length_or_with_too_great_a_one_is_refused(
    server: FileServer, tmp_path: Path, headers: tuple[str, ...], expected: int
) -> None:
    target = tmp_path / "new"
    with server.accept(target, most=1000) as url:
        answer = said(server, request("PUT", place_of(url), *headers, body=b"x" * 2000))
    assert code(answer) == expected
    assert list(tmp_path.iterdir()) == []


def test_a_body_that_ends_early_leaves_nothing_and_takes_nothing_away(
    server: FileServer, tmp_path: Path
) -> None:
    target = tmp_path / "new"
    with server.accept(target, most=1000) as url:
        place = place_of(url)
        assert said(server, request("PUT", place, "Content-Length: 10", body=b"half")) == b""
        assert not target.exists()
        assert code(said(server, request("PUT", place, "Content-Length: 5", body=b"whole and more"))) == 201
        assert target.read_bytes() == b"whole"
        assert said(server, request("PUT", place, "Content-Length: 10", body=b"half")) == b""
        assert target.read_bytes() == b"whole"
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert code(said(server, request("PUT", place, "Content-Length: 1", body=b"x"))) == 404


def test_a_put_is_to_what_was_asked_for_and_a_get_of_what_was_offered(
    server: FileServer, file: Path, tmp_path: Path
) -> None:
    with server.offer(file) as get_url, server.accept(tmp_path / "new") as put_url:
        assert code(said(server, request("GET", place_of(put_url)))) == 404
        assert code(said(server, request("PUT", place_of(get_url), "Content-Length: 1", body=b"x"))) == 404
    assert file.read_bytes() == CONTENT


# -- those who dawdle


def test_one_who_says_half_a_request_does_not_keep_others_waiting_and_is_hung_up_on(
    server: FileServer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fileserver, "_REQUEST_S", 0.2)
    with server.offer(file) as url, connected(server) as slow, connected(server) as mute:
        slow.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        assert said(server, request("GET", place_of(url))).endswith(CONTENT)
        assert all_of(slow) == b"", "it was hung up on"
        assert all_of(mute) == b""


def test_a_request_that_trickles_in_ends_at_the_same_time(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # each byte comes in time: it is the whole that has to
    monkeypatch.setattr(fileserver, "_REQUEST_S", 0.2)
    with connected(server) as slow, contextlib.suppress(ConnectionError):
        slow.sendall(b"GET / HTTP/1.1\r\n")
        for _ in range(1_000_000):
            slow.sendall(b"X: y\r\n" if _ < 50 else b"x")
            slow.settimeout(0.01)
            try:
                answer = slow.recv(1 << 16)
            except TimeoutError:
                continue
            break
        else:
            pytest.fail("nobody hangs up")
        assert answer == b"" or code(answer) in {400, 431}


def test_one_peer_s_many_connections_leave_room_for_another(server: FileServer, file: Path) -> None:
    with contextlib.ExitStack() as stack, server.offer(file) as url:
        greedy = [stack.enter_context(connected(server, "127.0.0.2")) for _ in range(40)]
        refused = [sock for sock in greedy[8:] if all_of(sock) == b""]
        assert len(refused) == 32, "one peer has at most eight"
        assert said(server, request("GET", place_of(url))).endswith(CONTENT)
    # and when it has gone it may come again
    with server.offer(file) as url:
        for _ in range(20):
            answer = said(server, request("GET", place_of(url)), from_address="127.0.0.2")
            if answer:
                break
        assert answer.endswith(CONTENT)


def test_a_reader_that_reads_nothing_does_not_keep_others_waiting(server: FileServer, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as data:
        data.truncate(16 << 20)
    with server.offer(large) as url, connected(server) as stuck:
        stuck.sendall(request("GET", place_of(url)))
        assert len(said(server, request("GET", place_of(url)))) > 16 << 20


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_no_bytes_whatever_break_it(server: FileServer, file: Path, sent: bytes) -> None:
    with server.offer(file) as url:
        assert CONTENT[:64] not in said(server, sent)
        assert said(server, request("GET", place_of(url))).endswith(CONTENT)


# -- tokens stay out of what is written down


def test_no_token_is_logged_or_said(
    server: FileServer,
    file: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    with server.offer(file) as url:
        said(server, request("GET", place_of(url)))
        said(server, request("PUT", place_of(url)))
        said(server, b"nonsense " + place_of(url).encode() + b"\r\n\r\n")
    assert TOKEN not in caplog.text
    assert TOKEN not in "".join(capfd.readouterr())


def test_what_a_guest_says_of_a_url_is_written_without_its_token(server: FileServer, file: Path) -> None:
    class Complaining:
        def pull_file(self, *, url: str, path: str, sha256: str) -> None:
            raise OperationFailed("pull_file", "command-failed", f"curl -o {path} '{url}': refused")

    with pytest.raises(OperationFailed) as caught:
        to_guest(Complaining(), server, file, "C:\\a")  # type: ignore[arg-type]
    written = Redactor().clean(str(caught.value))
    assert f"{TOKEN}***/build.zip" in written
    assert len(written) < len(str(caught.value))


def test_its_threads_end_with_their_connections(server: FileServer, file: Path) -> None:
    before = threading.active_count()
    with server.offer(file) as url:
        for _ in range(30):
            said(server, request("GET", place_of(url)))
    assert threading.active_count() <= before + 2
