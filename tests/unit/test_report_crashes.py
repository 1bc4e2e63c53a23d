"""Crashes alike are counted, named once, and cannot carry anything into a terminal or a page."""

from __future__ import annotations

import io
import json
from pathlib import Path

from results_examples import HOSTILE, attempt, facts_of, run_facts, ticking
from rich.console import Console

from harness.model import FailureKind, Outcome
from harness.report import summary
from harness.report.html import html_page
from harness.report.words import alike
from harness.results import RunRecorder, load_results

VIF, VBD = "0xD1 in xenvif.sys", "0x7E in xenvbd.sys"


def written(reports: Path, signatures: dict[str, str], *, outcome: Outcome = Outcome.FAILED) -> Path:
    """A run whose tests failed by these crashes."""
    recorder = RunRecorder(reports, run_facts("run-1"), str, clock=ticking())
    facts = {name: facts_of(name) for name in signatures}
    recorder.collected(facts.values())
    for name, signature in signatures.items():
        recorder.test_started(facts[name].id, 1)
        kind = FailureKind.CRASH if outcome is Outcome.FAILED else None
        recorder.attempt_finished(
            facts[name].id, attempt(outcome, kind=kind, reason="crashed", signature=signature)
        )
    recorder.finish()
    return recorder.folder


def shown(folder: Path) -> str:
    text = io.StringIO()
    summary(load_results(folder), None, Console(file=text, width=110, highlight=False))
    return text.getvalue()


THREE = {"test_a": VIF, "test_b": VBD, "test_c": VIF, "test_d": VIF, "test_e": ""}


def test_tests_are_grouped_by_what_brought_them_down_the_most_frequent_first(tmp_path: Path) -> None:
    groups = alike(load_results(written(tmp_path, THREE)))

    assert [(name, len(tests)) for name, tests in groups] == [(VIF, 3), (VBD, 1)]


def test_the_terminal_counts_crashes_alike_and_leaves_single_ones_to_their_reasons(tmp_path: Path) -> None:
    text = shown(written(tmp_path, THREE))

    assert f"3 tests crashed alike: {VIF}" in text
    assert VBD not in text


def test_the_page_names_each_crash_with_its_tests(tmp_path: Path) -> None:
    page = html_page(written(tmp_path, THREE))

    assert f"3 tests crashed alike: {VIF}" in page
    assert f"1 test crashed: {VBD}" in page
    assert f'<dt>crash</dt><dd class="mono">{VIF}</dd>' in page


def test_a_run_without_a_crash_has_no_such_list(tmp_path: Path) -> None:
    folder = written(tmp_path, {"test_a": ""})

    assert 'id="crashes"' not in html_page(folder)
    assert "crashed" not in shown(folder).replace("      crashed", "")


def test_a_broken_test_s_crash_is_nobody_s_failure(tmp_path: Path) -> None:
    assert alike(load_results(written(tmp_path, {"test_a": VIF}, outcome=Outcome.BROKEN))) == ()


def test_results_of_before_say_no_signature_and_are_read(tmp_path: Path) -> None:
    folder = written(tmp_path, {"test_a": VIF})
    path = folder / "results.json"
    fields = json.loads(path.read_text())
    for test in fields["tests"]:
        del test["signature"]
        for one in test["attempts"]:
            del one["signature"]
    path.write_text(json.dumps(fields))

    assert load_results(folder).tests[0].signature == ""


def test_a_hostile_signature_stays_text(tmp_path: Path) -> None:
    folder = written(tmp_path, {"test_a": HOSTILE, "test_b": HOSTILE})

    assert "<script" not in html_page(folder)
    assert "\x1b" not in shown(folder)
