"""Runs the collectors. None of them can stop the others, run for ever, or write outside of the folder."""

from __future__ import annotations

import contextlib
import logging
import queue
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.deadline import Deadline
from harness.errors import (
    ChannelError,
    CommandTimedOut,
    HarnessError,
    HostAuthFailed,
    HostKeyProblem,
    HostUnreachable,
)
from harness.evidence.collector import TEXT_LIMIT, Collector, Put, Scene, Side
from harness.evidence.guest_side import CHANNEL_COLLECTOR, GUEST_COLLECTORS
from harness.evidence.host_side import HOST_COLLECTORS
from harness.evidence.notes import Notes

__all__ = ["COLLECTORS", "collect"]

_log = logging.getLogger(__name__)

# The channel's log comes first: the guest's collectors would add to it.
COLLECTORS: tuple[Collector, ...] = (CHANNEL_COLLECTOR, *HOST_COLLECTORS, *GUEST_COLLECTORS)

_ALL_S = 240  # for everything together, before the host's time factor
_SIGN_S = 5  # for a host to do what takes no time
_AT_ONCE = 4  # collectors that ask a host: half of what an SSH connection carries
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_PICTURES = (".png",)
# A VNC password stands in the domain's description and in xenstore.
_PASSWORD = re.compile(r"""(passw(?:or)?d["']?\s*[:=]\s*["']?)([^"'\s,]+)""", re.IGNORECASE)
# After these nobody there is asked again: each further question would cost its whole time limit.
_GONE: dict[Side, tuple[type[HarnessError], ...]] = {
    Side.HERE: (),
    Side.HOST: (HostUnreachable, HostAuthFailed, HostKeyProblem),
    Side.GUEST: (ChannelError, HostUnreachable),
}


def collect(
    scene: Scene,
    folder: Path,
    *,
    redact: Callable[[str], str],
    collectors: Iterable[Collector] = COLLECTORS,
) -> tuple[str, ...]:
    """Collect into ``folder``, which is made; gives the names of the files, relative to it.

    To be called in the guest's own thread. The host is asked for several things at once, and the guest
    beside it. What fails or is cut is said in ``notes.txt``. ``redact`` takes secrets out of text before
    it is written.
    """
    shelf = _Shelf(folder, redact)
    search = _Search(scene, shelf, Deadline.after(_ALL_S * scene.host.spec.time_factor))
    fitting = [collector for collector in collectors if collector.fits(scene)]
    # the first finds out whether the host answers: the others need not, each for its whole time limit
    of_host = [one for one in fitting if one.side is Side.HOST]
    for collector in (*(one for one in fitting if one.side is Side.HERE), *of_host[:1]):
        search.run(collector)
    crew = search.start(of_host[1:])
    _note_absence(scene, search.silent)
    for collector in fitting:
        if collector.side is Side.GUEST:
            search.run(collector)
    for thread in crew:
        thread.join()
    return shelf.close()


@dataclass(frozen=True)
class _Search:
    """Collectors at work. ``silent`` tells of those who answer no more why they are not asked."""

    scene: Scene
    shelf: _Shelf
    whole: Deadline
    silent: dict[Side, str] = field(default_factory=dict)

    def run(self, collector: Collector) -> None:
        """Ask one, if it is of any use; what it raises is noted."""
        if self.whole.expired:
            self.silent.update(dict.fromkeys(Side, f"the {self.whole.seconds:.0f} s for evidence are over"))
        if collector.side in self.silent:
            self.shelf.note(f"{collector.name}: not tried: {self.silent[collector.side]}")
            return
        limit_s = collector.limit_s * self.scene.host.spec.time_factor
        deadline = Deadline.after(self.whole.at_most(limit_s))
        try:
            if collector.side is Side.HOST:
                _in_thread(collector, self.scene, self.shelf.put, deadline)
            else:  # a channel belongs to the thread that made it; its own limits end it
                collector.gather(self.scene, deadline, self.shelf.put)
        except Exception as error:  # noqa: BLE001  # whatever it is, the others are still to be asked
            _log.debug("evidence: %s", collector.name, exc_info=True)
            self.shelf.note(f"{collector.name}: {type(error).__name__}: {error}")
            late = collector.side is Side.HOST and isinstance(error, (CommandTimedOut, TimeoutError))
            if isinstance(error, _GONE[collector.side]) or (late and self._host_is_silent()):
                self.silent.setdefault(collector.side, f"{type(error).__name__} above")

    def _host_is_silent(self) -> bool:
        """Whether a host that was late does nothing at all: then it is not waited for again and again."""
        try:
            self.scene.run(["true"], Deadline.after(_SIGN_S * self.scene.host.spec.time_factor))
        except HarnessError:
            return True
        return False

    def start(self, collectors: Iterable[Collector]) -> tuple[threading.Thread, ...]:
        """Have threads ask them in their order; each thread ends, since none of its collectors lasts."""
        waiting: queue.SimpleQueue[Collector] = queue.SimpleQueue()
        for collector in collectors:
            waiting.put(collector)

        def work() -> None:
            with contextlib.suppress(queue.Empty):
                while True:
                    self.run(waiting.get_nowait())

        crew = tuple(threading.Thread(target=work, name="evidence", daemon=True) for _ in range(_AT_ONCE))
        for thread in crew:
            thread.start()
        return crew


