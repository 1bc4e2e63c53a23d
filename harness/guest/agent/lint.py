"""The lint for every PowerShell file we ship: ``python -m harness.guest.agent.lint [FILE...]``.

On the real engine, for Windows PowerShell 5.1: no finding of PSScriptAnalyzer's default
rules without a reason beside it, none of its compatibility rules at all, and no command
or program that neither the files nor the recorded Windows systems know (which
PSScriptAnalyzer does not look for). Ends with 0 without findings, 1 with some, 2 when
there is no engine.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.guest.agent import FRAGMENTS, module_text
from harness.guest.agent.engine import find_engine
from harness.guest.agent.surfaces import Surface, load_surfaces

__all__ = ["Finding", "lint_files", "lint_shipped"]

_HERE = Path(__file__).parent
_PACKAGE = _HERE.parents[1]
_LINTER = _HERE / "lint.ps1"
_PROGRAM = re.compile(r"(?<![\w\\./-])([A-Za-z][\w-]*\.exe)\b", re.IGNORECASE)
# The linter itself runs on the engine, with PSScriptAnalyzer, never in a guest.
_LINTERS_OWN = "invoke-scriptanalyzer"
_TIMEOUT_S = 300


@dataclass(frozen=True)
class Finding:
    """What is wrong where."""

    file: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.message}"


@dataclass(frozen=True)
class _Said:
    """A line of what ``lint.ps1`` says: a finding, or a name from the syntax tree."""

    kind: str
    file: str
    line: int
    name: str
    text: str


def lint_shipped(engine: Path) -> list[Finding]:
    """Findings in all files the package ships; those of the module by fragment and line there."""
    fragments = {_HERE / name for name in FRAGMENTS}
    files = [path for path in sorted(_PACKAGE.rglob("*.ps*1")) if path not in fragments]
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder) / "PvHarness.psm1"
        module.write_text(module_text(), encoding="ascii")
        findings = lint_files(engine, [module, *files])
    return [_in_fragment(finding) if finding.file == str(module) else finding for finding in findings]


def lint_files(engine: Path, files: Sequence[Path]) -> list[Finding]:
    """Findings in files, each of which stands for itself.

    Raises:
        RuntimeError: the engine or PSScriptAnalyzer did not run.
    """
    said = _run(engine, files)
    return sorted(
        [*_analyzer_findings(said), *_bad_suppressions(said), *_unknown_names(said, load_surfaces())],
        key=lambda finding: (finding.file, finding.line, finding.rule),
    )


def _run(engine: Path, files: Sequence[Path]) -> list[_Said]:
    names = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
    done = subprocess.run(
        [str(engine), "-NoProfile", "-NonInteractive", "-Command", f"& '{_LINTER}' -Path {names}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    if done.returncode != 0 or done.stderr.strip():
        raise RuntimeError(f"the lint did not run: {done.stderr.strip() or done.stdout.strip()}")
    return [_Said(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]


def _analyzer_findings(said: Iterable[_Said]) -> list[Finding]:
    return [Finding(one.file, one.line, one.name, one.text) for one in said if one.kind == "finding"]


def _bad_suppressions(said: Iterable[_Said]) -> list[Finding]:
    findings = []
    for one in said:
        if one.kind != "suppression":
            continue
        if one.name.startswith("PSUseCompatible"):
            findings.append(Finding(one.file, one.line, one.name, "compatibility is not suppressed"))
        elif not one.text.strip():
            findings.append(Finding(one.file, one.line, one.name, "is suppressed without a Justification"))
    return findings


def _unknown_names(said: Sequence[_Said], surfaces: Sequence[Surface]) -> list[Finding]:
    functions = {one.name.lower() for one in said if one.kind == "function"}
    commands = {(one.file, one.line, one.name) for one in said if one.kind == "command"}
    findings = []
    for one in said:
        if one.kind == "command":
            name = one.name.lower()
            ours = name in functions or (one.file == str(_LINTER) and name == _LINTERS_OWN)
            unknown = [] if ours or any(surface.knows(name) for surface in surfaces) else [one.name]
        elif one.kind == "text" and (one.file, one.line, one.name) not in commands:
            named = {match.lower() for match in _PROGRAM.findall(one.name)}
            unknown = sorted(name for name in named if not all(surface.knows(name) for surface in surfaces))
        else:
            continue
        findings += [
            Finding(
                one.file,
                one.line,
                "UnknownCommand",
                f"{name} is known to no recorded Windows and not to the module",
            )
            for name in unknown
        ]
    return findings


def _in_fragment(finding: Finding) -> Finding:
    line = finding.line
    for name in FRAGMENTS:
        length = (_HERE / name).read_text(encoding="ascii").count(
            "\n"
        ) + 1  # fragments are joined by a line end
        if line <= length:
            return Finding(str(_HERE / name), line, finding.rule, finding.message)
        line -= length
    return Finding("the table of operations", line, finding.rule, finding.message)


def _main(arguments: Sequence[str]) -> int:
    engine = find_engine()
    if engine is None:
        sys.stderr.write("no PowerShell engine: install pwsh with PSScriptAnalyzer\n")
        return 2
    findings = lint_files(engine, [Path(name) for name in arguments]) if arguments else lint_shipped(engine)
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
