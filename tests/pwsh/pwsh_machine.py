"""A Windows for scripts that prepare an image: registry, WinRM, services, certificates, kept in a file."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pwsh_state import GOOD, GuestState
from pwsh_windows import Windows

import harness.guest

__all__ = [
    "CONTROL_KEY",
    "CRASH_KEY",
    "FRESH",
    "MOCKS",
    "NEW",
    "SCRIPT",
    "SYSTEM_KEY",
    "WINRM_KEY",
    "Machine",
    "certificate",
    "of",
    "seven",
]

SCRIPT = Path(harness.guest.__file__).with_name("prepare.ps1")
MOCKS = Path(__file__).with_name("prepare_mocks.ps1")
SYSTEM_KEY = "SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Policies\\System"
CRASH_KEY = "SYSTEM\\CurrentControlSet\\Control\\CrashControl"
WINRM_KEY = "SYSTEM\\CurrentControlSet\\Services\\WinRM"
CONTROL_KEY = "SYSTEM\\CurrentControlSet\\Control"


def certificate(name: str, days: int) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - dt.timedelta(1)).not_valid_after(now + dt.timedelta(days))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


NEW = certificate("pvhck", 3650)
FRESH: dict[str, Any] = {
    "registry": {
        SYSTEM_KEY: {"EnableLUA": 1},
        CRASH_KEY: {"AutoReboot": 1},
        WINRM_KEY: {"Start": 3, "DelayedAutostart": 1},
        CONTROL_KEY: {"PEFirmwareType": 2},
    },
    "listeners": [{"Address": "*", "Transport": "HTTP", "Port": "5985", "CertificateThumbprint": ""}],
    "winrs": {"MaxShellsPerUser": "30", "MaxMemoryPerShellMB": "1024"},
    "certificates": [],
    "next_certificate": base64.b64encode(NEW).decode(),
    "services": {},
    "started": [],
    "no_classes": [],
}


class Machine:
    """A Windows for prepare.ps1 to work on; it keeps what was done to it."""

    def __init__(self, windows: Windows, state: GuestState = GOOD, **changes: Any) -> None:
        self.windows = windows
        windows.put(state)
        self._file = windows.folder / "machine.json"
        self._file.write_text(json.dumps(FRESH | changes))
        netsh = windows.folder / "bin" / "netsh.exe"
        netsh.write_text('#!/bin/sh\necho "netsh.exe $*" >>"$PV_CALLS"\nexit ${PV_NETSH_EXIT:-0}\n')
        netsh.chmod(0o755)

    @property
    def now(self) -> dict[str, Any]:
        now: dict[str, Any] = json.loads(self._file.read_text())
        return now

    @property
    def place(self) -> dict[str, str]:
        """Variables that lead the mocks here."""
        return {"PV_MACHINE": str(self._file), "COMPUTERNAME": "WIN-PV", "USERNAME": "tester"}

    def prepare(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        words = " ".join(f"'{word}'" if not word.startswith("-") else word for word in arguments)
        script = f". '{self.windows.prelude}'; . '{MOCKS}'; & '{SCRIPT}' {words}"
        (self.windows.folder / "log").unlink(missing_ok=True)
        (self.windows.folder / "calls").unlink(missing_ok=True)
        return subprocess.run(
            [str(self.windows.engine), "-NoProfile", "-NonInteractive", "-Command", script],
            env=dict(os.environ) | self.windows.env | self.place | env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def seven(state: GuestState) -> GuestState:
    system = dataclasses.replace(
        state.system,
        os_name="Microsoft Windows 7 Профессиональная ",
        os_version="6.1.7601",
        architecture="x86",
    )
    return dataclasses.replace(state, system=system)


def of(windows: Windows, **changes: Any) -> Machine:
    return Machine(windows, seven(GOOD) if windows.old else GOOD, **changes)
