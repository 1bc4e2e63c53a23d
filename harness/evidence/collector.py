"""What a collector is, and what it can ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from harness.deadline import Deadline
from harness.errors import ChannelError, CommandFailed
from harness.guest.guest import Guest
from harness.host.host import Host
from harness.model import CommandResult
from harness.operations import OPERATIONS

__all__ = ["TEXT_LIMIT", "Collector", "Put", "Scene", "Side"]

TEXT_LIMIT = 1 << 20  # characters kept of a text
_TAIL_BYTES = TEXT_LIMIT - 1024

Put = Callable[[str, str | bytes], None]


class Side(StrEnum):
    """Whom a collector asks."""

    HERE = "here"  # nobody
    HOST = "host"
    GUEST = "guest"


@dataclass(frozen=True)
class Scene:
    """Where something went wrong. ``guest`` is None when none was made yet.

    ``named`` is a domain that is looked at without a guest of ours; empty for none. ``before`` is what
    xenstore had of the guest's earlier, as ``host_side.store_of`` gives it.
    """

    host: Host
    guest: Guest | None = None
    named: str = ""
    before: str = ""

    @property
    def domain(self) -> str:
        """The name of the domain that is looked at, empty for none."""
        return self.guest.name if self.guest is not None else self.named

    @property
    def the_guest(self) -> Guest:
        """The guest, for collectors that are only run with one."""
        assert self.guest is not None
        return self.guest

    def run(self, argv: Sequence[str], deadline: Deadline) -> CommandResult:
        """A command on the host that changes nothing, within the deadline."""
        seconds = max(deadline.remaining, 0.1) / self.host.spec.time_factor
        return self.host.shell.run(argv, timeout_s=seconds, repeatable=True)

    def tail(self, path: str, deadline: Deadline) -> str | None:
        """The end of a file of the host, in whole lines; None if it cannot be read."""
        result = self.run(["tail", "-c", str(_TAIL_BYTES + 1), path], deadline)
        if not result.ok:
            return None
        if len(result.stdout.encode()) <= _TAIL_BYTES:
            return result.stdout
        # half a line could hold half a secret, which nobody would recognize
        _, _, rest = result.stdout.replace("\r\n", "\n").partition("\n")
        return f"[pvhck: the end of a longer file]\n{rest}"

    def tails(self, files: Sequence[tuple[str, str]], deadline: Deadline, put: Put) -> None:
        """Put what there is of some files, given as (name here, path there).

        Raises:
            CommandFailed: none of them can be read.
        """
        found = False
        for name, path in files:
            text = self.tail(path, deadline)
            if text is not None:
                put(name, text)
                found = True
        if not found:
            raise CommandFailed(f"host {self.host.name} has none of {', '.join(path for _, path in files)}")

    def ask(self, operation: str, deadline: Deadline, **params: Any) -> Any:
        """An operation's result as plain JSON values.

        Not by ``Guest.operations``: its time limits are too long here, and who is at fault is known.
        """
        guest = self.the_guest
        try:
            return guest.channel().call(OPERATIONS[operation], params, deadline)
        except ChannelError:
            guest.disconnect(polite=False)
            raise


@dataclass(frozen=True)
class Collector:
    """One entry of the list. ``limit_s`` is scaled by the host's time factor.

    ``gather`` hands what it finds to ``put``, under file names of its own: lower case
    letters, digits, ``.`` and ``-``, never a name that comes from host or guest. A host is asked by
    several threads at once; ``of_domain`` says that there has to be a domain to ask it about.
    """

    name: str
    side: Side
    gather: Callable[[Scene, Deadline, Put], None]
    limit_s: float = 30
    of_domain: bool = True

    def fits(self, scene: Scene) -> bool:
        """Whether there is what it looks at."""
        if self.side is Side.HOST:
            return bool(scene.domain) or not self.of_domain
        return scene.guest is not None or not self.of_domain
