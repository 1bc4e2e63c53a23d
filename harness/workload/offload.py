"""Checksum offload of a guest's adapter, switched by its advanced properties and put back.

Keywords and values: facts/pv-drivers.md 4 (win-xennet src/xennet.inf): 0 off, 1 sent, 2 received, 3 both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from harness.deadline import Done, NotYet, wait_until
from harness.errors import GuestCrashed, GuestError, InfrastructureError, OperationFailed
from harness.guest.guest import Guest
from harness.operations import NetworkAdapter

__all__ = ["CHECKSUM_KEYWORDS", "checksum_keywords", "checksum_offload", "own_adapter"]

CHECKSUM_KEYWORDS = (
    "*IPChecksumOffloadIPv4",
    "*TCPChecksumOffloadIPv4",
    "*TCPChecksumOffloadIPv6",
    "*UDPChecksumOffloadIPv4",
    "*UDPChecksumOffloadIPv6",
)
_BOTH, _OFF = "3", "0"
_SENT = 1
_BACK_S = 120


def own_adapter(guest: Guest) -> NetworkAdapter:
    """The adapter with the MAC address the guest was configured with.

    Raises:
        GuestError: there is none, or more than one.
    """
    adapters = guest.operations.network_adapters()
    found = [adapter for adapter in adapters if adapter.mac == guest.mac.lower()]
    if len(found) != 1:
        seen = ", ".join(f"{adapter.description} {adapter.mac}" for adapter in adapters) or "none"
        raise GuestError(f"{guest.name} has {len(found)} adapters with the MAC {guest.mac}; all: {seen}")
    return found[0]


def checksum_keywords(adapter: NetworkAdapter) -> Mapping[str, str]:
    """The checksum settings an adapter has, with their values; empty when it has none."""
    return {keyword: value for keyword, value in adapter.settings if keyword in CHECKSUM_KEYWORDS}


@contextmanager
def checksum_offload(guest: Guest, *, on: bool) -> Iterator[None]:
    """All checksum offloads on, or off, while the context lasts; afterwards they are as they were.

    Raises:
        GuestError: the adapter does not take a setting, or does not come back after it.
    """
    before = checksum_keywords(own_adapter(guest))
    try:
        for keyword in before:
            set_keyword(guest, keyword, _BOTH if on else _OFF)
        yield
    finally:
        for keyword, value in before.items():
            set_keyword(guest, keyword, value)


def set_keyword(guest: Guest, keyword: str, value: str) -> None:
    try:
        guest.operations.set_network_setting(mac=guest.mac.lower(), keyword=keyword, value=value)
    except (OperationFailed, GuestCrashed):
        raise
    except (GuestError, InfrastructureError):
        # the adapter restarts and takes the answer along; whether it was heard is read back
        guest.disconnect()

    def probe() -> Done[None] | NotYet:
        try:
            adapter = own_adapter(guest)
        except GuestCrashed:
            raise
        except (GuestError, InfrastructureError) as error:
            return NotYet(str(error))
        now = dict(adapter.settings).get(keyword, "missing")
        return Done(None) if adapter.up and _same(now, value) else NotYet(f"{keyword} is {now}")

    wait_until(
        probe,
        subject=f"the adapter of {guest.name} is up again with {keyword} = {value}",
        deadline=guest.deadline(_BACK_S),
    )


def _same(now: str, value: str) -> bool:
    """Equal, or equal in what is sent: some adapters have receiving fixed."""
    both_numbers = now.isdecimal() and value.isdecimal()
    return now == value or (both_numbers and int(now) & _SENT == int(value) & _SENT)
