"""What a process says has no secret in it, whoever says it."""

from __future__ import annotations

import logging
import sys
import traceback

import pytest

from harness.errors import ConfigurationError
from harness.lab import SecretRef, resolve_secret
from harness.session.said import said_without_secrets

PASSWORD = "pä'ss <&> word"


def find(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PVHCK_SAID", PASSWORD)
    return resolve_secret(SecretRef("env", "PVHCK_SAID")).reveal()


def test_a_secret_fetched_after_the_start_is_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with said_without_secrets():
        sys.stdout.write(f"before {find(monkeypatch)} after\n")
        sys.stderr.writelines([f"{PASSWORD}\n", "rest\n"])
    assert capsys.readouterr() == ("before *** after\n", "***\nrest\n")


def test_a_traceback_that_shows_arguments_hides_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ConfigurationError(f"connect(password={find(monkeypatch)!r})")
    with said_without_secrets():
        traceback.print_exception(error)
    said = capsys.readouterr().err
    assert "connect(password=" in said
    assert "ss <&> word" not in said


def test_the_stream_is_otherwise_the_one_it_stands_for(capsys: pytest.CaptureFixture[str]) -> None:
    out = sys.stdout
    with said_without_secrets():
        assert sys.stdout.isatty() is out.isatty()
        assert sys.stdout.encoding == out.encoding
        assert sys.stdout.write("abc") == 3
    assert sys.stdout is out


def test_a_library_s_last_words_go_the_same_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find(monkeypatch)
    with said_without_secrets():
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, PASSWORD, None, None)
        assert logging.lastResort is not None
        logging.lastResort.handle(record)
    assert "word" not in capsys.readouterr().err
