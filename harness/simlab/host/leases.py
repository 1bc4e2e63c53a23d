"""Guests' addresses: a loopback network of the lab's own, leased by each host's DHCP server."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable

from harness.errors import ConfigurationError
from harness.simlab.host.files import HostFiles

__all__ = ["AddressRange", "Leases"]

LEASE_FILE = "/var/lib/misc/dnsmasq.leases"
_WINRM_PORT = 5985
_TRIES = 50
_GUARD = 254
_LEASE_S = 43200  # dnsmasq's default of twelve hours


class AddressRange:
    """A network 127.A.B.0/24 that no other lab on this machine has. Thread-safe."""

    def __init__(self) -> None:
        self._guard, self._prefix = _claim()
        self._taken: dict[str, tuple[Callable[[], bool], Callable[[], None]]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let others have it."""
        self._guard.close()

    def take(self, in_use: Callable[[], bool], given_up: Callable[[], None]) -> str:
        """An address; when none is left, the one longest taken that is not in use any more.

        Raises:
            ConfigurationError: all are in use.
        """
        with self._lock:
            for number in range(1, _GUARD):
                address = f"{self._prefix}{number}"
                if address not in self._taken:
                    self._taken[address] = (in_use, given_up)
                    return address
            for address, (busy, give_up) in self._taken.items():
                if not busy():
                    give_up()
                    del self._taken[address]
                    self._taken[address] = (in_use, given_up)
                    return address
        raise ConfigurationError("the simulated lab has no address left", mend="run fewer guests at once")


def _claim() -> tuple[socket.socket, str]:
    # not from the lab's seed: two labs of one seed may run at the same time
    dice = random.SystemRandom()
    for _ in range(_TRIES):
        prefix = f"127.{dice.randint(1, 254)}.{dice.randint(0, 255)}."
        guard = socket.socket()
        try:
            guard.bind((f"{prefix}{_GUARD}", _WINRM_PORT))
        except OSError:
            guard.close()
        else:
            return guard, prefix
    raise ConfigurationError(
        f"the simulated lab finds no loopback network with port {_WINRM_PORT} free",
        mend="does something listen on that port of all addresses? ss -ltn",
    )


class Leases:
    """One host's DHCP server: an address for each MAC, kept, and written down as dnsmasq does."""

    def __init__(self, network: AddressRange, files: HostFiles, is_used: Callable[[str], bool]) -> None:
        self._network = network
        self._files = files
        self._is_used = is_used
        self._leases: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()

    def ask(self, mac: str) -> str:
        """The address for a MAC."""
        with self._lock:
            known = self._leases.get(mac)
        address = (
            known[0] if known else self._network.take(lambda: self._is_used(mac), lambda: self._drop(mac))
        )
        with self._lock:
            self._leases[mac] = (address, int(time.time()) + _LEASE_S)
            self._write()
        return address

    def items(self) -> tuple[tuple[str, str], ...]:
        """MACs with their addresses."""
        with self._lock:
            return tuple((mac, address) for mac, (address, _) in self._leases.items())

    def _drop(self, mac: str) -> None:
        with self._lock:
            self._leases.pop(mac, None)
            self._write()

    def _write(self) -> None:
        text = "".join(
            f"{until} {mac} {address} * 01:{mac}\n" for mac, (address, until) in self._leases.items()
        )
        with contextlib.suppress(OSError):  # the lab is being closed
            self._files.write(LEASE_FILE, text)
