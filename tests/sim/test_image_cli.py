"""``pvhck image``: what a person types, is shown, and finds afterwards."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from image_media import SERVER2022, WIN7, WIN10, WIN11, make_medium

from harness.cli.main import main
from harness.lab import load_lab
from harness.model import GuestKind

_HOST = "[host sim]\nkind = simulated\nmemory = 8g\n"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a hosts.ini of one simulated host, which is where commands run, and home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "hosts.ini").write_text(_HOST)
    return tmp_path


def secrets_of(lab: Path) -> list[Path]:
    return sorted((lab / "home").rglob("secrets/*"))


def test_a_template_is_built_shown_and_registered(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_medium(lab / "w.iso", WIN11)
    assert (
        main(["image", "build", "--iso", "w.iso", "--os", "win11", "--register", "--section", "t.ini"]) == 0
    )
    out = capsys.readouterr().out
    assert "stage winrm         WinRM, certificate, firewall rule" in out
    assert "gate: ok      probe:" in out
    assert "nothing of this was a Windows" in out
    section = (lab / "t.ini").read_text()
    assert section in out
    assert (lab / "hosts.ini").read_text() == f"{_HOST}\n{section}"
    template = load_lab(lab / "hosts.ini").templates["win11-x64-uefi"]
    assert template.guest is GuestKind.SIMULATED, "it would be taken for a Windows"
    assert (template.user, template.memory_mib, template.hosts) == ("pvhck", 4096, ("sim",))


def test_the_password_is_private_and_stands_nowhere_else(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_medium(lab / "w.iso", WIN10)
    assert main(["image", "build", "--iso", "w.iso", "--os", "win10"]) == 0
    (kept,) = secrets_of(lab)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    password = kept.read_text().strip()
    assert len(password) == 24
    said = capsys.readouterr()
    assert password not in said.out + said.err
    written = [path for path in lab.rglob("*") if path.is_file() and path != kept]
    assert any(path.name == "probe.json" for path in written)
    assert not [path for path in written if password.encode() in path.read_bytes()]


def test_a_password_of_ones_own_is_taken(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PVHCK_MINE", "My-Own-Word.1")
    make_medium(lab / "w.iso", WIN10)
    assert main(["image", "build", "--iso", "w.iso", "--os", "win10", "--secret", "env:PVHCK_MINE"]) == 0
    assert secrets_of(lab) == []


def test_a_template_that_fails_its_gate_ends_with_1_and_leaves_no_password(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lab / "hosts.ini").write_text(f"{_HOST}faults = setup-leaves:winrm-401\n")
    make_medium(lab / "w.iso", WIN10)
    assert main(["image", "build", "--iso", "w.iso", "--os", "win10", "--register"]) == 1
    assert "win10-x64-bios is not registered: WinRM: " in capsys.readouterr().err
    assert "[template" not in (lab / "hosts.ini").read_text()
    assert secrets_of(lab) == []
    assert list(lab.glob("reports/image-*/screen.png"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--os", "win7", "--iso", "seven.iso"], "KB4490628.*KB3191566.*--update PATH"),
        (["--os", "win11"], r"holds no Windows 11 \(x64\), but: 1: Windows 10 Home"),
        (["--os", "win10", "--arch", "x86", "--firmware", "uefi"], "64-bit one"),
        (["--os", "win10", "--edition", "Ultimate"], "no edition 'Ultimate'"),
        (["--os", "win10", "--iso", "none.iso"], "No such file"),
        (["--os", "win10", "--name", "a b"], "--name 'a b'"),
        (["--os", "win10", "--memory", "1"], "--memory '1'"),
        (["--os", "win10", "--secret", "Pass-Word.1"], "does not say where the secret lies"),
        (["--os", "win10", "--product-key", "env:PVHCK_NO_KEY"], "PVHCK_NO_KEY: not set"),
        (["--os", "win10", "--host", "sin"], "no host 'sin'.*did you mean 'sim'"),
    ],
)
def test_what_cannot_be_built_ends_with_2_and_says_why(
    lab: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    make_medium(lab / "w.iso", WIN10)
    make_medium(lab / "seven.iso", WIN7, uefi=False)
    assert main(["image", "build", "--iso", "w.iso", *arguments]) == 2
    said = capsys.readouterr()
    assert re.search(words, said.err), said.err
    assert "Pass-Word.1" not in said.out + said.err
    assert secrets_of(lab) == []


def test_with_two_hosts_one_has_to_be_named(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "hosts.ini").write_text(_HOST + _HOST.replace("sim]", "sim2]"))
    make_medium(lab / "w.iso", WIN10)
    assert main(["image", "build", "--iso", "w.iso", "--os", "win10"]) == 2
    assert "--host sim or sim2" in capsys.readouterr().err


def test_a_medium_tells_its_editions(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_medium(lab / "w.iso", SERVER2022)
    assert main(["image", "editions", "--iso", "w.iso"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[1] == (
        "2: Windows Server 2022 Standard Evaluation (Desktop Experience) "
        "(ServerStandardEval, Server, x64, build 20348)"
    )
