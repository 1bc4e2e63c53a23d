"""xl itself: its global options, its table of commands, its usage messages (tools/xl/xl.c, xl_utils.c).

What differs between versions was read from the branches stable-4.1 to stable-4.20 of Xen's repository.
"""

from __future__ import annotations

import getopt
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.model import XenVersion
from harness.simlab.commands.options import Options
from harness.simlab.commands.toolstacks import play_faults
from harness.simlab.host.domain import Domain
from harness.simlab.shell.process import Command, CommandError, Process

__all__ = ["LibxlFailure", "XlCommand", "exit_minus_one", "find_domain", "libxl_error", "make_xl", "no_model"]

# The first xl whose exit code tells of libxl's failure; before, it is 0.
_HONEST = {
    "block-detach": XenVersion(4, 2),
    "cd-eject": XenVersion(4, 3),
    "block-attach": XenVersion(4, 5),
    "cd-insert": XenVersion(4, 7),
    "mem-set": XenVersion(4, 7),
    "vcpu-set": XenVersion(4, 7),
}
_OLDEST = XenVersion(4, 1)
_EXIT_FAILURE = XenVersion(4, 7)  # before, exit(-1) and exit(2) where it is 1 now
_BESIDE_XEND = XenVersion(4, 2)


class LibxlFailure(CommandError):
    """libxl said no; whether the exit code tells depends on the command and the version."""


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
    since: XenVersion = _OLDEST

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
        if process.host.xend and process.host.version >= _BESIDE_XEND:
            raise CommandError(
                "xend is running, which may cause unpredictable results when using\n"
                "this xl command.  Please shut down xend before continuing.\n\n"
                "(This check can be overridden with the -f option.)\n"
            )
        name, *rest = words
        play_faults(process, name)
        command = table.get(name)
        if command is None or process.host.version < command.since:
            raise CommandError("command not implemented\n")
        options = _options(process, name, command, rest)
        try:
            return command.run(process, options)
        except LibxlFailure as error:
            if process.host.version >= _HONEST.get(name, process.host.version):
                raise
            process.err(error.words)
            return 0

    return xl


def exit_minus_one(process: Process) -> int:
    """What a shell sees of a failed command: 255 of exit(-1) until 4.6, since then 1."""
    return 1 if process.host.version >= _EXIT_FAILURE else 255


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
        rc = 1 if process.host.version >= _EXIT_FAILURE else 2
        raise CommandError(f"{word} is an invalid domain identifier (rc=-6)\n", rc)
    return domain


def no_model(domain: Domain) -> str:
    """What libxl says when it asks a device model that is gone; recorded: xen-4.17/model-gone-list-l.txt."""
    words = f"Failed to connect to QMP socket /var/run/xen/qmp-libxl-{domain.domid}: Connection refused"
    return libxl_error("libxl_qmp.c:1334:qmp_ev_lock_aquired", words, domain.domid)


def libxl_error(place: str, text: str, domid: int | None = None) -> str:
    """A line of libxl's log; ``place`` is file, line and function."""
    about = "" if domid is None else f"Domain {domid}:"
    return f"libxl: error: {place}: {about}{text}\n"
