"""Reports hold texts of guests and hosts: whatever they are, the files stay what they are."""

from __future__ import annotations

import io
import tempfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

from hostile_texts import torn_text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from results_examples import attempt, facts_of, guest, run_facts
from rich.console import Console

from harness.model import FailureKind, Measurement, Outcome
from harness.report.html import html_page
from harness.report.images import as_png
from harness.report.junit import junit_xml
from harness.report.terminal import Progress, summary
from harness.report.words import duration, figure, one_line, plain_text, time_of
from harness.results import RunResults
from harness.results.recorder import RunRecorder

TEXT = torn_text
quick = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def page_of(reason: str, name: str) -> tuple[RunResults, str]:
    """A run whose only test failed for ``reason``, and its page."""
    test = replace(
        facts_of("test_it", guest=replace(guest(), os=name)), id=f"a/test_a.py::test_{name}[{name}]"
    )
    with tempfile.TemporaryDirectory() as folder:
        run = RunRecorder(Path(folder), run_facts(), str)
        run.collected([test])
        measured = [Measurement(name or "m", 1.0, name, "lower", {name: name})]
        failed = attempt(Outcome.FAILED, kind=FailureKind.CRASH, reason=reason)
        run.attempt_finished(test.id, failed, measured)
        run.warning(reason)
        return run.finish(), html_page(run.folder)


class Page(HTMLParser):
    """What a browser would make of a page: its elements, and whether one of them runs something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attributes if name.startswith("on")]


@quick
@given(TEXT | st.just("<script>alert(1)</script>"), TEXT | st.just("x\" onload='y"))
def test_texts_of_guests_add_no_element_and_no_script_to_the_page(reason: str, name: str) -> None:
    _, page = page_of(reason, name)
    parsed = Page()
    parsed.feed(page)
    assert "script" not in parsed.tags
    assert parsed.handlers == []
    assert page.encode().decode() == page
    assert "\x1b" not in page


@quick
@given(TEXT, TEXT)
def test_junit_is_xml_with_the_same_counts(reason: str, name: str) -> None:
    results, _ = page_of(reason, name)
    root = ET.fromstring(junit_xml(results).encode())
    assert (root.get("tests"), root.get("failures")) == ("1", "1")
    failure = root.find(".//failure")
    assert failure is not None
    assert (failure.text or "") == plain_text(reason)


@quick
@given(TEXT, TEXT)
def test_a_terminal_is_not_steered_by_texts(reason: str, name: str) -> None:
    results, _ = page_of(reason, name)
    out = io.StringIO()
    console = Console(file=out, width=100, color_system=None, highlight=False)
    with Progress(console) as progress:
        progress.message(reason)
        progress.attempt_finished(name, attempt(Outcome.FAILED, reason=reason, host=name))
    summary(results, None, console)
    text = out.getvalue()
    assert "\x1b" not in text
    assert text.encode().decode() == text


@given(TEXT, st.integers(1, 50))
def test_a_line_is_one_and_no_longer_than_asked(text: str, most: int) -> None:
    line = one_line(text, most)
    assert len(line) <= most
    assert len(line.splitlines()) <= 1
    assert plain_text(plain_text(text)) == plain_text(text)


@given(st.floats(0, 1e12), TEXT, st.binary(max_size=60))
def test_figures_times_and_pictures_are_shown_or_left_out(number: float, text: str, data: bytes) -> None:
    assert duration(number)
    assert figure(number)
    assert time_of(text) is None or len(text) == 20
    assert as_png(b"P6" + data) is None or data
