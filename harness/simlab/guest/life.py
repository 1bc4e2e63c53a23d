"""The thread that does all a guest does in one life of its domain, one thing after the other."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable

from harness.simlab.host.store import Watch
from harness.simlab.machine import Machine, StopReason

__all__ = ["Life"]

Action = Callable[[], None]

_LAST_LIFE_S = 10.0  # a guest's server needs two at most to let go of its port


class Life:
    """From power on until the domain ends.

    Actions are queued from anywhere and run here under ``lock``; while the domain is paused
    they wait. Whoever holds ``lock`` may call the machine, never the other way round: the
    host's calls only queue.
    """

    def __init__(self, machine: Machine, before: Life | None = None) -> None:
        self.machine = machine
        self.lock = threading.RLock()
        self.over = threading.Event()
        self.ended = threading.Event()
        self.on_pause: Action = _nothing
        self.on_unpause: Action = _nothing
        self.at_end: list[Action] = []
        self._before = before
        self._heir: Life | None = None
        self._reason: StopReason | None = None
        self._actions: queue.SimpleQueue[tuple[Action, bool] | None] = queue.SimpleQueue()
        self._wake = threading.Event()
        self._watches: set[Watch] = set()
        self._thread = threading.Thread(target=self._run, name=f"guest {machine.name}", daemon=True)

    def begin(self, action: Action) -> None:
        """Start with an action."""
        self.post(action)
        self._thread.start()

    def post(self, action: Action, *, locked: bool = True) -> None:
        """Run an action as soon as what was queued before is done.

        Not ``locked`` is what waits for operations, which may want the lock.
        """
        if self._heir is not None:
            self._heir.post(action, locked=locked)
            return
        self._actions.put((action, locked))
        self._wake.set()

    def inherit(self, before: Life) -> None:
        """Do what ``before`` had not done when it ended: it was saved, and this is the restored guest."""
        before._heir = self
        before.ended.wait(_LAST_LIFE_S)
        while True:
            try:
                entry = before._actions.get_nowait()
            except queue.Empty:
                return
            if entry is not None:
                action, locked = entry
                self.post(action, locked=locked)

    def after(self, seconds: float, action: Action) -> None:
        """Run an action in so many seconds of the lab's pace."""
        self.machine.clock.after(self.machine.pace.of(seconds), lambda: self.post(action))

    def finish(self, reason: StopReason) -> None:
        """The guest stops its domain once the running action is done."""
        self._reason = reason
        self.post(lambda: None)

    def cut(self) -> None:
        """The power is gone. Returns at once; ``ended`` is set when all is let go."""
        self.over.set()
        self._actions.put(None)
        self._wake.set()

    def pause_changed(self) -> None:
        """Look at ``machine.paused`` again."""
        self.post(lambda: None)

    # -- xenstore watches

    def watch(self, path: str) -> Watch:
        """A watch that ends with this life at the latest."""
        watch = self.machine.store.watch(path)
        self._watches.add(watch)
        if self.over.is_set():
            self.unwatch(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        """End a watch."""
        self._watches.discard(watch)
        self.machine.store.unwatch(watch)

    def on_change(self, path: str, action: Callable[[str], None]) -> None:
        """Queue ``action`` with each path below ``path`` that changes, once at the beginning."""
        watch = self.watch(path)

        def follow() -> None:
            while (changed := watch.next()) is not None:
                self.post(lambda changed=changed: action(changed))  # type: ignore[misc]

        threading.Thread(target=follow, name=f"guest {self.machine.name} watch", daemon=True).start()

    # -- the thread

    def _run(self) -> None:
        try:
            if self._before is not None:
                self._before.ended.wait(_LAST_LIFE_S)
            while (entry := self._actions.get()) is not None:
                self._wait_while_paused()
                if self.over.is_set():
                    self._actions.put(entry)  # for whoever inherits it
                    break
                action, locked = entry
                with self.lock if locked else contextlib.nullcontext():
                    action()
                if self._reason is not None:
                    break
        except Exception as error:  # noqa: BLE001  # a mistake in the simulator: Clock.close raises it
            failure = error

            def report() -> None:
                raise failure

            self.machine.clock.after(0, report)
        finally:
            self._tear_down()

    def _wait_while_paused(self) -> None:
        if not self.machine.paused:
            return
        self.on_pause()
        while self.machine.paused and not self.over.is_set():
            self._wake.wait()
            self._wake.clear()
        self.on_unpause()

    def _tear_down(self) -> None:
        cut = self.over.is_set()
        self.over.set()
        for action in self.at_end:
            action()
        for watch in tuple(self._watches):
            self.unwatch(watch)
        if self._reason is not None and not cut:
            self.machine.stop(self._reason)
        self.ended.set()


def _nothing() -> None:
    pass
