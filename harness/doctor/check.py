"""One thing that was looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from harness.errors import HarnessError

__all__ = ["Check", "State", "failed", "worst"]


class State(StrEnum):
    """How a thing was found."""

    OK = "ok"
    WARN = "warn"  # tests run, some of them otherwise than one might think
    FAIL = "fail"  # tests cannot run
    SKIPPED = "skipped"  # could not be looked at, or means nothing here


@dataclass(frozen=True)
class Check:
    """One line: a host or template, the thing, how it was found, and what mends it (best a command)."""

    subject: str
    name: str
    state: State
    found: str
    mend: str = ""


def failed(subject: str, name: str, error: HarnessError) -> Check:
    """A thing that could not be had: the error's words and mend."""
    found = error.found.removeprefix(f"host {subject}: ").removeprefix(f"template {subject}: ")
    return Check(subject, name, State.FAIL, found, error.mend)


def worst(checks: Iterable[Check]) -> State:
    """The worst state among checks; what was skipped counts for nothing."""
    order = (State.OK, State.WARN, State.FAIL)
    found = (order.index(check.state) for check in checks if check.state is not State.SKIPPED)
    return order[max(found, default=0)]
