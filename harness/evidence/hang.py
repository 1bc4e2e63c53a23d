"""What ends a hang: an NMI, at which Windows writes its dump and crashes.

Windows does so where CrashControl's NMICrashDump is 1, as test images have it (facts/hck.md); with
XENBUS in it, what it says goes to the hypervisor's log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from harness.deadline import Done, NotYet, WaitTimedOut, wait_until
from harness.errors import InfrastructureError
from harness.guest.guest import Guest
from harness.host.toolstack.protocol import Trigger

__all__ = ["provoke_dump"]

_FILE = "nmi.txt"
_DUMP_S = 60  # until the domain has crashed: it writes its dump first


def provoke_dump(guest: Guest, folder: Path, *, redact: Callable[[str], str]) -> tuple[str, ...]:
    """Send a guest that hangs an NMI; what came of it goes into a file of ``folder``, whose name is given.

    After it nothing more can be asked of the guest. A host that fails meanwhile is said in the file.
    """
    try:
        words = _sent(guest)
    except InfrastructureError as error:
        words = f"no NMI: {error}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _FILE).write_text(redact(f"{words}\n"), encoding="utf-8")
    return (_FILE,)


def _sent(guest: Guest) -> str:
    toolstack = guest.host.toolstack
    before = Counter(toolstack.dmesg().splitlines())
    toolstack.trigger(guest.name, Trigger.NMI)

    def probe() -> Done[str] | NotYet:
        domain = toolstack.find(guest.name)
        if domain is None:
            return Done("its domain is gone")
        return (
            Done("its domain is in state c") if domain.crashed else NotYet(f"domain {domain.domid} is there")
        )

    try:
        came = wait_until(probe, subject=f"{guest.name} crashes at its NMI", deadline=guest.deadline(_DUMP_S))
    except WaitTimedOut as error:
        came = f"nothing: {error}"
    said = "\n".join((Counter(toolstack.dmesg().splitlines()) - before).elements())
    return (
        f"An NMI was sent to {guest.name}; what came of it: {came}\n{said or 'The hypervisor says nothing.'}"
    )
