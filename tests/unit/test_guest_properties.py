"""What is seen of a guest from outside: logs, screens, xenstore of any content are looked at, never fatal."""

from __future__ import annotations

import contextlib

from hostile_texts import any_text, damaged, recorded
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import OutputNotUnderstood
from harness.evidence.picture import ppm_to_png
from harness.guest.agent import FRAGMENTS, module_text
from harness.guest.crash import triple_faults
from harness.guest.redaction import Hidden, hidden_names
from harness.guest.signs import Traces, difference
from harness.model import CommandResult
from harness.operations import OPERATIONS
from harness.session.outcome import judge

DMESG = (
    recorded("xl-dmesg-head")
    + "(XEN) d2v0 Triple fault - invoking HVM shutdown action 1\n(XEN) d3v1 Triple fault\n"
)


@given(st.data(), st.sets(st.sampled_from(["2", "3"])))
def test_triple_faults_are_those_of_the_lines_and_not_of_others(
    data: st.DataObject, others: set[str]
) -> None:
    log = data.draw(damaged(DMESG))
    found = triple_faults(log, others)
    assert set(found) <= set(log.splitlines())
    assert not [line for line in found for other in others if f"d{other}v" in line and line.count(" d") == 1]


@given(
    any_text,
    any_text,
    st.dictionaries(any_text, any_text, max_size=3),
    st.dictionaries(any_text, any_text, max_size=3),
)
def test_a_sign_of_life_is_a_change(
    console: str, screen: str, before: dict[str, str], now: dict[str, str]
) -> None:
    same = Traces(console, screen, before)
    assert difference(same, same) == ""
    assert bool(difference(same, Traces(console, screen, now))) == (before != now)


@given(st.binary(max_size=80), st.integers(0, 60))
def test_any_bytes_are_a_picture_or_none(data: bytes, cut: int) -> None:
    whole = b"P6 # x\n2 2\n255\n" + bytes(12)
    for one in (data, b"P6\n" + data, whole[:cut], whole + data):
        with contextlib.suppress(OutputNotUnderstood):
            assert ppm_to_png(one).startswith(b"\x89PNG")


@given(any_text, any_text, st.lists(any_text, max_size=3))
def test_names_that_are_hidden_are_gone(computer: str, user: str, texts: list[str]) -> None:
    names = hidden_names(computer, user, [f'<S N="RegisteredUser">{text}</S>' for text in texts])
    cleaned = Hidden(names, str).clean({"a": [computer, user, *texts], "b": None})
    assert set(cleaned) == {"a", "b"}
    assert len(cleaned["a"]) == 2 + len(texts)


@given(any_text, any_text, st.integers(-1, 255))
def test_a_command_of_any_words_is_described_on_one_line(out: str, err: str, code: int) -> None:
    words = CommandResult(("a", out), code, out, err, 0.0).describe()
    assert words
    for error in (ValueError(out), AssertionError(err), OutputNotUnderstood("x", text=out)):
        assert judge(error, in_call=True).reason


@given(st.sampled_from(sorted(OPERATIONS)))
def test_each_operation_is_in_the_module_s_own_table(name: str) -> None:
    assert f"{name} = @{{ Function = '{OPERATIONS[name].function}'" in module_text()
    assert "json.ps1" in FRAGMENTS
