"""A recorded Windows in a folder of its own: stubs of its commands and programs, a guest's state."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pwsh_rows import windows_rows
from pwsh_state import GuestState
from pwsh_stubs import stub_text

from harness.guest.agent.surfaces import Surface, load_surfaces

__all__ = ["SURFACES", "Windows", "make_windows_in"]

_HERE = Path(__file__).parent
_LACKING = ("Get-WindowsDriver", "Set-NetAdapterAdvancedProperty")
SURFACES = ("server2016", "server2019", "windows10-1809", "windows7")

# What Windows' programs do here: note their arguments, answer by exit code.
_PROGRAMS = {
    "bcdedit.exe": "exit ${PV_BCDEDIT_EXIT:-0}",
    "shutdown.exe": "exit ${PV_SHUTDOWN_EXIT:-0}",
    "pnputil.exe": "echo 'Treiberpaket wurde hinzugefügt'; exit 3",
    "whoami.exe": 'cat "$PV_GROUPS"',
    # it ends before what it kills does, as on Windows: the more so with the file `late` there
    "taskkill.exe": 'if [ -e "$PV_LATE" ]; then (sleep 0.3; kill -9 "-$4") >/dev/null 2>&1 & '
    'else kill -9 "-$4"; fi',
}


@dataclass(frozen=True)
class Windows:
    """A recorded Windows with stubs for its commands, in a folder of its own."""

    surface: str
    folder: Path
    prelude: Path
    engine: Path

    @property
    def old(self) -> bool:
        return self.surface == "windows7"

    @property
    def log(self) -> list[Any]:
        """What was changed, and the calls of programs."""
        path = self.folder / "log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def env(self) -> dict[str, str]:
        return {
            "PV_STATE": str(self.folder / "state.json"),
            "PV_LOG": str(self.folder / "log"),
            "PV_CALLS": str(self.folder / "calls"),
            "PV_GROUPS": str(self.folder / "groups"),
            "PV_LATE": str(self.folder / "late"),
            "PV_DISKS": str(self.folder / "disks"),
            "PV_ENGINE": str(self.engine),
            "ProgramData": str(self.folder / "ProgramData"),
            "SystemRoot": str(self.folder / "Windows"),
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def put(self, state: GuestState, **more: Any) -> GuestState:
        """Make the guest look like a state; gives the state with the engine's own version."""
        (self.folder / "log").unlink(missing_ok=True)
        (self.folder / "calls").unlink(missing_ok=True)
        rows = windows_rows(state, old=self.old) | more
        path, text = self.folder / "state.json", json.dumps(rows)
        if not path.exists() or path.read_text() != text:  # the mocks read it anew when it was written
            path.write_text(text)
        level = "S-1-16-12288" if state.security.full_token else "S-1-16-8192"
        (self.folder / "groups").write_text(
            f'"Verbindliche Beschriftung","Bezeichnung","{level}","Aktiviert"\n'
        )
        self._write_infs(state)
        return state

    def _write_infs(self, state: GuestState) -> None:
        for package in state.packages:
            provider = package.provider.replace('"', '""')
            text = (
                f"; {package.original} [Version]\r\n[Version]\r\nClass={package.device_class}\r\n"
                f"Provider=%Vendor% ; who\r\nDriverVer = 01/02/2026,{package.version}\r\n"
                f'[Strings]\r\nVendor="{provider}"\r\n'
            )
            store = self.folder / "Windows/System32/DriverStore/FileRepository" / package.original
            for path in (self.folder / "Windows/INF" / package.published, store / package.original):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="")
        (self.folder / "Windows/INF").mkdir(parents=True, exist_ok=True)
        (self.folder / "Windows/System32/DriverStore/FileRepository").mkdir(parents=True, exist_ok=True)
        for path in (self.folder / "Windows/INF").iterdir():
            if path.name not in {package.published for package in state.packages}:
                path.unlink()


def _surface(name: str) -> Surface:
    known = {surface.name: surface for surface in load_surfaces()}
    if name in known:
        return known[name]
    # Windows 7 was not recorded: Server 2012 R2 without what came after Windows 7
    base = known["server2012r2"]
    return dataclasses.replace(
        base, name=name, commands={key: value for key, value in base.commands.items() if key not in _LACKING}
    )


def make_windows_in(folder: Path, name: str, engine: Path) -> Windows:
    """One of ``SURFACES``, ready for a process to be started on it."""
    prelude = folder / "prelude.ps1"
    mocks = (_HERE / "pwsh_mocks.ps1").read_text()
    prelude.write_text(f"{stub_text(_surface(name))}\n{mocks}", encoding="utf-8-sig")
    (folder / "bin").mkdir()
    (folder / "disks").mkdir()
    for program, does in _PROGRAMS.items():
        path = folder / "bin" / program
        path.write_text(f'#!/bin/sh\necho "{program} $*" >>"$PV_CALLS"\n{does}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return Windows(name, folder, prelude, engine)
