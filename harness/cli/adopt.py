"""``pvhck lab adopt HOST DOMAIN``: scenarios on a domain that runs already, and is none of ours."""

from __future__ import annotations

import argparse
from typing import Any

from harness.cli.opened import lasting_host
from harness.cli.run import add_choice, choice_words, run_here
from harness.errors import ConfigurationError
from harness.lab import load_lab
from harness.model import Change
from harness.session.options import minutes

__all__ = ["add_commands"]


def add_commands(lab: Any, lab_options: argparse.ArgumentParser) -> None:
    """Add the command of this module to ``pvhck lab``."""
    adopt = lab.add_parser(
        "adopt",
        parents=[lab_options],
        help="run scenarios on a running domain, without a clone; it is left as it was",
    )
    adopt.add_argument("host")
    adopt.add_argument("domain")
    adopt.add_argument("--template", metavar="NAME", help="the template whose section describes the guest")
    adopt.add_argument("--user", default="", help="its WinRM user, if not the template's")
    adopt.add_argument(
        "--secret", metavar="REF", help="where its password lies, if not where the template's does"
    )
    adopt.add_argument(
        "--allow",
        choices=[change.value for change in Change],
        action="append",
        default=[],
        help="what else tests may do to it; drivers that are installed so stay",
    )
    adopt.add_argument(
        "--config",
        metavar="FILE",
        default="",
        help="of the host: what the domain is made from, for --allow power",
    )
    add_choice(adopt)
    adopt.add_argument("--max-time", metavar="M", type=minutes, help="minutes after which no test begins")
    adopt.add_argument("--wait", metavar="M", type=minutes, default=0, help="minutes to wait for a busy host")
    adopt.add_argument("--seed", metavar="N", type=int, default=1, help="of patterns")
    adopt.add_argument("--reports", metavar="DIR", default="reports", help="where the run's folder is made")
    adopt.set_defaults(command=_adopt)


def _adopt(arguments: argparse.Namespace) -> int:
    lab = load_lab(arguments.hosts)
    lasting_host(lab, arguments.host)
    if arguments.template is None:
        raise ConfigurationError(
            "login and address of the domain stand in a template's section",
            mend=f"--template {', '.join(lab.templates)}",
        )
    chosen = argparse.Namespace(**vars(arguments))
    chosen.host, chosen.template, chosen.upgrade_from = [arguments.host], [arguments.template], None
    words = [
        *choice_words(chosen),
        f"--pv-adopt={arguments.domain}",
        f"--pv-adopt-config={arguments.config}",
        f"--pv-adopt-user={arguments.user}",
        *(f"--pv-allow={change}" for change in arguments.allow),
        f"--pv-seed={arguments.seed}",
        f"--pv-reports={arguments.reports}",
        f"--pv-wait={arguments.wait}",
    ]
    if arguments.secret is not None:
        words.append(f"--pv-adopt-secret={arguments.secret}")
    if arguments.max_time is not None:
        words.append(f"--pv-max-time={arguments.max_time}")
    return run_here(words, arguments)
