"""``pvhck report [RUN] [--open] [--bundle]``: the reports of a run again, from what it left behind."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from pathlib import Path

from harness.report.terminal import summary
from harness.report.write import bundle, find_run, write_reports
from harness.results import load_results
from harness.results.recorder import LATEST

__all__ = ["report_run"]


def report_run(
    reports: Path,
    run: str = LATEST,
    *,
    open_page: bool = False,
    make_bundle: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Write junit.xml and index.html of a run anew, print its summary, and open or bundle it if asked.

    ``run`` is an id, a folder, or ``latest``. A run that was killed is made from its events.

    Raises:
        ConfigurationError: there is no such run, or it cannot be read.
        ReportsUnwritable: the disk is full.
    """
    folder = find_run(reports, run)
    page = write_reports(folder)
    summary(load_results(folder), page)
    if make_bundle:
        say(f"Bundle: {bundle(folder)}")
    if open_page and not webbrowser.open(page.as_uri()):
        say(f"There is no browser here; open {page} where there is one")
