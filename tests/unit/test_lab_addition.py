"""A host is added to hosts.ini without a byte of the rest being another one afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigurationError
from harness.lab import LabFileError
from harness.lab.addition import host_section, host_spec, with_host
from harness.lab.load import parse_lab

SOURCE = Path("/srv/lab/hosts.ini")
VALUES = {"memory": "8g", "address": "192.0.2.7", "user": "tester"}
OLD = (
    "# the lab\n[host a]\n; of 2019\naddress =  192.0.2.1\n\n"
    "[template w]\nimage = w.img\nos = W\narch = x64\nsecret = env:W\n"
)


def test_the_section_has_its_keys_in_the_order_of_the_documentation():
    assert host_section("b", VALUES) == "[host b]\naddress = 192.0.2.7\nuser = tester\nmemory = 8g\n"


def test_what_was_there_stays_and_the_new_host_can_be_read():
    changed = with_host(OLD, "b", VALUES, SOURCE)
    assert changed.startswith(OLD + "\n[host b]\n")
    lab = parse_lab(changed, SOURCE)
    assert list(lab.hosts) == ["a", "b"]
    assert lab.hosts["b"] == host_spec("b", VALUES, SOURCE)
    assert lab.hosts["b"].memory_mib == 8192


@pytest.mark.parametrize(
    ("old", "between"),
    [
        ("", ""),
        ("# only words", "\n\n"),
        ("# only words\n", "\n"),
        ("# words\r\n[host a]\r\naddress = a\r\n", "\r\n"),
        ("\ufeff# words\n", "\n"),
        ("\ufeff", ""),
    ],
)
def test_line_ends_and_marks_are_kept(old, between):
    changed = with_host(old, "b", {"address": "192.0.2.7"}, SOURCE)
    newline = "\r\n" if "\r" in old else "\n"
    assert changed == f"{old}{between}[host b]{newline}address = 192.0.2.7{newline}"


@given(st.text(alphabet="#; \tabc=[]\n\r\f\x85\u2028é", max_size=80))
def test_no_comment_whatever_is_lost_or_changed(words):
    old = OLD + "".join(f"# {line}\n" for line in words.split("\n"))
    changed = with_host(old, "b", VALUES, SOURCE)
    assert changed.startswith(old)
    assert "b" in parse_lab(changed, SOURCE).hosts


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(ConfigurationError, match="has a host 'a' already"):
        with_host(OLD, "a", VALUES, SOURCE)
    with pytest.raises(ConfigurationError, match="already"):
        with_host("\ufeff[host  a]\naddress = x\n", "a", VALUES, SOURCE)


def test_a_file_with_mistakes_is_not_added_to():
    with pytest.raises(LabFileError, match="bridg"):
        with_host(OLD + "[host c]\naddress = c\nbridg = x\n", "b", VALUES, SOURCE)


@pytest.mark.parametrize("values", [{"address": "a b"}, VALUES | {"memory": "much"}, {"user": "x"}])
def test_values_that_are_not_allowed_never_come_into_the_file(values):
    with pytest.raises(LabFileError):
        with_host(OLD, "b", values, SOURCE)
