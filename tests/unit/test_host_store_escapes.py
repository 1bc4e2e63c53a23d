"""Values of xenstore are what was written, though dom0's tools show and take them with escapes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.host.xenstore import parse_tree, unescape
from harness.simlab.commands import store as simulated

VALUES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))


@pytest.mark.parametrize(
    ("shown", "value"),
    [
        (r"gr\xc3\xbc\xc3\x9fe", "grüße"),  # recorded on Xen 4.17
        (r"C:\\new\\x41\\", "C:\\new\\x41\\"),
        (r"a\tb\nc\rd\001", "a\tb\nc\rd\x01"),
        (r"\777", "\N{REPLACEMENT CHARACTER}"),
        (r"\xff", "\N{REPLACEMENT CHARACTER}"),
        ("plain 'it''s' \"quoted\" %TEMP%", "plain 'it''s' \"quoted\" %TEMP%"),
    ],
)
def test_a_value_is_read_as_it_was_written(shown: str, value: str) -> None:
    assert unescape(shown) == value
    assert parse_tree(f'/local/domain/1/data = "{shown}"\n') == {"/local/domain/1/data": value}


def test_the_simulator_s_xenstore_write_reads_escapes_as_xen_s_does() -> None:
    assert simulated.unescape(r"\101\x4A\x4g\q\t\\") == "AJ\x04gq\t\\"


@given(VALUES)
def test_any_text_survives_the_tools_of_the_simulator(value: str) -> None:
    assert unescape(simulated.escape(value)) == value
    assert simulated.unescape(value.replace("\\", "\\\\")) == value