def _in_thread(collector: Collector, scene: Scene, put: Put, deadline: Deadline) -> None:
    """Like a call, but given up at the deadline: SFTP has no time limit of its own."""
    found: list[tuple[str, str | bytes]] = []
    raised: list[Exception] = []

    def gather() -> None:
        try:
            collector.gather(scene, deadline, lambda name, content: found.append((name, content)))
        except Exception as error:  # noqa: BLE001  # carried over to the thread that waits
            raised.append(error)

    worker = threading.Thread(target=gather, name=f"evidence {collector.name}", daemon=True)
    worker.start()
    worker.join(deadline.remaining + 1)  # its commands end by the deadline itself, and say more
    for name, content in tuple(found):
        put(name, content)
    if raised:
        raise raised[0]
    if worker.is_alive():
        raise TimeoutError(f"did not end in {deadline.seconds:.0f} s; what it had by then is kept")


def _note_absence(scene: Scene, silent: dict[Side, str]) -> None:
    """A guest that is known not to run is not asked: its silence takes long."""
    if Side.HOST in silent or scene.guest is None:
        return  # its channel may be open without the host
    try:
        domain = scene.host.toolstack.find(scene.domain)
    except HarnessError:
        return
    if domain is None:
        silent[Side.GUEST] = "its domain is not there"
    elif domain.crashed or domain.paused or domain.shutdown:
        state = "crashed" if domain.crashed else "paused" if domain.paused else "shut down"
        silent[Side.GUEST] = f"its domain is {state}"


@dataclass
class _Shelf:
    """The folder: redacts, cuts, writes, and remembers what it wrote. Thread-safe."""

    folder: Path
    redact: Callable[[str], str]
    written: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.notes = Notes(self.folder, self._clean)

    def put(self, name: str, content: str | bytes) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a file of evidence")
        if isinstance(content, str):
            data = self._text(name, content).encode("utf-8", errors="replace")
        elif not name.endswith(_PICTURES):
            raise ValueError(f"{name}: only pictures are kept unread")
        elif len(content) > TEXT_LIMIT * 8:
            self.note(f"{name}: left out, it has {len(content)} bytes")
            return
        else:
            data = content
        with self.lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(data)
            if name not in self.written:
                self.written.append(name)

    def note(self, text: str) -> None:
        """Say what is missing."""
        with self.lock:
            self.notes.add(text)

    def close(self) -> tuple[str, ...]:
        return (*self.written, *self.notes.files)

    def _clean(self, text: str) -> str:
        return _PASSWORD.sub(r"\1***", self.redact(text))

    def _text(self, name: str, text: str) -> str:
        # redacted before it is cut: of half a secret nobody would recognize the rest
        text = self._clean(text)
        if len(text) <= TEXT_LIMIT:
            return text
        head = text[: TEXT_LIMIT // 4].rpartition("\n")[0]
        tail = text[-TEXT_LIMIT * 3 // 4 :].partition("\n")[2]
        left_out = len(text) - len(head) - len(tail)
        self.note(f"{name}: {left_out} characters in the middle are left out")
        return f"{head}\n[pvhck: {left_out} characters are left out here]\n{tail}"
