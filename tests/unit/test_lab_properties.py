"""What a person writes into hosts.ini or a profile: read as it stands, or every mistake with its line."""

from __future__ import annotations

import configparser
import contextlib
from pathlib import Path
from typing import Any

import pytest
from hostile_texts import any_text, damaged, one_line
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.lab import LabFileError, ProfileError, Redactor, Secret
from harness.lab.ini import read_ini
from harness.lab.keys import HOST_KEYS, TEMPLATE_KEYS
from harness.lab.load import load_lab, parse_lab
from harness.lab.profile_load import load_profile, parse_profile
from harness.lab.readers import Unfit

ROOT = Path(__file__).parents[2]
SHIPPED = (ROOT / "hosts.ini").read_text(encoding="utf-8")
NIGHTLY = (ROOT / "profiles" / "nightly.toml").read_text(encoding="utf-8")
SOURCE = Path("/lab/hosts.ini")
HOST = "[host a]\nkind = ssh\naddress = 192.0.2.1\n"
TEMPLATE = """[template t]
guest = windows
os = {os}
arch = x64
image = {image}
secret = {secret}
user = {user}
"""
# what configparser takes away from the ends of a value, or a file in UTF-8 at its beginning
VALUES = one_line.map(str.strip).filter(lambda text: text and "\ufeff" not in text and len(text) < 150)


@given(st.data())
def test_a_damaged_file_is_a_lab_or_every_mistake_with_its_line(data: st.DataObject) -> None:
    text = data.draw(damaged(SHIPPED) | damaged(SHIPPED.replace("\n#", "\n")))
    try:
        lab = parse_lab(text, SOURCE)
    except LabFileError as error:
        lines = [finding.line for finding in error.findings]
    else:
        lines = [] if lab.hosts else [-1]
    assert all(0 <= line <= text.count("\n") + 1 for line in lines)


@given(VALUES, VALUES, VALUES, VALUES)
def test_a_value_is_taken_as_it_stands_or_complained_about(
    os: str, image: str, secret: str, user: str
) -> None:
    fields = {"os": os, "image": image, "secret": f"file:/{secret}", "user": user}
    try:
        template = parse_lab(HOST + TEMPLATE.format(**fields), SOURCE).templates["t"]
    except LabFileError as error:
        findings = error.findings
        assert {finding.key for finding in findings} <= {"os", "image", "secret", "user"}
        assert not any(
            secret in finding.found for finding in findings if finding.key == "secret" and len(secret) > 20
        )
        return
    assert (template.os, template.image, template.user) == (os, image, user)
    assert template.secret is not None
    assert template.secret.name == str(SOURCE.parent / f"/{secret}")


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), VALUES),
        max_size=5,
        unique_by=lambda pair: pair[0],
    )
)
def test_the_syntax_is_that_of_configparser(pairs: list[tuple[str, str]]) -> None:
    text = "[some section]\n" + "".join(f"{name} = {value}\n" for name, value in pairs)
    real = configparser.RawConfigParser(delimiters=("=",), interpolation=None)
    real.read_string(text)
    ours = read_ini(text)
    assert ours.problems == ()
    assert {key.name: key.value for key in ours.sections[0].keys} == dict(real.items("some section"))


@pytest.mark.parametrize("key", [*HOST_KEYS, *TEMPLATE_KEYS], ids=lambda key: key.name)
@settings(max_examples=40)
@given(text=any_text | st.from_regex(r"[0-9a-f:.@/*\[\] -]{0,30}", fullmatch=True) | st.just("9" * 5000))
def test_each_reader_gives_a_value_or_says_that_it_is_unfit(key: Any, text: str) -> None:
    with contextlib.suppress(Unfit):
        key.reader.parse(text.replace("\0", ""), Path("/lab"))


@given(st.data())
def test_a_damaged_profile_is_one_or_every_mistake(data: st.DataObject) -> None:
    with contextlib.suppress(ProfileError):
        assert parse_profile(data.draw(damaged(NIGHTLY)), Path("/p/mine.toml")).name == "mine"


@given(st.binary(max_size=80))
def test_files_of_any_bytes_are_read_or_named(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(data)
    for load, mistake in ((load_lab, LabFileError), (load_profile, ProfileError)):
        try:
            load(path if load is load_lab else str(path))
        except mistake as error:
            named = str(error)
            assert str(path) in named


@given(st.lists(any_text.filter(bool), max_size=3), any_text)
def test_no_secret_is_left_in_a_text_it_was_put_into(secrets: list[str], text: str) -> None:
    redactor = Redactor()
    for secret in secrets:
        redactor.add(Secret(secret))
    for secret in secrets:
        cleaned = redactor.clean(f"{text}{secret}{text}").replace("***", "\0")
        assert secret not in cleaned or set(secret) & {"\0", "*"}
