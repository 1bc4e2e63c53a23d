"""Lines between controller and guest: what is said is read the same, what comes is read or refused."""

from __future__ import annotations

import base64
import contextlib
import json
import zlib
from typing import Any

import pytest
from hostile_texts import any_text, json_values, torn_text
from hypothesis import example, given
from hypothesis import strategies as st

from harness import wire
from harness.errors import ChannelBroken
from harness.guest.agent import bootstrap, command_line, module_text
from harness.guest.calls import decode_result
from harness.guest.exchanges import Exchange, ExchangeLog
from harness.guest.probe import Question, _ask
from harness.operations import OPERATIONS, Operation
from harness.winrmd.agent import encoded_script
from harness.winrmd.commands import CommandRequest

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)
NUMBERS = st.integers(0, 2**31)


@given(NUMBERS, any_text, st.dictionaries(any_text, PLAIN, max_size=3))
def test_a_request_of_any_texts_is_one_line_of_ascii_and_read_the_same(
    number: int, name: str, params: dict[str, Any]
) -> None:
    line = wire.encode_request(wire.Request(number, name, params))
    assert line.isascii()
    assert line.isprintable()
    assert wire.decode_request(line) == wire.Request(number, name, params)


@given(NUMBERS, PLAIN, any_text)
def test_an_answer_of_any_value_is_one_line_of_ascii_and_read_the_same(
    number: int, result: Any, text: str
) -> None:
    lines = {
        wire.encode_answer(wire.Answer(number, result)): wire.Answer(number, result),
        wire.encode_refusal(number, "not-found", text): wire.Refusal(number, "not-found", text),
        wire.encode_refusal(None, "bad-request", text): wire.Refusal(None, "bad-request", text),
        wire.encode_ready(wire.Ready(text, "0" * 64)): wire.Ready(text, "0" * 64),
    }
    for line, message in lines.items():
        assert line.isascii()
        assert line.isprintable()
        assert wire.decode_message(line) == message


LINES = json_values | st.dictionaries(st.sampled_from(["id", "ok", "result", "op", "params"]), json_values)


@given(torn_text | LINES.map(json.dumps))
def test_any_line_is_a_message_or_none_of_ours_or_refused(text: str) -> None:
    assert text.startswith(wire.MARK) or wire.decode_message(text) is None
    for decode in (wire.decode_message, wire.decode_request):
        with contextlib.suppress(ValueError):
            decode(wire.MARK + text)
        with contextlib.suppress(ValueError):
            decode(text)


@pytest.mark.parametrize("piece", ["[", '{"id":'])
def test_endless_brackets_are_refused(piece: str) -> None:
    with pytest.raises(ValueError, match="endless"):
        wire.decode_message(wire.MARK + piece * 100_000)
    with pytest.raises(ValueError, match="endless"):
        wire.decode_request(piece * 100_000)


@given(torn_text)
def test_half_a_character_of_a_guest_can_be_written_down(text: str) -> None:
    """PowerShell's strings are UTF-16 and may be torn; what has gone through here is text for every file."""
    line = wire.MARK + json.dumps({"id": 1, "ok": True, "result": {"path": [text]}})
    message = wire.decode_message(line)
    assert isinstance(message, wire.Answer)
    (read,) = message.result["path"]
    assert read.encode().decode() == read
    assert "\ufffd" in read or read == text


@given(any_text)
def test_a_module_of_any_text_is_read_the_same(text: str) -> None:
    assert wire.decode_module(wire.encode_module(text)) == text
    assert len(wire.module_digest(text)) == 64


@given(st.binary(max_size=60), torn_text, st.integers(0, 400))
@example(base64.b64decode(wire.encode_module("x"))[:12], "", 0)
def test_what_is_no_module_is_refused(data: bytes, text: str, cut: int) -> None:
    whole = wire.encode_module(module_text()[:500])
    packed = base64.b64encode(b"\x1f\x8b\x08\0" + data).decode()
    spoilt = base64.b64decode(whole)[: cut + 20] + data
    for line in (text, packed, whole[:cut], base64.b64encode(spoilt).decode()):
        with contextlib.suppress(ValueError):
            assert isinstance(wire.decode_module(line), str)


def test_a_spoilt_module_is_a_value_error() -> None:
    packed = bytearray(base64.b64decode(wire.encode_module("some text " * 20)))
    packed[15] ^= 0xFF
    with pytest.raises(ValueError, match="not a gzipped module"):
        wire.decode_module(base64.b64encode(packed).decode())


# -- typed results


@given(st.sampled_from(sorted(OPERATIONS)), json_values)
def test_any_result_is_what_the_list_of_operations_says_or_refused(name: str, value: Any) -> None:
    with contextlib.suppress(ChannelBroken):
        decode_result(OPERATIONS[name], value)


# -- the probe's answers


class Recording:
    """A channel that gives one answer."""

    def __init__(self, answer: Any) -> None:
        self.log = ExchangeLog()
        self.answer = answer

    def call(self, operation: Operation, params: dict[str, Any], deadline: Any) -> Any:
        return self.answer

    def close(self) -> None:
        """Nothing is open."""


GZIP = b"\x1f\x8b\x08\0\0\0\0\0\0\3"
RAW = {"command": "Get-Disk", "parameters": {}, "objects": "", "packed": "", "error": None}


@given(
    json_values,
    st.sampled_from(["ok", "result", "error", "raw", "command", "packed"]),
    json_values | st.binary(max_size=30).map(lambda data: base64.b64encode(GZIP + data).decode()),
)
def test_any_answer_of_the_probe_is_recorded_or_refused(whole: Any, key: str, odd: Any) -> None:
    packed = base64.b64encode(zlib.compress(b"x", wbits=31)).decode()
    raw = RAW | {"packed": packed} | ({key: odd} if key in RAW else {})
    answer = {"ok": True, "result": 1, "error": None, "raw": [raw]} | ({key: odd} if key not in RAW else {})
    for one in (whole, answer):
        with contextlib.suppress(ChannelBroken):
            _ask(Recording(one), Question("boot_id"), None, 0.0)  # type: ignore[arg-type]


# -- command lines and the log of what was asked


@given(torn_text, st.lists(any_text, max_size=4))
def test_any_command_line_is_our_process_or_not(command: str, arguments: list[str]) -> None:
    script = encoded_script(CommandRequest(command, tuple(arguments)))
    assert script is None or isinstance(script, str)
    assert encoded_script(CommandRequest(f"powershell -enc {command or 'x'}ä")) is None
    assert encoded_script(CommandRequest(command_line())) == bootstrap()


@given(st.lists(torn_text, max_size=4))
def test_each_exchange_is_one_line_of_json(endings: list[str]) -> None:
    log = ExchangeLog()
    for ended in endings:
        log.add(Exchange(1.0, "boot_id", 1, 2, 0.5, ended))
    assert [json.loads(line)["ended"] for line in log.lines().split("\n")[:-1]] == endings
