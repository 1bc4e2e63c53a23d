"""The back ends in dom0: what netback, blkback and QEMU do when a front end changes its state.

States are those of xenbus.h; the sequence is that of facts/pv-drivers.md 2.5.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.simlab.host.store import Store

__all__ = ["front_numbers", "serve_frontends"]

_INIT, _INIT_WAIT, _INITIALISED, _CONNECTED, _CLOSING, _CLOSED = "1", "2", "3", "4", "5", "6"


def serve_frontends(store: Store, domid: int) -> Callable[[], None]:
    """Answer the front ends of a domain from now on; gives what ends it."""
    root = f"/local/domain/{domid}/device"

    def changed(path: str) -> None:
        device, _, leaf = path.rpartition("/")
        kind = device.removeprefix(root).split("/")[1:2]
        if leaf == "state" and kind in (["vbd"], ["vif"]):
            _answer(store, device)

    return store.subscribe(root, changed)


def front_numbers(store: Store, frontend: str, *keys: str) -> tuple[int, ...]:
    """Rings and event channels of a front end, as the toolstacks list them: -1 for what is not there."""
    values = (store.get(f"{frontend}/{key}") for key in keys)
    return tuple(int(value) if value.isdigit() else -1 for value in values)


def _answer(store: Store, frontend: str) -> None:
    backend = store.get(f"{frontend}/backend")
    front, back = store.get(f"{frontend}/state"), store.get(f"{backend}/state")
    if not backend or not back:
        return
    answer = _next_state(front, back, online=store.get(f"{backend}/online") == "1")
    if answer and answer != back:
        # the toolstack may have asked for the device back meanwhile: then that stands
        store.replace(f"{backend}/state", back, answer)


def _next_state(front: str, back: str, *, online: bool) -> str:
    """The back end's new state, "" to stay."""
    if front in {_INITIALISED, _CONNECTED} and back in {_INIT_WAIT, _INITIALISED}:
        return _CONNECTED
    if front == _CLOSING and back in {_INIT_WAIT, _CONNECTED}:
        return _CLOSING
    if front == _CLOSED:
        return _CLOSED
    if front == _INIT and back in {_CLOSING, _CLOSED} and online:
        return _INIT_WAIT
    return ""
