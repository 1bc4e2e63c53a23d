"""The endpoint takes any bytes from a network: a request, or a refusal in HTTP's or WS-Management's words."""

from __future__ import annotations

import base64
import contextlib
import io
from xml.etree import ElementTree as ET

import pytest
from hostile_texts import any_text, one_line, torn_text
from hypothesis import given
from hypothesis import strategies as st
from test_winrmd_support import NS, PASSWORD, USER, Guest, envelope, say

from harness.winrmd.agent import AgentRunner
from harness.winrmd.commands import Chunk, CommandRequest, Output, OutputBuffer, Stream
from harness.winrmd.http import BadRequest, HttpRequest, HttpResponse, read_head, render
from harness.winrmd.login import Accepted, ConnectionLogin
from harness.winrmd.sealed import FrameError, SealedMessage, parse_sealed, protocol_of, render_sealed
from harness.winrmd.service import Caller, Service, _pieces, _render_output
from harness.winrmd.settings import Credentials, WinRmSettings
from harness.winrmd.soap import Action, WsFault, escape, parse_message

SETTINGS = WinRmSettings()
CALLER = Caller(USER, "127.0.0.1")


# -- HTTP


@given(
    st.lists(st.sampled_from(["content-length", "transfer-encoding", "connection", "x"]) | one_line), any_text
)
def test_any_head_is_a_request_or_a_bad_one(names: list[str], value: str) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name in names)
    data = f"POST /wsman HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogatepass")
    with contextlib.suppress(BadRequest):
        request = read_head(io.BytesIO(data))
        assert request is not None
        assert request.length >= 0
        assert request.keeps_alive in {True, False}


@pytest.mark.parametrize("length", ["9" * 5000, "+1", "1_0", "٣", "0x5", ""])
def test_a_length_that_is_none_is_a_bad_request(length: str) -> None:
    with pytest.raises(BadRequest, match="Content-Length"):
        _ = HttpRequest("POST", "/", "HTTP/1.1", {"content-length": length}).length


@given(
    st.sampled_from([200, 401, 500]),
    st.binary(max_size=60),
    st.dictionaries(
        st.from_regex(r"[A-Za-z-]{1,9}", fullmatch=True), st.from_regex(r"[!-~]{0,20}", fullmatch=True)
    ),
)
def test_an_answer_is_read_back_by_its_length(status: int, body: bytes, headers: dict[str, str]) -> None:
    head, _, rest = render(HttpResponse(status, body, "a/b", tuple(headers.items()))).partition(b"\r\n\r\n")
    assert rest == body
    assert head.count(b"\r\n") == 3 + len(headers)


# -- logins and sealed messages


@given(torn_text, torn_text)
def test_any_authorization_is_refused_or_the_right_one(scheme: str, rest: str) -> None:
    for header in (
        f"{scheme} {rest}",
        f"Basic {rest}",
        f"Negotiate {rest}",
        f"Basic {_basic(f'{scheme}:{rest}')}",
    ):
        found = ConnectionLogin(Credentials(USER, PASSWORD), SETTINGS).check(header)
        assert not isinstance(found, Accepted)


@given(one_line, one_line.filter(lambda text: ":" not in text))
def test_any_password_logs_in_and_only_with_its_user(password: str, user: str) -> None:
    login = ConnectionLogin(Credentials(user, password), WinRmSettings(basic=True))
    right = login.check(f"Basic {_basic(f'{user}:{password}')}")
    assert isinstance(right, Accepted) or "\\" in user
    assert not isinstance(login.check(f"Basic {_basic(f'{user}x:{password}')}"), Accepted)
    assert not isinstance(login.check(f"Basic {_basic(f'{user}:{password}x')}"), Accepted)


