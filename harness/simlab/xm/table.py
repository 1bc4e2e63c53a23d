"""xm itself: its table of commands, its complaints (xm/main.py, ``main`` and ``_run_cmd``)."""

from __future__ import annotations

import getopt
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.simlab.commands.options import Options
from harness.simlab.commands.toolstacks import play_faults
from harness.simlab.host.domain import Domain
from harness.simlab.shell.process import Command, CommandError, Process

__all__ = ["XmCommand", "find_domain", "make_xm", "xend_error"]

_INVALID_DOMAIN = 3  # xend/XendClient.py


@dataclass(frozen=True)
class XmCommand:
    """One command: ``short`` and ``long`` options as in getopt, and ``least`` to ``most`` words."""

    run: Callable[[Process, Options], int]
    least: int = 0
    most: int = 0
    short: str = ""
    long: tuple[str, ...] = ()


def make_xm(table: Mapping[str, XmCommand]) -> Command:
    """The program."""

    def xm(process: Process) -> int:
        if not process.args:
            process.out("Usage: xm <subcommand> [args]\n\n")
            return 1
        if not process.host.xend:
            raise CommandError("Error: Unable to connect to xend: Connection refused. Is xend running?\n")
        name, *words = process.args
        play_faults(process, name)
        command = table.get(name)
        if command is None:
            process.out("Usage: xm <subcommand> [args]\n\n")
            raise CommandError(f"Error: Subcommand {name} not found!\n")
        return command.run(process, _options(process, name, command, words))

    return xm


def _options(process: Process, name: str, command: XmCommand, words: list[str]) -> Options:
    try:
        pairs, rest = getopt.gnu_getopt(words, command.short, command.long)
    except getopt.GetoptError as error:
        raise _usage(process, name, str(error)) from error
    if not command.least <= len(rest) <= command.most:
        wanted = (
            f"requires {command.least} argument{'s' if command.least != 1 else ''}."
            if command.least == command.most
            else f"requires between {command.least} and {command.most} arguments."
        )
        raise _usage(process, name, f"'xm {name}' {wanted}\n")
    flags = frozenset(flag for flag, value in pairs if not value)
    return Options(flags, {flag: value for flag, value in pairs if value}, tuple(rest))


def _usage(process: Process, name: str, complaint: str) -> CommandError:
    process.out(f"Usage: xm {name}\n\n")
    return CommandError(f"Error: {complaint}\n")


def find_domain(word: str, process: Process) -> Domain:
    """A domain by name or number.

    Raises:
        CommandError: it is not there.
    """
    domain = process.host.hypervisor.find(word)
    if domain is None:
        raise CommandError(f"Error: Domain '{word}' does not exist.\n", _INVALID_DOMAIN)
    return domain


def xend_error(process: Process, text: str) -> CommandError:
    """What xm shows of an error that xend raised: the text, and how the command is used."""
    process.out(f"Usage: xm {process.args[0]}\n\n")
    return CommandError(f"Error: {text}\n")
