"""xenstore from dom0, by the xenstore-* tools that every Xen since 3.4 has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from harness.deadline import Deadline
from harness.errors import CommandFailed, HostUnreachable, OutputNotUnderstood
from harness.host.ssh import SshShell
from harness.host.sshchannel import LineReader

__all__ = ["Watch", "Xenstore", "parse_tree", "unescape"]

_LETTERS = {b"t": b"\t", b"n": b"\n", b"r": b"\r", b"\\": b"\\"}
_ESCAPED = re.compile(rb"\\(x[0-9a-f]{2}|[0-7]{3}|[tnr\\])")

_SHOWN = re.compile(r'"(.*)"(?: [ .]*\([nrwb]\d+(?:,[nrwb]\d+)*\))?')
_ABSENT = "couldn't read path"  # recorded: xen-4.17/xenstore-read-missing.txt
_FIRST_EVENT_S = 30


class Watch:
    """A running watch on a path of xenstore."""

    def __init__(self, path: str, lines: LineReader, host: str) -> None:
        self.path = path
        self._lines = lines
        self._host = host

    def wait(self, deadline: Deadline) -> str | None:
        """The next path that changed, None when the deadline passes first.

        Raises:
            HostUnreachable: the watch was lost: what changes now is not seen.
        """
        line = self._lines.next_line(deadline)
        if line is None and self._lines.lost:
            raise HostUnreachable(f"host {self._host}: connection lost during xenstore-watch {self.path}")
        return line


class Xenstore:
    """Reads and writes as dom0, which may everything."""

    def __init__(self, shell: SshShell) -> None:
        self._shell = shell

    def find(self, path: str) -> str | None:
        """A node's value, None when the node does not exist.

        Raises:
            CommandFailed: xenstore cannot be read at all.
        """
        result = self._shell.run(["xenstore-read", path], repeatable=True)
        if not result.ok and _ABSENT not in result.stderr:
            raise CommandFailed(f"host {self._shell.spec.name}: {result.describe()}")
        return unescape(result.stdout.removesuffix("\n")) if result.ok else None

    def read(self, path: str) -> str:
        """A node's value.

        Raises:
            CommandFailed: the node does not exist.
        """
        value = self.find(path)
        if value is None:
            raise CommandFailed(f"host {self._shell.spec.name}: xenstore has no {path}")
        return value

    def write(self, path: str, value: str) -> None:
        """Set a node, making it and its parents."""
        # without the dashes a value like -1 would be taken for an option
        dashes = ["--"] if value.startswith("-") else []
        # the tool reads escapes in what it is given (unsanitise_value, as below)
        self._shell.check(["xenstore-write", *dashes, path, value.replace("\\", "\\\\")])

    def remove(self, path: str) -> None:
        """Take a node and all below it away."""
        self._shell.check(["xenstore-rm", path])

    def children(self, path: str) -> tuple[str, ...]:
        """Names of a node's children; none when the node does not exist."""
        result = self._shell.run(["xenstore-list", path], repeatable=True)
        return tuple(result.stdout.split("\n")[:-1]) if result.ok else ()

    def tree(self, path: str) -> Mapping[str, str]:
        """All nodes from ``path`` down, by full path; empty when it does not exist."""
        result = self._shell.run(["xenstore-ls", "-f", path], repeatable=True)
        return parse_tree(result.stdout) if result.ok else {}

    @contextmanager
    def watch(self, path: str) -> Iterator[Watch]:
        """Watch a path. The first event, which fires at once, has already been taken."""
        with self._shell.stream(["xenstore-watch", path]) as lines:
            watch = Watch(path, lines, self._shell.spec.name)
            if watch.wait(Deadline.after(_FIRST_EVENT_S * self._shell.spec.time_factor)) is None:
                complaint = lines.complaint() or "says nothing"
                raise CommandFailed(f"host {self._shell.spec.name}: xenstore-watch {path}: {complaint}")
            yield watch


def unescape(text: str) -> str:
    r"""A value as it is, from the form in which xenstore-read and xenstore-ls show it.

    They escape backslashes and all bytes beyond printable ASCII: ``\t``, ``\n``, ``\r``, ``\\``, ``\x``
    and two hexadecimal digits, or three octal ones (sanitise_value, unsanitise_value in Xen's
    tools/xenstore/xenstore_client.c; seen on 4.17).
    What is no UTF-8 then is replaced.
    """

    def meant(match: re.Match[bytes]) -> bytes:
        code = match[1]
        if code in _LETTERS:
            return _LETTERS[code]
        return bytes([int(code[1:], 16) if code[:1] == b"x" else int(code, 8) & 0xFF])

    return _ESCAPED.sub(meant, text.encode()).decode(errors="replace")


def parse_tree(text: str) -> dict[str, str]:
    """``xenstore-ls -f``: lines ``/path = "value"``, with -p permissions behind; without a value it went.

    Raises:
        OutputNotUnderstood: a value was cut.
    """
    nodes = {}
    for line in text.splitlines():
        path, separator, value = line.partition(" = ")
        if separator:
            shown = _SHOWN.fullmatch(value)
            if shown is None:
                raise OutputNotUnderstood("xenstore-ls: a value cannot be read", text=line)
            nodes[path] = unescape(shown[1])
    return nodes
