"""Stops and starts of a guest through its toolstack, timed by what xenstore shows."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from harness.deadline import Deadline, WaitTimedOut
from harness.guest.guest import Guest
from harness.host.toolstack.protocol import Fallback, RequestAnswer
from harness.host.xenstore import Watch

__all__ = ["Stop", "reboot", "shut_down", "start_again"]

_LOOK_S = 1.0


@dataclass(frozen=True)
class Stop:
    """A request that was obeyed, in seconds from its beginning.

    ``acknowledged_s`` is when the guest emptied ``control/shutdown``; None when the domain
    was gone before that could be seen. ``gone_s`` is when it had left the toolstack's list,
    or, for a reboot, when the new boot answered.
    """

    acknowledged_s: float | None
    gone_s: float


def shut_down(guest: Guest, *, ack_s: float, off_s: float, fallback: Fallback = Fallback.NONE) -> Stop:
    """Ask by the toolstack, wait for the acknowledgement, then until the domain is gone.

    Raises:
        AssertionError: the toolstack refuses: the guest shows no PV control interface.
        WaitTimedOut: no acknowledgement, or the domain stays.
    """
    acknowledged, started = _request(guest, guest.host.toolstack.shutdown, fallback, ack_s)
    guest.wait_off(guest.deadline(off_s))
    return Stop(acknowledged, time.monotonic() - started)


def reboot(guest: Guest, *, ack_s: float, ready_s: float, fallback: Fallback = Fallback.NONE) -> Stop:
    """Ask by the toolstack, wait for the acknowledgement, then until a new boot answers.

    Raises:
        AssertionError: the toolstack refuses.
        WaitTimedOut: no acknowledgement, or no new boot.
    """
    old_boot = guest.boot_id
    guest.wait_may_restart()
    acknowledged, started = _request(guest, guest.host.toolstack.reboot, fallback, ack_s)
    guest.wait_ready(guest.deadline(ready_s), old_boot=old_boot)
    return Stop(acknowledged, time.monotonic() - started)


def start_again(guest: Guest, *, ready_s: float) -> None:
    """Start a guest that is off and wait until its new boot answers."""
    old_boot = guest.boot_id
    guest.start()
    guest.wait_ready(guest.deadline(ready_s), old_boot=old_boot)


def _request(
    guest: Guest, ask: Callable[[str, Fallback], RequestAnswer], fallback: Fallback, ack_s: float
) -> tuple[float | None, float]:
    """Seconds until the acknowledgement, and when the request was made."""
    node = f"{guest.store}/control/shutdown"
    guest.disconnect()  # while it can still be told: what goes down takes our shell along
    with guest.host.xenstore.watch(node) as watch, ThreadPoolExecutor(1) as pool:
        started = time.monotonic()
        # xl itself waits for the acknowledgement (4.13 on): the watch has to run beside it
        answer = pool.submit(ask, guest.name, fallback)
        emptied = _await_empty(guest, watch, node, guest.deadline(ack_s), answer)
        failed = answer.exception()
    ignored = emptied is None and bool(guest.host.xenstore.find(node))
    if ignored and (fallback is Fallback.NONE or failed is not None):
        # xl gives up by itself as well; that is the guest's doing, not the host's
        seen = f"the request still stands there{f'; {failed}' if failed else ''}"
        raise WaitTimedOut(f"{guest.name} empties control/shutdown", ack_s, seen) from failed
    reply = answer.result()
    assert not reply.refused, f"{guest.name}: the toolstack refuses: {reply.text.strip()}"
    return (None if emptied is None else emptied - started), started


def _await_empty(
    guest: Guest, watch: Watch, node: str, deadline: Deadline, answer: Future[RequestAnswer]
) -> float | None:
    """When the node was seen empty after it had held a request; None if that was never seen.

    Both writes may come before our first look: two events on the node tell of them as well.
    """
    asked = False
    events = 0
    while not deadline.expired:
        changed = watch.wait(Deadline.after(min(_LOOK_S, deadline.remaining)))
        events += changed is not None
        value = guest.host.xenstore.find(node)
        if value is None:
            return None  # the domain is gone already
        asked = asked or value != ""
        if value == "" and (asked or events > 1):
            return time.monotonic()
        if not changed and value == "" and answer.done():
            return None  # nothing was ever written: refused, or the ACPI button was pressed
    return None
