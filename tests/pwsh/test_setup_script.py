"""setup.ps1 runs on the real engine: what it tells the serial port, what it sets, and how it fails."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pwsh_machine import CRASH_KEY, FRESH, MOCKS, NEW, SCRIPT, of
from pwsh_windows import Windows

import harness.image
from harness.image.stages import Heard, Stage, parse_stages

_SETUP = Path(harness.image.__file__).parent / "setup" / "setup.ps1"
_MORE_MOCKS = Path(__file__).with_name("setup_mocks.ps1")
_LOGON = "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Winlogon"
_MEMORY = "SYSTEM\\CurrentControlSet\\Control\\Session Manager\\Memory Management"
_UPDATES = "SOFTWARE\\Policies\\Microsoft\\Windows\\WindowsUpdate\\AU"
_PROGRAMS = ("powercfg.exe", "net.exe", "schtasks.exe", "bcdedit.exe", "shutdown.exe")
_REGISTRY = FRESH["registry"] | {
    _LOGON: {"AutoAdminLogon": "1", "DefaultPassword": "secret", "Shell": "explorer.exe"},
    _MEMORY: {"PagingFiles": ["?:\\pagefile.sys"]},
}


class Setup:
    """One run of setup.ps1 on a fresh Windows."""

    def __init__(self, windows: Windows, *, test_signing: bool = True, **env: str) -> None:
        machine = of(windows, registry=_REGISTRY)
        self.place = windows.folder / "pvhck-setup"
        self.place.mkdir(exist_ok=True)
        for script in (_SETUP, SCRIPT):
            shutil.copy(script, self.place)
        signing = str(test_signing).lower()
        (self.place / "setup.json").write_text(
            f'{{"name": "win-1", "user": "pvhck", "test_signing": {signing}, "pagefile_mib": 4608}}'
        )
        self.unattend = windows.folder / "Windows" / "Panther" / "unattend.xml"
        self.unattend.parent.mkdir(parents=True, exist_ok=True)
        self.unattend.write_text("with a password")
        for program in _PROGRAMS:
            path = windows.folder / "bin" / program
            path.write_text(
                f'#!/bin/sh\necho "{program} $*" >>"$PV_CALLS"\n[ "$PV_BAD" = {program} ] && exit 5\nexit 0\n'
            )
            path.chmod(0o755)
        serial = windows.folder / "serial"
        serial.unlink(missing_ok=True)
        (windows.folder / "calls").unlink(missing_ok=True)
        self.done = self._run(windows, machine.place | {"PV_SERIAL": str(serial)} | env)
        self.text = serial.read_text() if serial.exists() else ""
        self.now: dict[str, Any] = machine.now
        self.calls = windows.calls

    @property
    def heard(self) -> Heard:
        return parse_stages(self.text)

    def _run(self, windows: Windows, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        mocks = f". '{windows.prelude}'; . '{MOCKS}'; . '{_MORE_MOCKS}'"
        script = f"{mocks}; & '{self.place / _SETUP.name}'; exit $LASTEXITCODE"
        return subprocess.run(
            [str(windows.engine), "-NoProfile", "-NonInteractive", "-Command", script],
            env=dict(os.environ) | windows.env | {"SystemDrive": "C:"} | env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module", params=["windows7", "server2019"])
def windows(request: pytest.FixtureRequest, make_windows: Callable[[str], Windows]) -> Windows:
    return make_windows(request.param)


@pytest.fixture(scope="module")
def setup(windows: Windows) -> Setup:
    return Setup(windows)


def test_every_stage_is_told_in_its_order(setup: Setup) -> None:
    assert setup.done.returncode == 0, (setup.done.stderr, setup.text)
    assert [said.stage for said in setup.heard.stages] == [
        Stage.WINRM,
        Stage.SETTINGS,
        Stage.TEST_SIGNING,
        Stage.CLEAN_UP,
        Stage.DONE,
    ]
    assert setup.heard.failure == ""


def test_the_section_that_prepare_prints_goes_to_the_serial_port(setup: Setup) -> None:
    lines = setup.heard.section.splitlines()
    assert "[template win-1]" in lines
    assert "user = pvhck" in lines
    assert f"certificate = sha256:{hashlib.sha256(NEW).hexdigest()}" in lines


def test_a_crash_leaves_a_full_dump_and_an_nmi_makes_one(setup: Setup) -> None:
    crash = setup.now["registry"][CRASH_KEY]
    assert (crash["CrashDumpEnabled"], crash["AlwaysKeepMemoryDump"], crash["NMICrashDump"]) == (1, 1, 1)
    assert setup.now["registry"][_MEMORY]["PagingFiles"] == ["C:\\pagefile.sys 4608 4608"]


def test_windows_neither_sleeps_nor_updates_nor_ends_its_passwords(setup: Setup) -> None:
    assert "powercfg.exe /hibernate off" in setup.calls
    assert "powercfg.exe /change standby-timeout-ac 0" in setup.calls
    assert "net.exe accounts /maxpwage:unlimited" in setup.calls
    assert setup.now["registry"][_UPDATES] == {"NoAutoUpdate": 1}
    assert setup.now["services"]["wuauserv"] == "Disabled"


def test_an_unknown_network_is_private_so_that_clones_are_reached(setup: Setup) -> None:
    (key,) = [key for key in setup.now["registry"] if "NetworkListManager" in key]
    assert key.endswith("0F0000F0C967A3643C3AD745950DA7859209176EF5B87C875FA20DF21951640E807D7C24")
    assert setup.now["registry"][key] == {"Category": 1}


def test_test_signing_is_switched_on_and_the_task_goes(setup: Setup) -> None:
    assert "bcdedit.exe /set {default} testsigning on" in setup.calls
    assert "schtasks.exe /delete /f /tn pvhck-setup" in setup.calls
    assert setup.calls[-1] == "shutdown.exe /s /t 10"


def test_no_password_and_no_script_stays_on_the_disk(setup: Setup) -> None:
    assert setup.now["registry"][_LOGON] == {"Shell": "explorer.exe"}
    assert not setup.unattend.exists()
    assert not setup.place.exists()


def test_without_test_signing_it_is_not_touched(windows: Windows) -> None:
    setup = Setup(windows, test_signing=False)
    assert Stage.TEST_SIGNING not in [said.stage for said in setup.heard.stages]
    assert not any(call.startswith("bcdedit.exe") for call in setup.calls)
    assert setup.heard.last is Stage.DONE


def test_a_program_that_fails_is_told_by_name_and_windows_stays_up(windows: Windows) -> None:
    setup = Setup(windows, PV_BAD="powercfg.exe")
    assert setup.done.returncode == 1
    assert setup.heard.last is Stage.SETTINGS
    assert setup.heard.failure == "powercfg.exe /hibernate off ended with 5"
    assert not any(call.startswith("shutdown.exe") for call in setup.calls)


def test_scripts_are_ascii_for_every_code_page() -> None:
    assert all(path.read_bytes().isascii() for path in _SETUP.parent.iterdir())
