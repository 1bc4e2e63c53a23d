"""A run on the terminal: a line for each test while it goes on, a summary at its end.

On a terminal there are colours and a line that says what is under way; in a pipe or a CI log the
same lines stand plain. Whatever text comes from a guest or a host loses its control characters.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Self

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from harness.model import GuestKind, Outcome
from harness.report.words import (
    GLYPHS,
    Tone,
    alike,
    answer,
    build_name,
    crashed_alike,
    duration,
    guest_name,
    label_of,
    many,
    one_line,
    unreal_kinds,
)
from harness.results import AttemptResult, DriverSheet, RunResults, SheetVerdict, TestFacts, TestResult

__all__ = ["Progress", "summary"]

_STYLES = {
    Outcome.PASSED: "green",
    Outcome.FAILED: "bold red",
    Outcome.BROKEN: "yellow",
    Outcome.SKIPPED: "bright_black",
    Outcome.EXPECTED: "blue",
}
_TONES = {Tone.GOOD: "bold green", Tone.BAD: "bold red", Tone.BROKEN: "bold yellow", Tone.NEUTRAL: "bold"}
_SHEETS = {
    SheetVerdict.PASSED: "green",
    SheetVerdict.FAILED: "bold red",
    SheetVerdict.BROKEN: "yellow",
    SheetVerdict.EXPECTED: "blue",
    SheetVerdict.NOT_JUDGED: "bright_black",
}
_UNREAL = "magenta"
_SHOWN = (Outcome.PASSED, Outcome.FAILED, Outcome.BROKEN, Outcome.EXPECTED, Outcome.SKIPPED)
_MOST_SKIPS = 8
_MOST_FAILURES = 20
_MOST_OF_A_REASON = 500  # the mend stands at its end


class Progress:
    """Says what a run does while it does it. Use it as a context, or call ``end`` at the end.

    Tests are called by their ids; told of them by ``collected``, it counts them and names their guests.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or _console()
        self._lock = threading.Lock()
        self._status: Status | None = None
        self._tests: dict[str, TestFacts] = {}
        self._done = 0
        self._under_way: dict[str, int] = {}  # attempts, by test

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Take the live line away; nothing is under way any more."""
        self._under_way.clear()
        self._show()

    def collected(self, tests: Iterable[TestFacts], profile: str) -> None:
        """The run begins with these tests."""
        self._tests = {test.id: test for test in tests}
        kinds = sorted({test.guest.kind.value for test in self._tests.values() if test.guest})
        guests = ", ".join(kinds) or "none"
        self.message(f"{many(len(self._tests), 'test')}, profile {profile}, guests: {guests}")

    def test_started(self, test_id: str, attempt: int) -> None:
        """An attempt begins; shown only where the line can be taken back."""
        self._under_way[test_id] = attempt
        self._show()

    def attempt_finished(self, test_id: str, attempt: AttemptResult) -> None:
        """An attempt ended, or the test was skipped; a second attempt does not count as one more test."""
        self._under_way.pop(test_id, None)
        self._show()
        self._done += attempt.number == 1
        total = str(len(self._tests) or "?")
        line = Text(f"[{self._done:>{len(total)}}/{total}] ", style="bright_black")
        what = f"{attempt.outcome}: {attempt.kind}" if attempt.kind else attempt.outcome.value
        line.append(f"{GLYPHS[attempt.outcome]} {what:<17} ", style=_STYLES[attempt.outcome])
        line.append(self._name(test_id))
        if attempt.outcome is not Outcome.SKIPPED:
            again = ", second attempt" if attempt.number > 1 else ""
            line.append(f"  {one_line(attempt.host)} {duration(attempt.duration_s)}{again}", "bright_black")
        if attempt.reason:
            line.append(f"\n      {one_line(attempt.reason)}", style=_STYLES[attempt.outcome])
        self._print(line)

    def message(self, text: str) -> None:
        """A line for people."""
        self._print(Text(one_line(text, 500)))

    def _name(self, test_id: str) -> str:
        test = self._tests.get(test_id)
        return (
            f"{test.area:<10}{one_line(f'{label_of(test)}  {_guest(test)}')}" if test else one_line(test_id)
        )

    def _print(self, line: Text) -> None:
        with self._lock:
            self._console.print(line, soft_wrap=True)

    def _show(self) -> None:
        """The live line: what is under way, the last begun by its name."""
        with self._lock:
            if self._status is not None:
                self._status.stop()
                self._status = None
            if self._under_way and self._console.is_terminal:
                test_id, attempt = list(self._under_way.items())[-1]
                again = ", second attempt" if attempt > 1 else ""
                others = len(self._under_way) - 1
                beside = f"  and {others} more under way" if others else ""
                # As Text: markup in plain strings would be obeyed.
                self._status = self._console.status(Text(f"{self._name(test_id)}{again}{beside}"))
                self._status.start()


def summary(results: RunResults, page: Path | None = None, console: Console | None = None) -> None:
    """The end of a run: sheets, areas, failures, skips, the answer, and where the page is."""
    out = console or _console()
    out.print()
    out.print(_sheets(results))
    out.print(_areas(results))
    _print_failures(results, out)
    _print_crashes(results, out)
    _print_skips(results, out)
    said = answer(results)
    out.print(Text(f"\n{said.sentence}", style=_TONES[said.tone]), soft_wrap=True)
    if said.detail:
        out.print(Text(said.detail), soft_wrap=True)
    for kind in unreal_kinds(results):
        out.print(Text(f"Guests were {kind}: this is no result for Windows.", style=_UNREAL), soft_wrap=True)
    if page is not None:
        out.print(Text(f"Report: {page}"), soft_wrap=True)


def _console() -> Console:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="replace"
        )  # a terminal in Latin-1 gets a question mark, not a traceback
    return _PatientConsole(highlight=False)


class _PatientConsole(Console):
    """Goes on in silence when nobody reads any more: a run does not end because its reader went away."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        # else the interpreter complains when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sheets(results: RunResults) -> Table:
    table = Table(
        title=Text(f"Drivers: {one_line(build_name(results.run.driver_build))}"), title_justify="left"
    )
    for column in ("driver", "verdict", "version", "state", "tests", "guests"):
        table.add_column(column)
    for sheet in results.verdict.drivers:
        table.add_row(
            sheet.name.upper(),
            Text(sheet.verdict.value, style=_SHEETS[sheet.verdict]),
            Text(one_line(sheet.version or "unknown")),
            Text(one_line(sheet.note or sheet.state, 80)),
            str(len(sheet.tests)),
            _kinds(sheet),
        )
    return table


