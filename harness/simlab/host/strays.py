"""What a toolstack takes away last when a domain ends, and forgets where the switch ``leaks`` says so."""

from __future__ import annotations

import threading

from harness.simlab.faults import FaultKind, Faults
from harness.simlab.host.domain import Domain
from harness.simlab.host.files import HostFiles

__all__ = ["DEVICES", "Strays", "model_words"]

DEVICES = "/sys/class/net"


class Strays:
    """Device models and network devices of one host's domains. Thread-safe."""

    def __init__(self, files: HostFiles, faults: Faults) -> None:
        self._files = files
        self._faults = faults
        self._models: dict[int, str] = {}
        self._lock = threading.Lock()

    def begin(self, domain: Domain, pid: int) -> None:
        """A domain is there: its device model runs, its interfaces have their devices in dom0."""
        with self._lock:
            self._models[pid] = model_words(domain)

    def plugged(self, domid: int, index: int) -> None:
        """An interface has its device in dom0."""
        self._files.real(_device(domid, index)).mkdir(parents=True, exist_ok=True)

    def unplugged(self, domid: int, index: int) -> None:
        """An interface has its device no more."""
        if not self.forgets("device") and self._files.exists(_device(domid, index)):
            self._files.remove_tree(_device(domid, index))

    def end(self, pid: int) -> None:
        """A domain is gone."""
        if not self.forgets("process"):
            self.kill(pid)

    def kill(self, pid: int) -> bool:
        """End a process; False if there is none with that number."""
        with self._lock:
            return self._models.pop(pid, None) is not None

    def processes(self) -> tuple[tuple[int, str], ...]:
        """Device models, by number, with their command lines."""
        with self._lock:
            return tuple(sorted(self._models.items()))

    def forgets(self, what: str) -> bool:
        """Whether the switch is on for this."""
        return self._faults.hits(FaultKind.LEAKS, what)


def model_words(domain: Domain) -> str:
    """The beginning of a device model's command line."""
    return f"/usr/libexec/xen-qemu-system-i386 -xen-domid {domain.domid} -name {domain.name}"


def _device(domid: int, index: int) -> str:
    # netback's name for it (Linux drivers/net/xen-netback/interface.c); QEMU's tap beside it is not played
    return f"{DEVICES}/vif{domid}.{index}"
