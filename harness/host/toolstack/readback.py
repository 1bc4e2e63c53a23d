"""What every toolstack of ours does after it has told one to do something: it looks.

A domain, disk or interface that was made has to be listed afterwards, one that was taken away must not be.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.errors import CommandFailed
from harness.host.ssh import SshShell
from harness.host.toolstack.protocol import BlockDevice, DomainInfo, NetworkDevice, NoSuchDomain
from harness.host.xenstore import Xenstore
from harness.model import XenVersion

__all__ = ["GONE_S", "ReadBack"]

GONE_S = 40  # before the host's time factor


class ReadBack(ABC):
    """The part of ``Toolstack`` that reads lists and compares them."""

    def __init__(self, shell: SshShell, version: XenVersion) -> None:
        self.version = version
        self._shell = shell
        self._store = Xenstore(shell)

    @abstractmethod
    def domains(self) -> tuple[DomainInfo, ...]:
        """See ``Toolstack.domains``."""

    @abstractmethod
    def disks(self, name: str) -> tuple[BlockDevice, ...]:
        """See ``Toolstack.disks``."""

    @abstractmethod
    def nics(self, name: str) -> tuple[NetworkDevice, ...]:
        """See ``Toolstack.nics``."""

    def find(self, name: str) -> DomainInfo | None:
        """See ``Toolstack.find``."""
        return next((domain for domain in self.domains() if domain.name == name), None)

    @property
    def _host(self) -> str:
        return self._shell.spec.name

    def _required(self, name: str) -> DomainInfo:
        domain = self.find(name)
        if domain is None:
            raise NoSuchDomain(f"host {self._host}: there is no domain {name}")
        return domain

    def _require_paused(self, name: str) -> None:
        if not self._required(name).paused:
            raise CommandFailed(f"host {self._host}: {name} is not paused")

    def _require_unpaused(self, name: str) -> None:
        domain = self._required(name)
        # where Xen counts pauses one unpause undoes one (quirks.COUNTED_PAUSES)
        if domain.paused and not domain.shutdown:
            raise CommandFailed(f"host {self._host}: {name} is still paused")

    def _wait_gone(self, name: str, *, listing: str, told: str = "") -> None:
        """``listing`` is what it leaves, and ``told`` what the toolstack said, for who waited in vain."""

        def probe() -> Done[None] | NotYet:
            domain = self.find(name)
            return Done(None) if domain is None else NotYet(f"{domain}; {told}" if told else str(domain))

        wait_until(
            probe,
            subject=f"{name} leaves {listing}",
            deadline=Deadline.after(GONE_S * self._shell.spec.time_factor),
        )

    @contextmanager
    def _attaching_disk(self, name: str, vdev: str) -> Iterator[None]:
        before = {device.vdev for device in self.disks(name)}
        yield
        if before == {device.vdev for device in self.disks(name)}:
            raise CommandFailed(f"host {self._host}: {vdev} of {name} is not in the list of disks")

    @contextmanager
    def _detaching_disk(self, name: str, vdev: str) -> Iterator[None]:
        before = len(self.disks(name))
        yield
        if len(self.disks(name)) != before - 1:
            raise CommandFailed(f"host {self._host}: block-detach: {vdev} of {name} is still listed")

    def _plugged(self, name: str, mac: str, plug: Callable[[], object], unplug: Callable[[], object]) -> None:
        """Plug an interface in; what a failed attempt leaves behind is taken away again."""
        try:
            plug()
        except NoSuchDomain:
            raise
        except CommandFailed:
            if self._has_nic(name, mac):
                unplug()
            raise
        if not self._has_nic(name, mac):
            raise CommandFailed(f"host {self._host}: {mac} of {name} is not in the list of interfaces")

    def _unplugged(self, name: str, mac: str) -> None:
        if self._has_nic(name, mac):
            raise CommandFailed(f"host {self._host}: {mac} of {name} is still in the list of interfaces")

    def _has_nic(self, name: str, mac: str) -> bool:
        return any(device.mac == mac.lower() for device in self.nics(name))
