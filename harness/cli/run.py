"""``pvhck run``, ``plan`` and ``list``: pytest with our plugin, and what it found."""

from __future__ import annotations

import argparse
import inspect
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

import harness
from harness.cli.exits import EXIT_BROKEN, EXIT_INTERRUPTED, EXIT_NOTHING, EXIT_USAGE
from harness.errors import ConfigurationError, HarnessError
from harness.lab import profile_names
from harness.report.write import find_run
from harness.results import RunEnd, exit_code, load_results
from harness.results.history import last_durations
from harness.session.collecting import Collection
from harness.session.controller import Controller
from harness.session.options import Keep, RunOptions, minutes
from harness.session.planning import Plan, make_plan
from harness.session.record import build_facts
from harness.session.request import open_request
from harness.session.resuming import check_same_build, still_to_run, words_of
from harness.session.run import Run
from harness.session.selection import Planned, area_of, drivers_of, hck_of

__all__ = ["add_choice", "add_commands", "choice_words", "plan_command", "run_command", "run_here"]

# pytest's own exit codes, for runs that never came to a verdict of ours
_CODES = {
    pytest.ExitCode.OK: EXIT_NOTHING,
    pytest.ExitCode.TESTS_FAILED: EXIT_BROKEN,
    pytest.ExitCode.INTERRUPTED: EXIT_INTERRUPTED,
    pytest.ExitCode.INTERNAL_ERROR: EXIT_BROKEN,
    pytest.ExitCode.USAGE_ERROR: EXIT_USAGE,
    pytest.ExitCode.NO_TESTS_COLLECTED: EXIT_NOTHING,
}

_OF_THE_USER = "PYTEST_ADDOPTS"
_COLLECTED = {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}


def add_commands(commands: Any, lab_options: argparse.ArgumentParser) -> None:
    """Add the commands of this module."""
    choice = argparse.ArgumentParser(add_help=False, parents=[lab_options])
    add_choice(choice)
    choice.add_argument("--upgrade-from", metavar="PATH", help="older driver build, for the upgrade scenario")
    choice.add_argument("--host", metavar="NAME", action="append", default=[], help="only this host")
    choice.add_argument("--template", metavar="NAME", action="append", default=[], help="only this template")

    run = commands.add_parser("run", parents=[choice], help="run scenarios on a lab")
    run.add_argument(
        "--keep",
        choices=[keep.value for keep in Keep],
        default=Keep.NEVER.value,
        help="leave the guests on their hosts",
    )
    run.add_argument(
        "--full-dumps",
        action="store_true",
        help="bring MEMORY.DMP whole from a guest that crashed (default: its header, and the minidumps)",
    )
    run.add_argument(
        "--core-dumps",
        action="store_true",
        help="have the toolstack write a core dump of a guest that hangs, before it gets its NMI",
    )
    run.add_argument("--max-time", metavar="M", type=minutes, help="minutes after which no test begins")
    run.add_argument(
        "--wait", metavar="M", type=minutes, default=0, help="minutes to wait for hosts that others have"
    )
    run.add_argument("--seed", metavar="N", type=int, default=1, help="of patterns and simulated guests")
    run.add_argument(
        "-j",
        "--slots",
        metavar="N",
        type=_positive,
        help="guests at once on all hosts (default: what they have room for); 1: no workers",
    )
    run.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with a run that died: its id, its folder, or latest; all else is as it was then",
    )
    run.add_argument("--reports", metavar="DIR", default="reports", help="where the run's folder is made")
    run.set_defaults(command=run_command)

    plan = commands.add_parser("plan", parents=[choice], help="what would run where, and why not; no network")
    plan.set_defaults(command=plan_command)
    listing = commands.add_parser("list", parents=[choice], help="the scenarios of a profile")
    listing.set_defaults(command=_list_command)


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Which scenarios, and with what: for every command that runs some."""
    parser.add_argument(
        "--profile", default="smoke", help=f"one of {', '.join(profile_names())}, or a file (default: smoke)"
    )
    parser.add_argument("--build", metavar="PATH", help="driver build: folder, tar, zip, or synthetic")
    parser.add_argument("-k", metavar="EXPR", help="only tests whose names match, as pytest's -k")
    parser.add_argument("--scenarios", metavar="DIR", type=Path, help="other scenarios than the shipped ones")


def run_command(arguments: argparse.Namespace) -> int:
    """``pvhck run``: the exit code says how the run ended."""
    if arguments.resume is not None:
        return _resume(arguments)
    words = [*choice_words(arguments), f"--pv-keep={arguments.keep}", f"--pv-seed={arguments.seed}"]
    words += [f"--pv-reports={arguments.reports}", f"--pv-wait={arguments.wait}"]
    words += [f"--pv-{name}-dumps" for name in ("full", "core") if getattr(arguments, f"{name}_dumps")]
    if arguments.max_time is not None:
        words.append(f"--pv-max-time={arguments.max_time}")
    if arguments.slots != 1:
        collection, code = _collect(words, arguments)
        if collection is None:
            return code
        plan = _plan_of(collection, arguments)
        if len(plan.slots) > 1:
            return _run_on_slots(words, collection.request.options, plan)
    # with more slots it has been said
    return run_here(words, arguments, say_if_nothing=arguments.slots == 1)


def run_here(words: Sequence[str], arguments: argparse.Namespace, *, say_if_nothing: bool = True) -> int:
    """A run within this process, with pytest's words; the exit code says how it ended."""
    watcher = _Watcher()
    code = _pytest(words, watcher)
    if watcher.error is not None:
        raise watcher.error
    if say_if_nothing and watcher.collection is not None and code in _COLLECTED:
        _say_if_nothing_matches(arguments, watcher.collection.planned)
    results = watcher.run.results if watcher.run is not None else None
    return exit_code(results.verdict) if results is not None else _CODES[pytest.ExitCode(code)]


