"""Ctrl-C and SIGTERM: the first ends the work, the next is told that it is tidied up, the one after ends that."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import types
from collections.abc import Iterator

__all__ = ["interruptible", "tidying"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TOLD = b"pvhck: tidying up; interrupt once more to leave that to the next `pvhck lab sweep`\n"


class _Handler:
    """What the signals do, whichever of them comes."""

    def __init__(self) -> None:
        self.came = False
        self.tidying = False
        self._told = False

    def __call__(self, _number: int, _frame: types.FrameType | None) -> None:
        first, self.came = not self.came, True
        if self._told or (first and not self.tidying):
            raise KeyboardInterrupt
        self._told = True
        # no lock and no buffer: whoever is interrupted may be about to write, too
        with contextlib.suppress(OSError):
            os.write(2, _TOLD)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within it the signals come as KeyboardInterrupt, and in the order above. For the main thread."""
    with _handled():
        yield


@contextlib.contextmanager
def tidying() -> Iterator[None]:
    """Within it a first signal breaks nothing off; when all is done, it comes as KeyboardInterrupt.

    Does nothing in other threads than the main one, where no signals come.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    there = signal.getsignal(signal.SIGINT)
    with contextlib.nullcontext(there) if isinstance(there, _Handler) else _handled() as handler:
        came, handler.tidying = handler.came, True
        try:
            yield
        finally:
            handler.tidying = False
        if handler.came and not came:
            raise KeyboardInterrupt


@contextlib.contextmanager
def _handled() -> Iterator[_Handler]:
    handler = _Handler()
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield handler
    finally:
        for number, one in before.items():
            signal.signal(number, one)
