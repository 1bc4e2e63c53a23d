"""xl itself: its global options, its table of commands, its usage messages (tools/xl/xl.c, xl_utils.c)."""

from __future__ import annotations

import getopt
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.simlab.commands.options import Options
from harness.simlab.faults import FaultKind
from harness.simlab.host.domain import Domain
from harness.simlab.shell.process import Command, CommandError, Process

__all__ = ["XlCommand", "find_domain", "libxl_error", "make_xl"]


@dataclass(frozen=True)
class XlCommand:
    """One command. ``short`` and ``long`` are its options as in getopt, ``required`` words are needed.

    ``usage`` and ``summary`` are those of xl's table, for the commands whose usage was recorded
    or is short; ``dry_run`` says whether -N is possible, which the usage shows.
    """

    run: Callable[[Process, Options], int]
    required: int = 0
    usage: str = ""
    summary: str = ""
    short: str = ""
    long: tuple[str, ...] = ()
    options: str = ""
    dry_run: bool = False

    def help(self, name: str) -> str:
        """What ``xl NAME -h`` prints."""
        flags = "-vtTfN" if self.dry_run else "-vtTf"
        shown = f"Usage: xl [{flags}] {name} {self.usage}\n\n{self.summary}.\n\n"
        return shown + (f"Options:\n\n{self.options}\n" if self.options else "")


def make_xl(table: Mapping[str, XlCommand]) -> Command:
    """The program."""

    def xl(process: Process) -> int:
        words = list(process.args)
        while words and words[0].startswith("-"):
            flags = set(words.pop(0)[1:])
            if flags - set("vftTN"):
                raise CommandError("unknown global option\n")
            if "N" in flags:
                raise CommandError("xl -N: not played by the simulated host\n")
        if not words:
            process.out("Usage: xl [-vtTfN] <subcommand> [args]\n\n")
            return 1
        name, *rest = words
        _play_faults(process, name)
        command = table.get(name)
        if command is None:
            raise CommandError("command not implemented\n")
        return command.run(process, _options(process, name, command, rest))

    return xl


def _play_faults(process: Process, name: str) -> None:
    faults = process.host.faults
    if faults.hits(FaultKind.SSH_DROP, name):
        process.session.drop()  # what it writes from now on kills it, as SIGPIPE does there
    if faults.hits(FaultKind.COMMAND_HANG, name):
        process.killed.wait()


def _options(process: Process, name: str, command: XlCommand, words: list[str]) -> Options:
    try:
        pairs, rest = getopt.gnu_getopt(words, command.short + "h", ["help", *command.long])
    except getopt.GetoptError as error:
        raise CommandError(f"option `{error.opt}' not supported.\n", 2) from error
    flags = frozenset(flag for flag, value in pairs if not value)
    if flags & {"-h", "--help"}:
        process.out(command.help(name))
        raise CommandError("", 0)
    if len(rest) < command.required:
        process.out(command.help(name))
        plural = "s" if command.required > 1 else ""
        words_needed = f"'xl {name}' requires at least {command.required} argument{plural}.\n\n"
        raise CommandError(words_needed, 2)
    return Options(flags, {flag: value for flag, value in pairs if value}, tuple(rest))


def find_domain(process: Process, word: str) -> Domain:
    """A domain by name or number.

    Raises:
        CommandError: it is not there (recorded: xen-4.17/err-destroy-unknown.txt).
    """
    domain = process.host.hypervisor.find(word)
    if domain is None:
        raise CommandError(f"{word} is an invalid domain identifier (rc=-6)\n")
    return domain


def libxl_error(place: str, text: str, domid: int | None = None) -> str:
    """A line of libxl's log; ``place`` is file, line and function."""
    about = "" if domid is None else f"Domain {domid}:"
    return f"libxl: error: {place}: {about}{text}\n"
