"""A Windows made from a transcript of ``pvhck guest probe``, without editing it."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from pwsh_windows import Windows, make_windows_in

__all__ = ["Replay", "replay_windows"]

_HERE = Path(__file__).parent
_NAMES = "{http://schemas.microsoft.com/powershell/2004/04}"
# What needs more of a Windows than its commands: files by .NET, a raw disk, an event that comes or not.
_NOT_REPLAYED = {"file_facts", "read_file", "read_pattern", "xenstore_watch", "job_status"}


class Replay:
    """A transcript and the Windows that plays it."""

    def __init__(self, windows: Windows, path: Path) -> None:
        self.windows = windows
        self._operations: list[dict[str, Any]] = json.loads(path.read_text(encoding="ascii"))["operations"]
        self.env = windows.env | {"PV_TRANSCRIPT": str(path), "SystemRoot": self._system_root()}
        groups = [
            _output(raw["objects"])
            for raw in self._raw("program")
            if "whoami" in raw["parameters"]["Program"]
        ]
        (windows.folder / "groups").write_text(groups[0] if groups else "", encoding="utf-8")

    def questions(self) -> list[dict[str, Any]]:
        """Operations with the answers that the module must give again."""
        return [one for one in self._operations if one["raw"] and one["op"] not in _NOT_REPLAYED]

    def _system_root(self) -> str:
        """The Windows folder there, as `dump_files` looked for it."""
        paths = [raw["parameters"]["LiteralPath"] for raw in self._raw("Test-Path")]
        found = [path[: -len("/MEMORY.DMP")] for path in paths if path.upper().endswith("MEMORY.DMP")]
        return found[0] if found else r"C:\Windows"

    def _raw(self, command: str) -> list[dict[str, Any]]:
        return [raw for one in self._operations for raw in one["raw"] if raw["command"] == command]


def replay_windows(folder: Path, surface: str, engine: Path, transcript: Path) -> Replay:
    """The stubs of a recorded Windows, fed from a transcript."""
    windows = make_windows_in(folder, surface, engine)
    replay = (_HERE / "pwsh_replay.ps1").read_text(encoding="utf-8")
    with windows.prelude.open("a", encoding="utf-8") as prelude:
        prelude.write(f"\n{replay}")
    return Replay(windows, transcript)


def _output(clixml: str) -> str:
    for element in ET.fromstring(clixml).iter(f"{_NAMES}S"):
        if element.get("N") == "Output":
            return re.sub(r"_x([0-9A-F]{4})_", lambda match: chr(int(match[1], 16)), element.text or "")
    raise AssertionError("a program's answer has no Output")
