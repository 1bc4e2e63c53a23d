"""Secrets are taken out of text however they stand there, and nothing else is."""

from __future__ import annotations

import base64
import re
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from secret_forms import WRITERS

from harness.lab import Redactor, Secret

ODD = "'\"`$%&<>\\/^ +#=;:!?{}[]()|~@,._-*" + "äÖßéñ€" + "\u2019\u201c" + "\U0001f600"
# a password begins with a letter and has more of them: one of quotes alone is found inside of quotes
PASSWORDS = st.builds(
    lambda begin, middle, end: f"{begin}{middle}{end}",
    st.text("ABCDEFGH", min_size=3, max_size=5),
    st.text("ABCDEFGH" + ODD.replace("*", ""), max_size=12),
    st.text("ABCDEFGH1234", min_size=1, max_size=5),
)
OTHER = st.text("xyz0 \n", max_size=20)


def redactor(*secrets: str) -> Redactor:
    made = Redactor()
    for secret in secrets:
        made.add(Secret(secret))
    return made


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@settings(deadline=None, max_examples=20)
@given(before=OTHER, secret=PASSWORDS, after=OTHER)
def test_a_secret_is_taken_out_however_it_was_written(write, before: str, secret: str, after: str) -> None:
    cleaned = redactor(secret).clean(before + write(secret) + after)
    assert cleaned.startswith(before)
    assert cleaned.endswith(after)
    middle = cleaned[len(before) : len(cleaned) - len(after)]
    assert middle.removeprefix("b").removesuffix("\\u0000").strip("'\"\x00") == "***"


@pytest.mark.parametrize("first", ODD.replace("*", ""))
def test_of_a_secret_with_an_odd_character_at_either_end_no_letter_stays(first: str) -> None:
    secret = f"{first}QKZJ{first}"
    cleaned = {name: redactor(secret).clean(f"<x {write(secret)} y>") for name, write in WRITERS.items()}
    assert not [name for name, text in cleaned.items() if "***" not in text or set("QKZJ") & set(text)]


@pytest.mark.parametrize(
    "secret",
    [
        "AAA%41bbb",
        "AAA&amp;ö",
        r"AAA\u0041b'",
        r"AAA\nbbb ",
        "AAA_x0041_b&",
        "AAA%2541ö",
        "%41%42%43%44",
        "AAA&#65;ö",
    ],
)
def test_a_secret_that_looks_like_an_escape_itself_is_taken_out(secret: str) -> None:
    cleaned = {name: redactor(secret).clean(f"<x {write(secret)} y>") for name, write in WRITERS.items()}
    assert not [name for name, text in cleaned.items() if "***" not in text or secret in text]


@pytest.mark.parametrize("width", [4, 76, 0])
@settings(deadline=None, max_examples=30)
@given(st.binary(max_size=7), st.text(min_size=6, max_size=20), st.binary(max_size=7))
def test_inside_base64_nothing_is_left_that_gives_the_secret_away(
    width: int, before: bytes, secret: str, after: bytes
) -> None:
    for codec in ("utf-8", "utf-16-le"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(before + secret.encode(codec) + after).decode()
            if width:
                encoded = "\r\n".join(re.findall(f".{{1,{width}}}", encoded))
            cleaned = redactor(secret).clean(encoded)
            assert "***" in cleaned
            # At each end at most the digit that is shared with the neighbour stays.
            left = re.sub(r"\s", "", cleaned).replace("***", "")
            assert len(left) <= len(base64.b64encode(before)) + len(base64.b64encode(after)) + 8


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=8), max_size=5), st.text())
def test_no_known_secret_survives_in_any_text(secrets: list[str], text: str) -> None:
    cleaned = redactor(*secrets).clean(text + "".join(secrets))
    left = cleaned.replace("***", "\0")
    assert not [secret for secret in secrets if "\0" not in secret and "*" not in secret and secret in left]


@settings(deadline=None)
@given(PASSWORDS, st.text(st.characters(exclude_characters="ABCDEFGHabcdefgh"), max_size=200))
def test_other_text_stays_as_it_is(secret: str, text: str) -> None:
    assert redactor(secret).clean(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "NTLM authentication failed; Basic authentication is off",
        "authorization: failed because of nothing",
        "www-authenticate is missing; authenticate: user unknown",
        "C:\\Windows\\INF\\setupapi.dev.log \"a\" 'b' `c` 100%20 &amp; &lt; \\u00e4 +",
        "pvhck-20261126-120000-ab12-1 and pvhck-token",
    ],
)
def test_what_only_looks_like_a_login_stays(text: str) -> None:
    assert redactor("Pä$$w0rd &1").clean(text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
        ("'Authorization': 'NTLM QUJDREVGRw=='", "'Authorization': 'NTLM ***'"),
        ("www-authenticate: Negotiate oYIBCzCCAQegAwoBAKEMBgorBgEEAYI3==", "www-authenticate: Negotiate ***"),
        ("token TlRMTVNTUAADAAAAGAAYAIgAAAA= sent", "token *** sent"),
        ("http://10.0.0.1:80/pvhck-token-aB_9-x/a.sys", "http://10.0.0.1:80/pvhck-token-***/a.sys"),
    ],
)
def test_a_login_that_shows_itself_goes_without_being_known(text: str, cleaned: str) -> None:
    assert Redactor().clean(text) == cleaned


def test_the_longer_of_two_secrets_goes_as_a_whole() -> None:
    assert redactor("secret", "secret-long").clean("secret-long secret") == "*** ***"


def test_an_empty_secret_changes_nothing() -> None:
    assert redactor("").clean("some text") == "some text"
    assert Redactor().clean("some text") == "some text"


def test_two_threads_that_add_secrets_lose_none() -> None:
    made = Redactor()
    names = [f"secret-{number:03}" for number in range(200)]
    threads = [
        threading.Thread(target=lambda part=part: [made.add(Secret(one)) for one in names[part::4]])
        for part in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made.clean(" ".join(names)) == " ".join(["***"] * 200)


@pytest.mark.parametrize(
    "hostile", ["\\" * 60000, "'" * 60000, "&amp;" * 20000, "%25" * 20000, "\0" * 60000, "Qä" + "\\0" * 60000]
)
def test_a_guest_s_text_cannot_make_it_try_every_way(hostile: str) -> None:
    # with a repetition that is not bounded these take minutes, not a moment
    assert redactor("\\'\"$Qä&%'\\").clean(hostile) == hostile
