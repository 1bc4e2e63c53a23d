"""prepare.ps1 runs on the real engine: what it sets up, that it may be run again, and what it prints."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pwsh_machine import (
    CONTROL_KEY,
    CRASH_KEY,
    FRESH,
    NEW,
    SCRIPT,
    SYSTEM_KEY,
    WINRM_KEY,
    Machine,
    certificate,
    of,
)
from pwsh_state import GOOD
from pwsh_windows import Windows

from harness.lab import Firmware, load_lab
from harness.model import Arch


@pytest.fixture(scope="module")
def windows(make_windows: Callable[[str], Windows]) -> Windows:
    return make_windows("server2019")


@dataclasses.dataclass(frozen=True)
class TwoRuns:
    """A fresh Windows before, between and after two runs of the script."""

    windows: Windows
    first: subprocess.CompletedProcess[str]
    log: list[Any]
    calls: list[str]
    between: dict[str, Any]
    second: subprocess.CompletedProcess[str]
    log_of_second: list[Any]
    after: dict[str, Any]


@pytest.fixture(scope="module", params=["windows7", "server2019"])
def runs(request: pytest.FixtureRequest, make_windows: Callable[[str], Windows]) -> TwoRuns:
    windows = make_windows(request.param)
    machine = of(windows)
    first = machine.prepare("-Name", "win.x-1", "-User", "Prüfer")
    log, calls, between = windows.log, windows.calls, machine.now
    second = machine.prepare("-Name", "win.x-1", "-User", "Prüfer")
    return TwoRuns(windows, first, log, calls, between, second, windows.log, machine.now)


def test_a_fresh_windows_gets_certificate_listener_rule_token_and_service(runs: TwoRuns) -> None:
    assert runs.first.returncode == 0, runs.first.stderr
    now = runs.between
    assert now["services"] == {"WinRM": "Automatic"}
    assert now["started"] == ["WinRM"]
    assert now["registry"][WINRM_KEY]["DelayedAutostart"] == 0
    assert now["registry"][SYSTEM_KEY] == {"EnableLUA": 1, "LocalAccountTokenFilterPolicy": 1}
    assert now["registry"][CRASH_KEY] == {"AutoReboot": 1, "NMICrashDump": 1}
    assert now["listeners"][1:] == [
        {
            "Address": "*",
            "Transport": "HTTPS",
            "Hostname": "pvhck",
            "Port": "5986",
            "CertificateThumbprint": hashlib.sha1(NEW).hexdigest().upper(),
        }
    ]
    rule = "dir=in action=allow protocol=TCP localport=5986 profile=any"
    assert [line for line in runs.calls if line.startswith("netsh")] == [
        "netsh.exe advfirewall firewall delete rule name=pvhck-winrm",
        f"netsh.exe advfirewall firewall add rule name=pvhck-winrm {rule}",
    ]


def test_the_certificate_is_asked_for_as_certenroll_wants_it(runs: TwoRuns) -> None:
    (request,) = [entry for entry in runs.log if "request" in entry]
    kind = "Enhanced RSA and AES Cryptographic" if runs.windows.old else "Software Key Storage"
    assert request.pop("days") > 3600
    assert request == {
        "request": "CN=pvhck",
        "self": True,
        "context": 2,
        "provider": f"Microsoft {kind} Provider",
        "length": 2048,
        "machine": 1,
        "export": 0,
        "use": "1.3.6.1.5.5.7.3.1",
        "hash": "SHA256",
    }


def test_a_second_run_changes_nothing_and_prints_the_same(runs: TwoRuns) -> None:
    assert runs.second.returncode == 0, runs.second.stderr
    assert runs.second.stdout == runs.first.stdout
    assert runs.after == runs.between
    assert runs.log_of_second == []


def test_what_it_prints_is_a_section_that_hosts_ini_takes(runs: TwoRuns, tmp_path: Path) -> None:
    path = tmp_path / "hosts.ini"
    path.write_text(f"[host xen1]\naddress = 192.0.2.1\n\n{runs.first.stdout}", encoding="utf-8")
    template = load_lab(path).templates["win.x-1"]
    assert template.certificate.fingerprint == hashlib.sha256(NEW).hexdigest()
    assert template.user == "Prüfer"
    assert str(template.secret) == "env:PVHCK_WIN_X_1"
    assert template.firmware is Firmware.UEFI
    if runs.windows.old:
        assert (template.os, template.arch, template.legacy_tls) == ("Microsoft Windows 7", Arch.X86, True)
    else:
        assert template.os == "Microsoft Windows Server 2019 Datacenter"
        assert (template.arch, template.legacy_tls) == (Arch.X64, False)


def test_names_come_from_the_machine_when_none_are_given(windows: Windows) -> None:
    lines = of(windows).prepare().stdout.splitlines()
    assert "[template win-pv]" in lines
    assert "user = tester" in lines
    assert "image = templates/win-pv.qcow2" in lines


def test_what_old_systems_lack_or_limit_is_dealt_with(windows: Windows) -> None:
    registry = FRESH["registry"] | {CONTROL_KEY: {"SystemStartOptions": ""}}
    machine = of(windows, registry=registry, winrs={"MaxShellsPerUser": "5", "MaxMemoryPerShellMB": "150"})
    assert "firmware = bios" in machine.prepare("-Name", "a").stdout.splitlines()
    assert machine.now["winrs"] == {"MaxShellsPerUser": "30", "MaxMemoryPerShellMB": "1024"}


@pytest.mark.parametrize("other", ["expired", "foreign"])
def test_a_listener_with_another_certificate_gets_ours(windows: Windows, other: str) -> None:
    old = certificate("pvhck", 20) if other == "expired" else certificate("WIN-PV", 3650)
    listener = {
        "Address": "*",
        "Transport": "HTTPS",
        "Hostname": "WIN-PV",
        "Port": "5986",
        "CertificateThumbprint": hashlib.sha1(old).hexdigest().upper(),
    }
    machine = of(windows, certificates=[base64.b64encode(old).decode()], listeners=[listener])
    done = machine.prepare("-Name", "a")
    assert done.returncode == 0, done.stderr
    (changed,) = machine.now["listeners"]
    assert changed["CertificateThumbprint"] == hashlib.sha1(NEW).hexdigest().upper()
    assert changed["Hostname"] == "pvhck"
    assert hashlib.sha256(NEW).hexdigest() in done.stdout


def test_without_elevation_nothing_is_touched(windows: Windows) -> None:
    state = dataclasses.replace(GOOD, security=dataclasses.replace(GOOD.security, full_token=False))
    machine = Machine(windows, state)
    before = machine.now
    done = machine.prepare("-Name", "a")
    assert done.returncode == 1
    assert "elevated" in done.stderr
    assert "[template" not in done.stdout
    assert machine.now == before


@pytest.mark.parametrize("name", ["a b", "x" * 41, "müller"])
def test_a_name_that_hosts_ini_would_refuse_is_refused_first(windows: Windows, name: str) -> None:
    machine = of(windows)
    done = machine.prepare("-Name", name)
    assert done.returncode == 1
    assert "cannot be a template" in " ".join(done.stderr.split())
    assert machine.now == FRESH


def test_a_firewall_that_refuses_is_an_error_with_its_exit_code(windows: Windows) -> None:
    done = of(windows).prepare("-Name", "a", PV_NETSH_EXIT="5")
    assert done.returncode == 1
    assert "exit code 5" in done.stderr
    assert "[template" not in done.stdout


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"next_certificate": ""}, "not in the store"),
        ({"no_classes": ["X509Enrollment.CX509Enrollment"]}, "registriert"),
    ],
)
def test_a_certificate_that_cannot_be_made_ends_it(windows: Windows, changes: Any, words: str) -> None:
    done = of(windows, **changes).prepare("-Name", "a")
    assert done.returncode == 1
    assert words in " ".join(done.stderr.split())
    assert "[template" not in done.stdout


def test_the_script_is_ascii_for_every_code_page() -> None:
    assert SCRIPT.read_bytes().isascii()
