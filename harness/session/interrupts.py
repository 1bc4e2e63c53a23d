"""Ctrl-C and SIGTERM: the first ends the work, the second hears that it is tidied up, the third ends that.

A signal that is ignored, as Ctrl-C is by what a script started in the background, stays ignored.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import types
from collections.abc import Iterator

__all__ = ["interruptible", "loading", "tidying"]

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
def loading() -> Iterator[None]:
    """Within it Ctrl-C ends the process at once: nothing is there to be tidied up.

    As an exception it would be shown, or swallowed, by whichever module is just being imported.
    """
    with _handled(signal.SIG_DFL):
        yield


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within it the signals come as KeyboardInterrupt, and in the order above. For the main thread."""
    with _handled(_Handler()):
        yield


@contextlib.contextmanager
def tidying() -> Iterator[None]:
    """Within it a first signal breaks nothing off; when all is done, it comes as KeyboardInterrupt.

    Does nothing in other threads than the main one, where no signals come.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    there = (signal.getsignal(number) for number in _SIGNALS)
    handler = next((one for one in there if isinstance(one, _Handler)), None) or _Handler()
    came, handler.tidying = handler.came, True
    try:
        with _handled(handler):
            yield
    finally:
        handler.tidying = False
    if handler.came and not came:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _handled(handler: _Handler | signal.Handlers) -> Iterator[None]:
    there = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: one for number, one in there.items() if one is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, one in before.items():
            signal.signal(number, one)
