"""index.html: one file, no network, no script."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from pathlib import Path

import jinja2

from harness.model import Outcome
from harness.report.view import Page, page_of
from harness.report.words import GLYPHS, Tone, duration, label_of, many, plain_text
from harness.results import TestResult

__all__ = ["html_page"]

_TEMPLATES = Path(__file__).parent / "templates"
_OUTCOMES = (Outcome.PASSED, Outcome.FAILED, Outcome.BROKEN, Outcome.EXPECTED, Outcome.SKIPPED)
_ICONS = {Tone.GOOD: "#1a7f4b", Tone.BAD: "#c0282d", Tone.BROKEN: "#b96c0c", Tone.NEUTRAL: "#5f6d82"}


def html_page(folder: Path) -> str:
    """The page of a run's folder.

    Raises:
        NotARun: the folder holds no run.
    """
    return render(page_of(folder))


def render(page: Page) -> str:
    """The page as text. Everything but our own style sheet is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        anchor=_anchors(page.results.tests),
        duration=duration,
        glyph=GLYPHS.__getitem__,
        label=label_of,
        many=many,
        outcomes=_OUTCOMES,
    )
    css = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    template = environment.get_template("report.html.j2")
    return template.render(page=page, css=css, icon=_icon(page.answer.tone))


def _anchors(tests: Sequence[TestResult]) -> _Anchors:
    return _Anchors({test.id: f"test-{number}" for number, test in enumerate(tests, 1)})


class _Anchors(dict[str, str]):
    """Where each test's row stands in the page."""

    def __call__(self, test: TestResult) -> str:
        return self[test.id]


def _shown(value: object) -> object:
    """Texts of guests and hosts without the characters that make text look like what it is not."""
    return plain_text(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _icon(tone: Tone) -> str:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
        f'<rect width="16" height="16" rx="4" fill="{_ICONS[tone]}"/></svg>'
    )
    return f"data:image/svg+xml,{urllib.parse.quote(svg)}"