def _basic(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


FRAME = render_sealed(
    SealedMessage(5, b"s" * 16, b"data\r\n--Encrypted"), "application/HTTP-SPNEGO-session-encrypted"
)


@given(st.lists(st.tuples(st.integers(0, len(FRAME) - 1), st.binary(max_size=6)), max_size=3), any_text)
def test_a_changed_frame_is_a_message_or_none(changes: list[tuple[int, bytes]], header: str) -> None:
    frame = bytearray(FRAME)
    for at, instead in changes:
        frame[at : at + len(instead)] = instead
    with contextlib.suppress(FrameError):
        assert len(parse_sealed(bytes(frame)).data) <= len(FRAME)
    assert isinstance(protocol_of(header), str)


# -- messages


@given(torn_text)
def test_any_text_in_an_element_or_attribute_stays_xml(text: str) -> None:
    root = ET.fromstring(f'<a b="{escape(text)}">{escape(text)}</a>'.encode())
    assert (root.text or "").count("&lt;") == text.count("&lt;")


ACTIONS = st.sampled_from(list(Action)) | one_line.map(escape)


@given(
    ACTIONS, st.sampled_from(["Shell", "CommandLine", "Receive", "Send", "Signal", "x"]), any_text, st.data()
)
def test_any_message_is_answered_in_xml(action: str, element: str, text: str, data: st.DataObject) -> None:
    service = Service(say("x"), SETTINGS, "WIN1")
    inner = "".join(
        f'<rsp:{name} CommandId="{escape(text)}" Name="stdin" End="true">{escape(text)}</rsp:{name}>'
        for name in data.draw(
            st.lists(
                st.sampled_from(["IdleTimeOut", "Command", "Stream", "DesiredStream", "Code", "Arguments"])
            )
        )
    )
    whole = envelope(action, f"<rsp:{element}>{inner}</rsp:{element}>", shell=escape(text)).encode()
    at = data.draw(st.integers(0, len(whole)))
    cut = data.draw(st.sampled_from([b"", b"\0", b"<", b"&x;", b"\xff", b"<!DOCTYPE a>"]))
    for message in (whole, whole[:at] + cut + whole[at:], whole[:at]):
        status, answer = service.answer(message, CALLER)
        assert status in {200, 500}
        assert ET.fromstring(answer).tag == f"{{{NS['s']}}}Envelope"
    service.shells.drop_all()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_no_entity_comes_in_by_another_encoding(encoding: str) -> None:
    bomb = f'<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY b "c">]>{envelope("&b;")}'
    with pytest.raises(WsFault):
        parse_message(bomb.encode(encoding))


# -- output


@given(
    st.lists(st.tuples(st.sampled_from(list(Stream)), st.binary(min_size=1, max_size=40)), max_size=6),
    st.integers(1, 30),
    st.integers(1, 50),
)
def test_output_comes_out_whole_and_in_order_however_it_is_cut(
    written: list[tuple[Stream, bytes]], limit: int, piece: int
) -> None:
    buffer = OutputBuffer()
    for stream, data in written:
        buffer.write(stream, data)
    buffer.end(3)
    got: dict[str, bytes] = dict.fromkeys(Stream, b"")
    while True:
        output = buffer.read(0, limit)
        assert sum(len(chunk.data) for chunk in output.chunks) <= limit
        for name, data in shown(output, piece):
            got[name] += data
        if output.exit_code is not None:
            break
    assert got == {stream: b"".join(data for one, data in written if one is stream) for stream in Stream}


def shown(output: Output, piece: int) -> list[tuple[str, bytes]]:
    """The streams in a Receive's answer."""
    body = _render_output(output, "C", piece)
    root = ET.fromstring(f'<r xmlns:rsp="{NS["rsp"]}">{body}</r>')
    streams = root.iter(f"{{{NS['rsp']}}}Stream")
    found = [(one.get("Name", ""), base64.b64decode(one.text or "")) for one in streams]
    assert all(len(data) <= piece for _, data in found)
    return found


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=5), st.integers(1, 12))
def test_neighbours_are_joined_and_nothing_is_lost(parts: list[bytes], size: int) -> None:
    pieces = _pieces(tuple(Chunk(Stream.STDOUT, part) for part in parts), size)
    assert b"".join(one.data for one in pieces) == b"".join(parts)
    assert all(len(one.data) == size for one in pieces[:-1])


@given(
    st.lists(torn_text, min_size=1, max_size=4).filter(lambda lines: lines[0].partition("\n")[0].strip()),
    st.integers(1, 7),
)
def test_any_lines_on_stdin_end_in_an_answer_each_and_an_end(lines: list[str], step: int) -> None:
    process = AgentRunner(Guest(), shell_version="5.1").start(CommandRequest("powershell"))
    data = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")
    for at in range(0, len(data), step):
        process.write_stdin(data[at : at + step])
    process.close_stdin()
    out = b""
    while process.exit_code is None or (output := process.read_output(5, 1 << 16)).chunks:
        output = process.read_output(5, 1 << 16)
        out += b"".join(chunk.data for chunk in output.chunks)
        if output.exit_code is not None:
            break
    assert process.exit_code == 1, "the first line is no module"
