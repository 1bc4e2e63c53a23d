"""The terminal: what is said, and what a guest's text must not do to it."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from results_examples import BUILD, HOSTILE, attempt, facts_of, write_run
from rich.console import Console

from harness.model import FailureKind, GuestKind, Outcome
from harness.report import Progress, summary
from harness.report.words import Tone, answer, duration, figure, label_of, one_line, percent, size
from harness.results import RunEnd, load_results


def console(*, terminal: bool = False) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=110, force_terminal=terminal, highlight=False), out


def said(reports: Path, **changes: object) -> str:
    out, text = console()
    summary(load_results(write_run(reports, **changes)), Path("reports/run-1/index.html"), out)
    return text.getvalue()


def test_the_summary_names_sheets_areas_failures_skips_answer_and_page(tmp_path: Path) -> None:
    text = said(tmp_path)
    for piece in (
        "XENVBD",
        "problem code 10 (win10-x86 on xen-b)",
        "interface",
        "failed: crash  test_write_under_load  win10-x86 (simulated) on xen-b",
        "bugcheck 0x000000D1",
        "see evidence/write_under_load/",
        "skipped 1 test: no iperf3 for x86 windows guests",
        "3 of 26 tests failed on simulated guests.",
        "Report: reports/run-1/index.html",
    ):
        assert piece in text


@pytest.mark.parametrize("kind", [GuestKind.SIMULATED, GuestKind.STAND_IN])
def test_guests_that_are_not_windows_are_named_so_at_the_end(tmp_path: Path, kind: GuestKind) -> None:
    text = said(tmp_path, kind=kind, failing=False)
    assert f"tests passed on {kind} guests." in text.replace("\n", " ")
    assert f"Guests were {kind}: this is no result for Windows." in text


def test_a_result_for_windows_carries_no_such_warning(tmp_path: Path) -> None:
    text = said(tmp_path, kind=GuestKind.WINDOWS, build=BUILD, failing=False)
    assert "no result for Windows" not in text
    assert "20 tests passed on Windows guests." in text


def test_hostile_text_neither_steers_the_terminal_nor_is_taken_for_markup(tmp_path: Path) -> None:
    out, text = console()
    folder = write_run(tmp_path, hostile=f"[bold]{HOSTILE}[/nonsense]")
    summary(load_results(folder), None, out)
    assert "[bold]<script>" in text.getvalue()
    assert "[/nonsense]" in text.getvalue()
    assert not {"\x1b", "\u202e"} & set(text.getvalue())


def test_progress_is_a_plain_line_for_each_attempt_in_a_pipe() -> None:
    out, text = console()
    test = facts_of("test_a")
    with Progress(out) as progress:
        progress.collected([test], "smoke")
        progress.test_started(test.id, 1)
        progress.attempt_finished(test.id, attempt(Outcome.BROKEN, reason="host xen-a: gone"))
        progress.test_started(test.id, 2)
        failed = attempt(Outcome.FAILED, 2, kind=FailureKind.HANG, reason="silent", host="xen-b")
        progress.attempt_finished(test.id, failed)
    assert text.getvalue().splitlines() == [
        "1 test, profile smoke, guests: simulated",
        "[1/1] ! broken            power     test_a win2019-x64 (simulated)  xen-a 12.5 s",
        "      host xen-a: gone",
        "[1/1] ✗ failed: hang      power     test_a win2019-x64 (simulated)  xen-b 12.5 s, second attempt",
        "      silent",
    ]


def test_progress_on_a_terminal_shows_what_is_under_way_and_takes_it_back() -> None:
    out, text = console(terminal=True)
    progress = Progress(out)
    progress.collected([facts_of("test_[bold]a")], "smoke")
    progress.test_started(facts_of("test_[bold]a").id, 1)
    progress.end()
    assert "test_[bold]a" in text.getvalue()
    erase_line, show_cursor = "\x1b[2K", "\x1b[?25h"
    last = text.getvalue().rpartition("test_[bold]a")[2]
    assert erase_line in last
    assert show_cursor in last


@pytest.mark.parametrize(
    ("changes", "tone", "sentence"),
    [
        ({"failing": True}, Tone.BAD, "3 of 26 tests failed on simulated guests."),
        ({"failing": False}, Tone.GOOD, "All 20 tests passed on simulated guests."),
        ({"failing": False, "end": RunEnd.INTERRUPTED}, Tone.BROKEN, "Interrupted with 22 of 22 tests done"),
        (
            {"failing": False, "end": None},
            Tone.BROKEN,
            "Killed with 22 of 22 tests done on simulated guests.",
        ),
        ({"failing": True, "end": None}, Tone.BAD, "Killed with 28 of 28 tests done on simulated guests."),
    ],
)
def test_the_answer_is_one_sentence_and_a_colour(
    tmp_path: Path, changes: dict[str, object], tone: Tone, sentence: str
) -> None:
    found = answer(load_results(write_run(tmp_path, **changes)))
    assert found.tone is tone
    assert found.sentence.startswith(sentence)


def test_a_label_leaves_out_file_and_template_and_keeps_parameters() -> None:
    assert label_of(facts_of("test_a")) == "test_a"
    for inside in ("4 KiB-win2019-x64", "win2019-x64-4 KiB"):
        assert label_of(replace(facts_of("x"), id=f"s/t.py::test_a[{inside}]")) == "test_a[4 KiB]"


def test_numbers_are_said_as_people_read_them() -> None:
    assert [figure(number) for number in (0, 0.012345, 941.25, 21000.4)] == [
        "0",
        "0.01235",
        "941.2",
        "21,000",
    ]
    assert [duration(seconds) for seconds in (0.04, 59.94, 61, 3725)] == [
        "0.0 s",
        "59.9 s",
        "1 min 01 s",
        "1 h 02 min",
    ]
    assert [percent(value) for value in (3.14, -2.0, None)] == ["+3.1 %", "-2.0 %", "from zero"]
    assert [size(number) for number in (12, 2048, 3 << 20)] == ["12 bytes", "2 KiB", "3.0 MiB"]


def test_a_reason_becomes_one_line_of_bounded_length() -> None:
    assert one_line("a\n  b\x07") == "a b\\x07"
    assert len(one_line("x" * 1000)) == 200


def test_a_reader_that_went_away_does_not_end_the_run() -> None:
    script = (
        "from harness.report import Progress\n"
        "import sys\n"
        "progress = Progress()\n"
        "for number in range(5000): progress.message(f'line {number}')\n"
        "sys.stderr.write('went on to the end')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.readline()
        run.stdout.close()

        assert run.stderr.read() == "went on to the end"
        assert run.wait(30) == 0
