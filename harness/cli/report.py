"""``pvhck report``: the reports of a run, made or shown again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from harness.report import report_run

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    report = commands.add_parser("report", help="make the reports of a run again, and show them")
    report.add_argument("run", nargs="?", default="latest", help="a run's id, its folder, or latest")
    report.add_argument("--reports", metavar="DIR", type=Path, default=Path("reports"), help="where runs are")
    report.add_argument("--open", action="store_true", help="in the browser")
    report.add_argument("--bundle", action="store_true", help="also a zip of all that belongs to it")
    report.set_defaults(command=_report)


def _report(arguments: argparse.Namespace) -> int:
    report_run(arguments.reports, arguments.run, open_page=arguments.open, make_bundle=arguments.bundle)
    return 0
