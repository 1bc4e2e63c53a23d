"""A watch in the guest, fired from dom0: both at the same time, without knowing when it is set."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from harness.deadline import Done, NotYet, wait_until
from harness.guest.guest import Guest
from harness.operations import XenstoreEvent

__all__ = ["watch_in_guest"]

_EVERY_S = 0.25
_MARGIN_S = 60


def watch_in_guest(guest: Guest, name: str, *, seconds: int) -> XenstoreEvent:
    """Have the guest watch one of its nodes while dom0 keeps changing it.

    Nobody can see from outside when the guest's watch is set: dom0 writes another value every
    quarter of a second until the guest has answered. ``name`` is below the domain's folder.
    """
    node = f"{guest.store}/{name}"
    answered = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(_keep_writing, guest, node, answered, seconds + _MARGIN_S)
        try:
            event = guest.operations.xenstore_watch(path=name, seconds=seconds)
        finally:
            answered.set()
        writing.result()
    return event


def _keep_writing(guest: Guest, node: str, answered: threading.Event, seconds: float) -> int:
    written = 0

    def probe() -> Done[int] | NotYet:
        nonlocal written
        if answered.is_set():
            return Done(written)
        written += 1
        guest.host.xenstore.write(node, f"change {written}")
        return NotYet(f"{written} changes")

    return wait_until(
        probe,
        subject=f"the watch of {guest.name} on {node} has fired",
        deadline=guest.deadline(seconds),
        interval_s=_EVERY_S,
    )
