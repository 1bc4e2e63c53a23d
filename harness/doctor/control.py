"""Who else drives the host: XAPI, xend, and whether xenstore answers."""

from __future__ import annotations

from collections.abc import Iterator

from harness.doctor.check import Check, State
from harness.host.host import Host
from harness.model import ToolstackName

__all__ = ["check_control"]

_XAPI = "/etc/xensource-inventory"
# The files whose existence makes xl of 4.2 to 4.4 refuse to work (facts/xen-peers.md 2.6).
_XEND = ("/var/lock/subsys/xend", "/var/lock/xend")


def check_control(host: Host) -> Iterator[Check]:
    """Two toolstacks at once break each other's domains."""
    there = host.shell.run(["ls", "-d", _XAPI, *_XEND], repeatable=True).stdout.split()
    yield _check_others(host, there)
    store = host.shell.run(["xenstore-list", "/"], repeatable=True)
    if store.ok:
        yield Check(host.name, "xenstore", State.OK, "answers")
    else:
        yield Check(host.name, "xenstore", State.FAIL, store.describe(), "service xencommons start")


def _check_others(host: Host, there: list[str]) -> Check:
    xend = any(path in there for path in _XEND)
    if _XAPI in there:
        return Check(
            host.name,
            "in charge",
            State.FAIL,
            f"XAPI ({_XAPI} is there): it would not know of our domains, and may stop them",
            "take a host without XAPI",
        )
    if host.spec.toolstack is ToolstackName.XM and not xend:
        return Check(host.name, "in charge", State.FAIL, "xend is not running", "service xend start")
    if host.spec.toolstack is not ToolstackName.XM and xend:
        return Check(
            host.name,
            "in charge",
            State.FAIL,
            "xend is running: xl refuses to work beside it",
            "service xend stop, and keep it from starting; or set toolstack = xm",
        )
    return Check(host.name, "in charge", State.OK, "xend" if xend else "neither XAPI nor xend")