def _plan_of(collection: Collection, arguments: argparse.Namespace) -> Plan:
    durations = last_durations(Path(arguments.reports))
    return make_plan(collection.planned, collection.request.lab, durations, most=arguments.slots)


def _resume(arguments: argparse.Namespace) -> int:
    """With the words of the run that goes on; what it has found stays as it is."""
    folder = find_run(Path(arguments.reports), arguments.resume)
    before = load_results(folder)
    if before.run.end is RunEnd.RUNNING:
        raise ConfigurationError(f"run {before.run.id} still goes on")
    words = words_of(before)
    if any(word.startswith("--pv-adopt=") for word in words):
        raise ConfigurationError(
            f"run {before.run.id} was of an adopted domain", mend="pvhck lab adopt, again"
        )
    collection, code = _collect(words, arguments)
    if collection is None:
        return code
    check_same_build(before, build_facts(collection.request))
    left = still_to_run(_plan_of(collection, arguments), before)
    sys.stdout.write(f"run {before.run.id} goes on: {len(left.tasks)} of {len(left.tests)} tests are left\n")
    return _run_on_slots(words, collection.request.options, left, resume=folder)


def _run_on_slots(
    words: Sequence[str], options: RunOptions, plan: Plan, *, resume: Path | None = None
) -> int:
    """A worker for each slot; they are given the same words."""
    watcher = _Watcher()
    controller = None
    code = int(pytest.ExitCode.OK)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="pvhck-pytest-") as folder,
            open_request(options) as request,
            Controller(request, plan, resume=resume) as controller,
        ):
            if controller.workers and plan.tasks:
                # without a basetemp pytest-xdist leaves some of its own
                xdist = ["-p", "xdist", "-n", str(controller.workers), f"--basetemp={folder}/base"]
                restarts = f"--max-worker-restart={2 * controller.workers}"
                code = _pytest_within([*words, *xdist, restarts], watcher, controller)
    except KeyboardInterrupt:
        code = pytest.ExitCode.INTERRUPTED
    if watcher.error is not None:
        raise watcher.error
    results = controller.results if controller is not None else None
    return exit_code(results.verdict) if results is not None else _CODES[pytest.ExitCode(code)]


def demo(hosts: Path) -> int:
    """The newcomer's run on the nested Xen lab: its profile, the guest without drivers, a synthetic build."""
    # -j 1: two guests at once take more than twice as long there
    words = ("-j", "1", "--hosts", str(hosts), "--profile", "nested", "--template", "standin-bare")
    parser = argparse.ArgumentParser()
    lab_options = argparse.ArgumentParser(add_help=False)
    lab_options.add_argument("--hosts", type=Path)
    add_commands(parser.add_subparsers(), lab_options)
    return run_command(parser.parse_args(["run", *words, "--build", "synthetic"]))


def plan_command(arguments: argparse.Namespace) -> int:
    """``pvhck plan``: test x guest x hosts, with the reason for each that cannot run.

    Places where the same holds for a test share a row: a wide lab has ten thousand.
    """
    collection, code = _collect(choice_words(arguments), arguments)
    if collection is None:
        return code
    planned = collection.planned
    rows: dict[tuple[str, str, tuple[str, ...]], list[Planned]] = {}
    for one in planned:
        rows.setdefault((one.name, one.template.guest.value, one.reasons), []).append(one)
    table = Table(title=f"profile {arguments.profile} on {arguments.hosts}", title_justify="left")
    for column in ("test", "guest", "at", "hosts, or why not"):
        table.add_column(column, overflow="fold")
    for (name, guest, reasons), places in rows.items():
        hosts = dict.fromkeys(host for one in places for host in one.hosts)
        where = Text("\n".join(reasons), style="yellow") if reasons else Text(", ".join(hosts))
        at = dict.fromkeys(one.placement.id for one in places)
        table.add_row(Text(name.removeprefix("scenarios/")), guest, Text(", ".join(at)), where)
    console = _console()
    console.print(table)
    for warning in collection.request.warnings:
        console.print(Text(f"warning: {warning}", style="yellow"))
    able = sum(1 for one in planned if one.hosts)
    console.print(f"{len(planned)} tests: {able} can run, {len(planned) - able} cannot")
    slots = Counter(slot.host for slot in make_plan(planned, collection.request.lab, {}).slots)
    if slots:
        rooms = ", ".join(f"{number} on {host}" for host, number in slots.items())
        console.print(f"{slots.total()} guests at once: {rooms}", soft_wrap=True)
    return 0 if able else EXIT_NOTHING


