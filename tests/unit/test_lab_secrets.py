"""Secrets: found where they lie, and never shown."""

from __future__ import annotations

import copy
import json
import os
import pickle
import sys
import types
from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.lab import Secret, SecretRef, resolve_secret

PASSWORD = 'p&ss"w\\ö<1>'  # something every encoding writes differently


def private(path: Path, text: str, mode: int = 0o600) -> SecretRef:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return SecretRef("file", str(path))


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{:>20}".format, lambda s: f"{s!r:30}", ascii])
def test_no_way_of_printing_shows_the_secret(show) -> None:
    assert PASSWORD not in show(Secret(PASSWORD))
    assert "***" in show(Secret(PASSWORD))
    assert Secret(PASSWORD).reveal() == PASSWORD


@pytest.mark.parametrize("dump", [pickle.dumps, copy.deepcopy, json.dumps])
def test_a_secret_cannot_be_written_away(dump) -> None:
    with pytest.raises(TypeError) as caught:
        dump(Secret(PASSWORD))
    assert PASSWORD not in str(caught.value)
    assert not hasattr(Secret(PASSWORD), "__dict__")


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PVHCK_TEST", PASSWORD)
    assert resolve_secret(SecretRef("env", "PVHCK_TEST")).reveal() == PASSWORD


@pytest.mark.parametrize("text", [PASSWORD, f"{PASSWORD}\n", f"{PASSWORD}\r\n", f"{PASSWORD}\nsecond line\n"])
def test_from_the_first_line_of_a_private_file(tmp_path: Path, text: str) -> None:
    assert resolve_secret(private(tmp_path / "pw", text)).reveal() == PASSWORD


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_file_others_can_open_is_refused_with_the_mend(tmp_path: Path, mode: int) -> None:
    ref = private(tmp_path / "pw", PASSWORD, mode)
    with pytest.raises(ConfigurationError, match="others may read") as caught:
        resolve_secret(ref)
    assert caught.value.mend == f"chmod 600 {tmp_path / 'pw'}"
    assert PASSWORD not in str(caught.value)


def test_a_missing_file_an_empty_one_and_a_folder_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    empty = private(tmp_path / "empty", "\nsecond")
    for ref in (SecretRef("file", str(tmp_path / "none")), empty, SecretRef("file", str(folder))):
        with pytest.raises(ConfigurationError, match=str(ref)):
            resolve_secret(ref)


def test_a_pipe_without_a_writer_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigurationError, match="not a regular file"):
        resolve_secret(SecretRef("file", str(tmp_path / "pipe")))


def test_a_file_that_is_no_text_does_not_appear_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "pw").write_bytes(b"hunter2\xff")
    (tmp_path / "pw").chmod(0o600)
    with pytest.raises(ConfigurationError, match="UTF-8") as caught:
        resolve_secret(SecretRef("file", str(tmp_path / "pw")))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_an_unset_variable_says_how_to_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PVHCK_TEST", raising=False)
    with pytest.raises(ConfigurationError, match=r"env:PVHCK_TEST.*export PVHCK_TEST"):
        resolve_secret(SecretRef("env", "PVHCK_TEST"))


def fake_keyring(monkeypatch: pytest.MonkeyPatch, get_password) -> None:
    keyring, errors = types.ModuleType("keyring"), types.ModuleType("keyring.errors")
    errors.KeyringError = type("KeyringError", (Exception,), {})
    keyring.get_password = get_password
    keyring.errors = errors
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)


def test_from_the_keyring_by_service_and_user(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {("pvhck", "lab/tester"): PASSWORD}
    fake_keyring(monkeypatch, lambda service, user: entries.get((service, user)))
    assert resolve_secret(SecretRef("keyring", "pvhck/lab/tester")).reveal() == PASSWORD
    with pytest.raises(ConfigurationError, match=r"keyring:pvhck/other.*keyring set pvhck other"):
        resolve_secret(SecretRef("keyring", "pvhck/other"))


def test_a_locked_keyring_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(service: str, user: str) -> str:
        raise sys.modules["keyring.errors"].KeyringError(PASSWORD)

    fake_keyring(monkeypatch, locked)
    with pytest.raises(ConfigurationError, match="the keyring refused: KeyringError") as caught:
        resolve_secret(SecretRef("keyring", "pvhck/tester"))
    assert PASSWORD not in str(caught.value)


def test_a_missing_keyring_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigurationError, match=r"not installed \(install pvhck with its extra"):
        resolve_secret(SecretRef("keyring", "pvhck/tester"))
