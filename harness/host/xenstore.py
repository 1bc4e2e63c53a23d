"""xenstore from dom0, by the xenstore-* tools that every Xen since 3.4 has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from harness.deadline import Deadline
from harness.errors import CommandFailed
from harness.host.ssh import SshShell

__all__ = ["Watch", "Xenstore", "parse_tree"]


class Watch:
    """A running watch on a path of xenstore."""

    def __init__(self, path: str, next_line: Callable[[Deadline], str | None]) -> None:
        self.path = path
        self._next_line = next_line

    def wait(self, deadline: Deadline) -> str | None:
        """The next path that changed, None when the deadline passes first."""
        return self._next_line(deadline)


class Xenstore:
    """Reads and writes as dom0, which may everything."""

    def __init__(self, shell: SshShell) -> None:
        self._shell = shell

    def find(self, path: str) -> str | None:
        """A node's value, None when the node does not exist."""
        result = self._shell.run(["xenstore-read", path], repeatable=True)
        return result.stdout.removesuffix("\n") if result.ok else None

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
        self._shell.check(["xenstore-write", path, value])

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
        with self._shell.stream(["xenstore-watch", path]) as next_line:
            next_line(Deadline.after(30 * self._shell.spec.time_factor))
            yield Watch(path, next_line)


def parse_tree(text: str) -> dict[str, str]:
    """``xenstore-ls -f``: lines ``/path = "value"``; the tool escapes what is not printable."""
    nodes = {}
    for line in text.splitlines():
        path, separator, value = line.partition(" = ")
        if separator:
            nodes[path] = value[value.find('"') + 1 : value.rfind('"')]
    return nodes
