"""Xen itself on a simulated host: which domains there are, memory, its log."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from harness.simlab.host.domain import Domain

__all__ = ["DOM0_KIB", "DOM0_VCPUS", "Hypervisor"]

DOM0_KIB = 1536 * 1024  # dom0_mem of the lab the samples were recorded on
DOM0_VCPUS = 2
_XEN_KIB = 64 * 1024  # what Xen keeps for itself, about as recorded in xen-4.17/xl-info.txt
_STARVED_KIB = 24 * 1024
_LOG_LINES = 2000


class Hypervisor:
    """Domains by number. ``lock`` guards them; ``changed`` is told of whatever happens to one.

    ``budget_mib`` is the memory there is for guests; with ``starved`` there is next to none.
    ``banner`` is the first line of the log.
    """

    def __init__(self, budget_mib: int, banner: str, *, starved: Callable[[], bool]) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.booted_at = time.time()
        self._budget = budget_mib * 1024
        self._starved = starved
        self._domains: dict[int, Domain] = {}
        self._next = 1
        self._log: deque[str] = deque([banner], maxlen=_LOG_LINES)
        self._dom0_cpu_s = 30.0
        self._lost_kib = 0

    @property
    def total_kib(self) -> int:
        """All memory of the host."""
        return self._budget + DOM0_KIB + _XEN_KIB

    @property
    def free_kib(self) -> int:
        """Memory that no domain has."""
        with self.lock:
            free = self._budget - self._lost_kib - sum(domain.memory for domain in self._domains.values())
        return min(free, _STARVED_KIB) if self._starved() else free

    def new_domid(self) -> int:
        """The next number; a failed create uses one up too."""
        with self.lock:
            domid = self._next
            self._next += 1
            return domid

    @property
    def had_domains(self) -> bool:
        """Whether any was ever made."""
        return self._next > 1

    def add(self, domain: Domain) -> None:
        """A domain is there now."""
        with self.lock:
            self._domains[domain.domid] = domain
            self.changed.notify_all()

    def remove(self, domain: Domain) -> bool:
        """A domain is there no more; False if it was gone already."""
        with self.lock:
            if self._domains.pop(domain.domid, None) is None:
                return False
            domain.gone = True
            self.changed.notify_all()
            return True

    def domains(self) -> tuple[Domain, ...]:
        """All but dom0, by number."""
        with self.lock:
            return tuple(self._domains[domid] for domid in sorted(self._domains))

    def find(self, word: str) -> Domain | None:
        """A domain by name or number, as xl reads it."""
        with self.lock:
            if word.isdigit():
                return self._domains.get(int(word))
            return next((domain for domain in self._domains.values() if domain.name == word), None)

    def lose(self, kib: int) -> None:
        """Memory is nobody's from now on."""
        with self.lock:
            self._lost_kib += kib

    def log(self, line: str) -> None:
        """A line for ``xl dmesg``."""
        with self.lock:
            self._log.append(line)

    def read_log(self, *, clear: bool) -> str:
        """What ``xl dmesg`` prints."""
        with self.lock:
            text = "".join(f"(XEN) {line}\n" for line in self._log)
            if clear:
                self._log.clear()
            return text

    def pass_cpu_time(self) -> float:
        """Processor time goes on for whatever runs; gives dom0's.

        A guess: a tenth of a second, the least that xl shows, each time somebody looks. Time
        is not scaled here as it would have to be for the real figures to make sense.
        """
        with self.lock:
            for domain in self._domains.values():
                if domain.runs:
                    domain.cpu_s += 0.1
            self._dom0_cpu_s += 0.1
            return self._dom0_cpu_s

    def wake(self) -> None:
        """Let all who wait look again."""
        with self.lock:
            self.changed.notify_all()

    def wait(self, condition: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait until a condition of domains holds; gives whether it does."""
        with self.lock:
            return self.changed.wait_for(condition, seconds)
