"""Files of a guest come out whole or not at all, whatever is in them and wherever a part of them ends."""

from __future__ import annotations

import base64
import codecs
import hashlib
import string
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_host import RECORDED_XL, make_guest, make_host
from hypothesis import given
from hypothesis import strategies as st

from harness.deadline import Deadline
from harness.errors import HarnessError, InfrastructureError
from harness.evidence.courier import Courier
from harness.evidence.guest_side import GUEST_COLLECTORS
from harness.model import GuestKind

_PATH = r"C:\Windows\Minidump\a b.dmp"


def _courier(content: bytes, *, part: int, digest: str = "") -> Courier:
    """Of a guest that reaches no address of ours, and gives at most ``part`` bytes at a time."""

    def read_file(*, offset: int, length: int, **_: Any) -> dict[str, object]:
        piece = content[offset : offset + min(length, part)]
        return {"path": _PATH, "content": base64.b64encode(piece).decode(), "size": len(content)}

    facts = {
        "path": _PATH,
        "size": len(content),
        "sha256": digest or hashlib.sha256(content).hexdigest(),
    }
    answers = {"file_facts": facts, "read_file": read_file}
    guest = make_guest(make_host({**RECORDED_XL}, controller=""), answers)
    return Courier(guest, Deadline.after(30))


@given(st.binary(max_size=400), st.integers(1, 500))
def test_a_file_comes_whole_by_the_channel_however_it_is_cut(content: bytes, part: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "a.dmp"
        facts = _courier(content, part=part).whole(_PATH, len(content), target)
        assert target.read_bytes() == content
        assert facts.size == len(content)


@given(st.binary(min_size=1, max_size=200), st.integers(1, 300))
def test_a_file_that_changes_meanwhile_is_not_left_half_or_mixed(content: bytes, part: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "a.dmp"
        with pytest.raises(InfrastructureError, match="changed while it was read"):
            _courier(content, part=part, digest="0" * 64).whole(_PATH, len(content), target)
        assert not target.exists()


_BASE64 = set(string.ascii_letters + string.digits + "+/=")


@given(st.text(min_size=1, max_size=50).filter(lambda text: bool(set(text) - _BASE64)))
def test_what_is_no_base64_is_a_failure_that_is_named(text: str) -> None:
    courier = _courier(b"", part=1)
    channel: Any = courier._guest.channel()
    channel.answers["read_file"] = {"path": _PATH, "content": text, "size": 1}
    with pytest.raises(HarnessError, match="no base64"):
        courier.beginning(_PATH, 10)


# letters as a log of Windows has them, most of ASCII
_LOG = st.lists(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=4, max_size=40), min_size=1
)
_FORMS = {
    "utf-8": lambda text: text.encode(),
    "utf-8 with mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "utf-16": lambda text: text.encode("utf-16-le"),
    "utf-16 with mark": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
}


def _setup_log(data: bytes) -> str:
    """What is kept of a setupapi.dev.log with these bytes."""
    kept: dict[str, Any] = {}

    def ask(_: str, __: Deadline, *, offset: int, length: int, **___: Any) -> dict[str, object]:
        content = base64.b64encode(data[offset : offset + length]).decode()
        return {"content": content, "size": len(data)}

    collector = next(one for one in GUEST_COLLECTORS if one.name == "setupapi.dev.log")
    scene: Any = SimpleNamespace(the_guest=SimpleNamespace(kind=GuestKind.WINDOWS), ask=ask)
    collector.gather(scene, Deadline.after(5), kept.__setitem__)
    return str(kept["setupapi.txt"])


@given(_LOG, st.sampled_from(sorted(_FORMS)))
def test_a_setup_log_reads_the_same_in_every_form_that_windows_writes(lines: list[str], form: str) -> None:
    text = "\r\n".join(lines)
    assert _setup_log(_FORMS[form](text)) == text


@given(st.binary(max_size=600))
def test_no_bytes_of_a_guest_keep_its_setup_log_from_being_kept(data: bytes) -> None:
    assert isinstance(_setup_log(data), str)