def _kinds(sheet: DriverSheet) -> Text:
    words = ", ".join(sheet.guests)
    return Text(words, style="" if sheet.guests == (GuestKind.WINDOWS,) else _UNREAL)


def _areas(results: RunResults) -> Table:
    table = Table(title="Areas", title_justify="left")
    table.add_column("area")
    for outcome in _SHOWN:
        table.add_column(outcome.value, justify="right")
    for area in dict.fromkeys(test.area for test in results.tests):
        mine = [test.outcome for test in results.tests if test.area is area]
        cells = []
        for outcome in _SHOWN:
            number = mine.count(outcome)
            cells.append(Text(str(number) if number else "·", style=_STYLES[outcome] if number else "dim"))
        table.add_row(area.value, *cells)
    return table


def _print_failures(results: RunResults, out: Console) -> None:
    failed = [test for test in results.tests if test.outcome is Outcome.FAILED]
    broken = [test for test in results.tests if test.outcome is Outcome.BROKEN]
    both = [*failed, *broken]
    for test in both[:_MOST_FAILURES]:
        out.print(_failure(test), soft_wrap=True)
    if len(both) > _MOST_FAILURES:
        out.print(Text(f"and {len(both) - _MOST_FAILURES} more: see the report"))


def _print_crashes(results: RunResults, out: Console) -> None:
    """What brought down more than one test; of the others their reasons tell."""
    for signature, tests in alike(results):
        if len(tests) > 1:
            line = Text(f"{GLYPHS[Outcome.FAILED]} ", style=_STYLES[Outcome.FAILED])
            out.print(line.append(one_line(crashed_alike(signature, tests))), soft_wrap=True)


def _failure(test: TestResult) -> Text:
    what = f"{test.outcome}: {test.kind}" if test.kind else test.outcome.value
    line = Text(f"{GLYPHS[test.outcome]} {what}  ", style=_STYLES[test.outcome])
    where = f" on {test.host}" if test.host else ""
    line.append(f"{one_line(label_of(test))}  {_guest(test)}{where}\n")
    line.append(f"      {one_line(test.reason, _MOST_OF_A_REASON)}")
    for folder in dict.fromkeys(str(PurePosixPath(path).parent) for path in test.evidence):
        line.append(f"\n      see {one_line(folder)}/", style="bright_black")
    return line


def _print_skips(results: RunResults, out: Console) -> None:
    reasons: dict[str, int] = {}
    for test in results.tests:
        if test.outcome is Outcome.SKIPPED:
            reasons[test.reason] = reasons.get(test.reason, 0) + 1
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    for reason, number in ordered[:_MOST_SKIPS]:
        line = Text(f"{GLYPHS[Outcome.SKIPPED]} skipped {many(number, 'test')}: ", style="bright_black")
        out.print(line.append(one_line(reason)), soft_wrap=True)
    if len(ordered) > _MOST_SKIPS:
        out.print(Text(f"  and for {many(len(ordered) - _MOST_SKIPS, 'other reason')}: see the report"))


def _guest(test: TestFacts | TestResult) -> str:
    return guest_name(test.guest) if test.guest else "no guest"
