"""Commands that change the shell itself."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.simlab.shell.process import Streams

if TYPE_CHECKING:
    from harness.simlab.shell.runner import Shell

__all__ = ["BUILTINS", "NOT_FOUND", "ShellExit"]

NOT_FOUND = 127

Builtin = Callable[["Shell", Sequence[str], Streams], int]


class ShellExit(Exception):
    """The builtin ``exit``."""

    def __init__(self, rc: int) -> None:
        super().__init__(rc)
        self.rc = rc


def _nothing(shell: Shell, words: Sequence[str], streams: Streams) -> int:
    del shell, words, streams
    return 0


def _not_played(shell: Shell, words: Sequence[str], streams: Streams) -> int:
    """Better an error than a script that goes on otherwise than it thinks."""
    streams.stderr.write(f"{shell.name}: not played by the simulated shell: {' '.join(words)}\n".encode())
    return 2


def _cd(shell: Shell, words: Sequence[str], streams: Streams) -> int:
    return _not_played(shell, ["cd", *words], streams)


def _set(shell: Shell, words: Sequence[str], streams: Streams) -> int:
    if words and words[0].startswith("-") and "e" in words[0]:
        streams.stderr.write(f"{shell.name}: not played by the simulated shell: set -e\n".encode())
        return 2
    return 0


def _exit(shell: Shell, words: Sequence[str], streams: Streams) -> int:
    del streams
    raise ShellExit(int(words[0]) if words else shell.status)


def _exec(shell: Shell, words: Sequence[str], streams: Streams) -> int:
    if not words:
        return 0
    raise ShellExit(shell.command(words, streams, {}))


def _wait(shell: Shell, words: Sequence[str], streams: Streams) -> int:
    del streams
    rc = 0
    for pid in words or [str(pid) for pid in shell.jobs]:
        thread, result = shell.jobs.pop(int(pid), (None, [NOT_FOUND]))
        if thread is not None:
            thread.join()
        rc = result[0]
    return rc


def _export(shell: Shell, words: Sequence[str], streams: Streams) -> int:
    del streams
    for pair in words:
        name, has_value, value = pair.partition("=")
        if has_value:
            shell.variables[name] = value
        shell.process.environment[name] = shell.variables.get(name, "")
    return 0


def _unset(shell: Shell, words: Sequence[str], streams: Streams) -> int:
    del streams
    for name in words:
        shell.variables.pop(name, None)
    return 0


def _read(shell: Shell, words: Sequence[str], streams: Streams) -> int:
    """One line into one variable; ``-r`` alone is played."""
    if words[:1] != ["-r"] or len(words) != 2:  # noqa: PLR2004  # -r NAME
        return _not_played(shell, ["read", *words], streams)
    line = b""
    while (byte := streams.stdin.read(1)) not in {b"", b"\n"}:
        line += byte
    shell.variables[words[1]] = line.decode("utf-8", "surrogateescape").strip(" \t")
    return 0 if byte else 1


def _shift(shell: Shell, words: Sequence[str], streams: Streams) -> int:
    del words, streams
    shell.arguments = shell.arguments[1:]
    return 0


def _command(shell: Shell, words: Sequence[str], streams: Streams) -> int:
    if words and words[0] == "-v":
        known = [name for name in words[1:] if posixpath.basename(name) in shell.process.session.commands]
        streams.stdout.write("".join(f"/usr/sbin/{name}\n" for name in known).encode())
        return 0 if len(known) == len(words) - 1 else NOT_FOUND
    return shell.command(words, streams, {}) if words else 0


BUILTINS: dict[str, Builtin] = {
    ":": _nothing,
    "cd": _cd,
    "command": _command,
    "exec": _exec,
    "exit": _exit,
    "export": _export,
    "read": _read,
    "set": _set,
    "shift": _shift,
    "trap": _nothing,
    "ulimit": _nothing,
    "umask": _nothing,
    "unset": _unset,
    "wait": _wait,
}
