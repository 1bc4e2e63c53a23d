"""The commands of ``pvhck``, and how each ends.

Exit codes: 0 all well; 1 failures; 2 configuration or usage; 3 broken only; 4 nothing ran; 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import __version__
from harness.cli.exits import EXIT_BROKEN, EXIT_INTERRUPTED, EXIT_USAGE
from harness.errors import ConfigurationError, HarnessError
from harness.session.interrupts import interruptible, loading
from harness.session.said import said_without_secrets

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; what goes wrong is one line for a person, never a traceback."""
    with loading():
        parser = _parser()
    parsed = parser.parse_args(arguments)
    # what it logs comes as an exception, too, and is said once
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    with said_without_secrets(), interruptible(), contextlib.suppress(BrokenPipeError):
        try:
            return int(parsed.command(parsed))
        except ConfigurationError as error:
            return _say(error, EXIT_USAGE)
        except HarnessError as error:
            return _say(error, EXIT_BROKEN)
        except KeyboardInterrupt:
            return _say("interrupted", EXIT_INTERRUPTED)
    return EXIT_BROKEN  # whoever read our output has gone


def _parser() -> argparse.ArgumentParser:
    from harness.cli import guest, image, lab, report, run  # noqa: PLC0415  # they take a second or more: see loading

    parser = argparse.ArgumentParser(
        prog="pvhck", description="End-to-end tests of the Xen Windows PV drivers.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"pvhck {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    lab_options = argparse.ArgumentParser(add_help=False)
    lab_options.add_argument(
        "--hosts", metavar="FILE", type=Path, default=Path("hosts.ini"), help="the lab (default: hosts.ini)"
    )
    for group in (run, lab, guest, image):
        group.add_commands(commands, lab_options)
    report.add_commands(commands)
    return parser


def _say(what: object, code: int) -> int:
    sys.stderr.write(f"pvhck: {what}\n")
    return code