def _list_command(arguments: argparse.Namespace) -> int:
    collection, code = _collect(choice_words(arguments), arguments)
    if collection is None:
        return code
    planned = collection.planned
    table = Table(title=f"scenarios of profile {arguments.profile}", title_justify="left")
    for column in ("area", "scenario", "drivers", "stands for (HCK/HLK)"):
        table.add_column(column, overflow="fold")
    for one in {one.name: one for one in planned}.values():
        name = one.name.rpartition("::")[2]
        table.add_row(area_of(one.item), name, " ".join(drivers_of(one.item)), "\n".join(hck_of(one.item)))
    _console().print(table)
    return 0 if planned else EXIT_NOTHING


class _Watcher:
    """Keeps our run in sight, and shows what pytest's terminal would have shown of its own errors."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.collection: Collection | None = None
        self.error: HarnessError | None = None  # what ended the run, in words for people

    def pytest_plugin_registered(self, plugin: object) -> None:
        if isinstance(plugin, Run):
            self.run = plugin
        elif isinstance(plugin, Collection):
            self.collection = plugin

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            sys.stderr.write(f"pvhck: cannot collect {report.nodeid}:\n{report.longreprtext}\n")

    def pytest_internalerror(self, excrepr: object, excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
        if isinstance(excinfo.value, HarnessError):
            self.error = excinfo.value
        else:
            sys.stderr.write(f"pvhck: fault of the harness, please report it:\n{excrepr}\n")
        return True  # it was shown: pytest need not


def _collect(words: Sequence[str], arguments: argparse.Namespace) -> tuple[Collection | None, int]:
    watcher = _Watcher()
    code = _pytest([*words, "--collect-only"], watcher)
    if code not in _COLLECTED or watcher.collection is None:
        return None, _CODES[pytest.ExitCode(code)]
    _say_if_nothing_matches(arguments, watcher.collection.planned)
    return watcher.collection, 0


def _pytest(words: Sequence[str], *plugins: object) -> int:
    """Run pytest with our words alone: what a user keeps for tests of his own stays out, of workers, too."""
    kept = os.environ.pop(_OF_THE_USER, None)
    try:
        return int(pytest.main(list(words), plugins=list(plugins)))
    finally:
        if kept is not None:
            os.environ[_OF_THE_USER] = kept


def _pytest_within(words: list[str], *plugins: object) -> int:
    """pytest, whose end by Ctrl-C goes on to whoever holds the lab and the record."""
    code = _pytest(words, *plugins)
    if code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    return code


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} slots run nothing")
    return number


def _say_if_nothing_matches(arguments: argparse.Namespace, planned: Sequence[Planned]) -> None:
    if not planned:
        asked = f" matches -k {arguments.k!r}" if arguments.k is not None else " is there"
        sys.stderr.write(
            f"pvhck: no scenario of profile {arguments.profile}{asked} (pvhck list shows all of them)\n"
        )


def choice_words(arguments: argparse.Namespace) -> list[str]:
    """The words for pytest that say which scenarios, of which lab, and with what."""
    scenarios = arguments.scenarios or Path(harness.__file__).parents[1] / "scenarios"
    if not scenarios.is_dir():
        raise ConfigurationError(f"there are no scenarios in {scenarios}", mend="name them: --scenarios DIR")
    root = scenarios.resolve().parent
    words = [
        str(scenarios),
        f"--rootdir={root}",
        # a run shows progress of its own and is no part of the harness's tests: none of their settings
        "--noconftest",
        "-c",
        str(Path(inspect.getfile(choice_words)).with_name("pytest.ini")),
        "-p",
        "no:terminal",
        "--capture=no",  # what the run says while a test goes on is for people, at once
        "-p",
        "harness.session.plugin",
        f"--pv-hosts={arguments.hosts}",
        f"--pv-profile={arguments.profile}",
        *(f"--pv-host={name}" for name in arguments.host),
        *(f"--pv-template={name}" for name in arguments.template),
    ]
    if arguments.build is not None:
        words.append(f"--pv-build={arguments.build}")
    if arguments.upgrade_from is not None:
        words.append(f"--pv-upgrade-from={arguments.upgrade_from}")
    if arguments.k is not None:
        words += ["-k", arguments.k]
    return words


def _console() -> Console:
    # a table in a file or a pipe shall not be folded to 80 columns
    return Console() if sys.stdout.isatty() else Console(width=200)
