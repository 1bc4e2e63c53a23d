"""What the contract suites touched and how it ended: the matrix printed at the end of a run."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from harness.guest.channel import GuestChannel
from harness.host.toolstack.protocol import Toolstack
from harness.operations import OPERATIONS

__all__ = ["KINDS", "Recorder", "matrix", "members", "recorded"]

KINDS = ("simulator", "real Xen")

_STORE = "contract-matrix.json"


def members() -> tuple[str, ...]:
    """Everything the matrix has a line for."""
    toolstack = [name for name, _ in inspect.getmembers(Toolstack, inspect.isfunction) if name[0] != "_"]
    channel = [name for name, _ in inspect.getmembers(GuestChannel, inspect.isfunction) if name[0] != "_"]
    return (
        *(f"toolstack.{name}" for name in toolstack),
        *(f"channel.{name}" for name in channel),
        *(f"operation.{name}" for name in OPERATIONS),
    )


@dataclass
class Recorder:
    """Which members were used by which test, and how the tests ended."""

    test: str = ""
    used: dict[str, set[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def note(self, member: str) -> None:
        self.used.setdefault(member, set()).add(self.test)

    def verdicts(self) -> dict[str, str]:
        """``passed``, or why not, for each member."""
        return {member: self._verdict(member) for member in members()}

    def _verdict(self, member: str) -> str:
        tests = self.used.get(member, set())
        if not tests:
            return "not called by any test of this run"
        broken = sorted(test for test in tests if test in self.failed)
        if broken:
            return f"{len(broken)} of {len(tests)} tests failed: {self.failed[broken[0]]}"
        if all(test in self.skipped for test in tests):
            return f"skipped: {self.skipped[min(tests)]}"
        return "passed"


def recorded(target: Any, prefix: str, recorder: Recorder, only: Iterable[str] = ()) -> Any:
    """The same object, with every call of a public method noted."""
    return _Recorded(target, prefix, recorder, frozenset(only))


class _Recorded:
    def __init__(self, target: Any, prefix: str, recorder: Recorder, only: frozenset[str]) -> None:
        self.__dict__.update(_target=target, _prefix=prefix, _recorder=recorder, _only=only)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value) or name.startswith("_") or (self._only and name not in self._only):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            self._recorder.note(f"{self._prefix}.{name}")
            if name == "call":
                self._recorder.note(f"operation.{args[0].name}")
            return value(*args, **kwargs)

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._target, name, value)


def matrix(recorder: Recorder, kind: str, folder: Path) -> Table:
    """The matrix of this run beside the last one on the other lab, whose verdicts are kept in ``folder``."""
    path = folder / _STORE
    known: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}
    known[kind] = recorder.verdicts()
    folder.mkdir(exist_ok=True)
    path.write_text(json.dumps(known, indent=1))
    table = Table("member", *(f"{name}{'' if name == kind else ' (an earlier run)'}" for name in KINDS))
    for member in members():
        table.add_row(member, *(known.get(name, {}).get(member, "not run yet") for name in KINDS))
    return table
