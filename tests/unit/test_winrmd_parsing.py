"""HTTP, sealed frames, envelopes, durations: whatever comes off the wire, it ends in our errors."""

from __future__ import annotations

import contextlib
import io
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_winrmd_support import NS, envelope

from harness.winrmd.http import BadRequest, HttpResponse, read_body, read_head, render
from harness.winrmd.sealed import (
    FrameError,
    SealedMessage,
    content_type,
    parse_sealed,
    protocol_of,
    render_sealed,
)
from harness.winrmd.soap import Action, WsFault, parse_duration, parse_message, render_answer, render_fault
from harness.winrmd.wsfaults import bad_parameter

SPNEGO = "application/HTTP-SPNEGO-session-encrypted"
# as pywinrm 0.5 writes it, and pypsrp 0.9: with and without a line end before the second boundary
PYWINRM = (
    b"--Encrypted Boundary\r\n"
    b"\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n"
    b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=1747\r\n"
    b"--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n"
    b"\x10\0\0\0" + bytes(range(16)) + b"sealed" + b"--Encrypted Boundary--\r\n"
)


def head(text: bytes):
    return read_head(io.BytesIO(text))


def test_a_request_is_read_to_its_last_byte_and_no_further():
    reader = io.BytesIO(
        b"POST /wsman HTTP/1.1\r\nContent-LENGTH: 3\r\nX:  a:b \r\n\r\nabcPOST / HTTP/1.1\r\n\r\n"
    )
    first = read_head(reader)
    assert (first.method, first.path, first.headers["x"], first.keeps_alive) == (
        "POST",
        "/wsman",
        "a:b",
        True,
    )
    assert read_body(reader, first.length) == b"abc"
    second = read_head(reader)
    assert (second.path, second.length) == ("/", 0)
    assert read_head(reader) is None


@pytest.mark.parametrize(
    ("text", "keeps"),
    [
        (b"POST / HTTP/1.1\r\nConnection: close\r\n\r\n", False),
        (b"POST / HTTP/1.0\r\n\r\n", False),
        (b"POST / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", True),
    ],
)
def test_the_client_says_whether_the_connection_goes_on(text, keeps):
    assert head(text).keeps_alive == keeps


@pytest.mark.parametrize("length", ["-1", "+3", "3 3", "٣", "0x3"])
def test_a_length_that_is_no_number_is_refused(length):
    with pytest.raises(BadRequest):
        _ = head(f"POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode()).length


@pytest.mark.parametrize(
    "text",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\n",  # TLS spoken to a plain port
        b"POST / SMTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\n",
        b"POST / HTTP/1.1",
        b"POST / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"POST /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(text):
    with pytest.raises(BadRequest):
        head(text)


def test_a_body_in_chunks_is_refused():
    with pytest.raises(BadRequest, match="chunks"):
        _ = head(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").length


def test_a_body_that_ends_early_is_refused():
    with pytest.raises(BadRequest, match="2 of 3"):
        read_body(io.BytesIO(b"ab"), 3)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_refused(text):
    with contextlib.suppress(BadRequest):
        request = head(text)
        assert request is None or (request.method and request.length >= 0)


def test_an_answer_names_its_length_and_the_server():
    text = render(HttpResponse(401, b"", headers=(("A", "1"), ("A", "2"))), keep_alive=False)
    assert text == (
        b"HTTP/1.1 401 Unauthorized\r\nServer: Microsoft-HTTPAPI/2.0\r\nA: 1\r\nA: 2\r\n"
        b"Connection: close\r\nContent-Length: 0\r\n\r\n"
    )


def test_a_frame_as_pywinrm_writes_it_is_read():
    assert parse_sealed(PYWINRM) == SealedMessage(1747, bytes(range(16)), b"sealed")


@given(st.integers(0, 10**9), st.binary(max_size=32), st.binary(max_size=200))
@example(5, b"", b"--Encrypted Boundary--\r\n")
@example(5, b"x", b"\r\n--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n")
def test_a_frame_is_read_as_it_was_written_whatever_the_sealed_bytes_are(length, signature, data):
    message = SealedMessage(length, signature, data)
    assert parse_sealed(render_sealed(message, SPNEGO)) == message


@given(st.binary(max_size=100) | st.integers(0, len(PYWINRM) - 1).map(lambda end: PYWINRM[:end]))
def test_what_is_no_frame_is_refused(body):
    with pytest.raises(FrameError):
        parse_sealed(body)


@pytest.mark.parametrize(
    "body",
    [
        PYWINRM.replace(b"Length=1747", b"Length=x"),
        PYWINRM.replace(b"\x10\0\0\0", b"\xff\xff\xff\xff"),
        PYWINRM.replace(b"\x10\0\0\0" + bytes(range(16)) + b"sealed", b"\x10\0"),
    ],
)
def test_a_frame_whose_numbers_lie_is_refused(body):
    with pytest.raises(FrameError):
        parse_sealed(body)


def test_the_content_type_tells_sealed_from_plain():
    assert protocol_of(content_type(SPNEGO)) == SPNEGO
    assert protocol_of("application/soap+xml;charset=UTF-8") == ""
    assert protocol_of('text/plain;protocol="application/HTTP-SPNEGO-session-encrypted"') == ""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT20S", 20),
        ("PT60.000S", 60),
        ("PT0.5S", 0.5),
        ("P0DT0H1M2S", 62),
        ("P1D", 86400),
        ("PT1H", 3600),
    ],
)
def test_durations_are_seconds(text, seconds):
    assert parse_duration(text) == seconds


@given(st.text(alphabet="PTDHMS0123456789.- \n", max_size=12))
def test_any_text_is_a_duration_or_refused(text):
    with contextlib.suppress(ValueError):
        assert parse_duration(text) >= 0


@pytest.mark.parametrize("text", ["", "P", "PT", "P1DT", "20", "-PT1S", "PT1S\n", "PT٣S"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


def test_a_header_is_read_whole():
    options = (
        '<w:OptionSet><w:Option Name="WINRS_CODEPAGE">65001</w:Option>'
        '<w:Option Name="WINRS_NOPROFILE">TRUE</w:Option></w:OptionSet>'
    )
    text = envelope(Action.DELETE, message_id="uuid:1", shell="S", timeout="PT3S", size=9, options=options)
    message = parse_message(text.encode())
    assert (message.action, message.message_id, message.shell_id) == (Action.DELETE, "uuid:1", "S")
    assert (message.timeout_s, message.max_envelope, message.body) == (3, 9, None)
    assert dict(message.options) == {"WINRS_CODEPAGE": "65001", "WINRS_NOPROFILE": "TRUE"}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_the_fault_of_a_bad_header(text):
    with pytest.raises(WsFault) as fault:
        parse_message(text)
    assert fault.value.code == 2150858767


@given(st.text(), st.text(min_size=1, alphabet=st.characters(codec="ascii", min_codepoint=33)))
def test_a_fault_can_say_anything_and_stays_xml(reason, message_id):
    root = ET.fromstring(render_fault(message_id, bad_parameter(reason), "WIN1"))
    said = root.findtext("s:Body/s:Fault/s:Reason/s:Text", namespaces=NS)
    assert said.startswith("The parameter is incorrect")
    assert root.findtext("s:Header/a:RelatesTo", namespaces=NS) == message_id


def test_an_answer_carries_the_action_of_its_request():
    request = parse_message(envelope(Action.SEND, message_id="uuid:1").encode())
    root = ET.fromstring(render_answer(request, "<rsp:SendResponse/>"))
    assert root.findtext("s:Header/a:Action", namespaces=NS) == f"{Action.SEND}Response"
