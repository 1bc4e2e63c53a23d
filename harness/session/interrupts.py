"""Ctrl-C and SIGTERM: the first ends the work, the second hears that it is tidied up, the third ends that.

A signal that is ignored, as Ctrl-C is by what a script started in the background, stays ignored.

They come as KeyboardInterrupt, but not just anywhere: paramiko takes its locks by ``acquire`` and then
``try``, and an exception between the two leaves a lock held for ever. Tidying up, which talks to the same
hosts, would wait for it. So in the middle of such code a signal is put off until that is done, or waits.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import threading
import types
from collections.abc import Iterator

__all__ = ["interruptible", "loading", "tidying"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TOLD = b"pvhck: tidying up; interrupt once more to leave that to the next `pvhck lab sweep`\n"

_DELICATE = {"paramiko", "logging"}  # packages whose locks an exception could leave held
# Where such code stays long, and an exception does no harm: a wait takes its lock back whatever happens.
_WAITING = {"Condition.wait", "SSHClient.connect"}
_AGAIN_S = 0.01


class _Handler:
    """What the signals do, whichever of them comes."""

    def __init__(self) -> None:
        self.came = False
        self.tidying = False
        self._told = False

    def __call__(self, number: int, frame: types.FrameType | None) -> None:
        if self._told or not (self.came or self.tidying):
            self._break_off(number, frame)
            return
        self.came = self._told = True
        # no lock and no buffer: whoever is interrupted may be about to write, too
        with contextlib.suppress(OSError):
            os.write(2, _TOLD)

    def _break_off(self, number: int, frame: types.FrameType | None) -> None:
        if _is_delicate(frame):
            again = threading.Timer(_AGAIN_S, _thread.interrupt_main, (number,))
            again.daemon = True
            again.start()
            return
        self.came = True
        raise KeyboardInterrupt


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Within it Ctrl-C ends the process at once: nothing is there to be tidied up.

    As an exception it would be shown, or swallowed, by whichever module is just being imported.
    """
    with _handled_by(signal.SIG_DFL):
        yield


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within it the signals come in the order above. For the main thread: no other gets any."""
    with _handled_by(_handler()):
        yield


@contextlib.contextmanager
def tidying() -> Iterator[None]:
    """Within it a first signal breaks nothing off; when all is done, it comes as KeyboardInterrupt."""
    handler = _handler()
    came, handler.tidying = handler.came, True
    try:
        with _handled_by(handler):
            yield
    finally:
        handler.tidying = False
    if handler.came and not came:
        raise KeyboardInterrupt


def _handler() -> _Handler:
    """The one that is installed, else a new one."""
    there = (signal.getsignal(number) for number in _SIGNALS)
    return next((one for one in there if isinstance(one, _Handler)), None) or _Handler()


@contextlib.contextmanager
def _handled_by(handler: _Handler | signal.Handlers) -> Iterator[None]:
    before = {}
    if threading.current_thread() is threading.main_thread():
        there = {number: signal.getsignal(number) for number in _SIGNALS}
        before = {number: one for number, one in there.items() if one is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, one in before.items():
            signal.signal(number, one)


def _is_delicate(frame: types.FrameType | None) -> bool:
    if frame is not None and frame.f_code.co_qualname in _WAITING:
        return False
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _DELICATE:
            return True
        frame = frame.f_back
    return False
