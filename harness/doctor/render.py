"""Checks as lines for people, while they come."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from harness.doctor.check import Check, State, worst

__all__ = ["exit_code", "render"]

_STYLES = {State.OK: "green", State.WARN: "yellow", State.FAIL: "bold red", State.SKIPPED: "dim"}
_NAME_WIDTH = 18


def render(checks: Iterable[Check], console: Console) -> State:
    """Print each check as it is made, grouped by subject; gives the worst state."""
    seen: list[Check] = []
    for check in checks:
        if not seen or seen[-1].subject != check.subject:
            console.print(Text(check.subject, style="bold"))
        line = Text("  ")
        line.append(f"{check.state.value:<8}", style=_STYLES[check.state])
        line.append(f"{check.name:<{_NAME_WIDTH}} {check.found}")
        console.print(line, soft_wrap=True)
        if check.mend and check.state is not State.OK:
            console.print(Text(f"{'':10}-> {check.mend}"), soft_wrap=True)
        seen.append(check)
    return worst(seen)


def exit_code(state: State) -> int:
    """0 when tests can run, 1 when something has to be mended first."""
    return 1 if state is State.FAIL else 0
