"""An empty balloon before drivers are replaced or removed.

XENBUS refuses to be stopped or removed while its balloon holds memory (win-xenbus src/xenbus/fdo.c,
FdoQueryStopDevice, FdoQueryRemoveDevice; facts/pv-drivers.md 1.3).
"""

from __future__ import annotations

from harness.deadline import Done, NotYet, WaitTimedOut, wait_until
from harness.errors import GuestError
from harness.guest.guest import Guest
from harness.lab.profile import InstallParams

__all__ = ["empty_balloon"]

_TOLERANCE_MIB = 32


def empty_balloon(guest: Guest, params: InstallParams) -> None:
    """Have the guest at its full memory; does nothing when its target is that already.

    Raises:
        GuestError: the balloon does not give the memory back.
    """
    if not _has_target_below_full(guest):
        return
    full = guest.domain.memory_mib
    guest.host.toolstack.set_memory(guest.name, full)

    def probe() -> Done[None] | NotYet:
        domain = guest.host.toolstack.find(guest.name)
        seen = domain.memory_mib if domain is not None else 0
        return Done(None) if seen >= full - _TOLERANCE_MIB else NotYet(f"{seen} MiB")

    try:
        wait_until(probe, subject=f"{guest.name} at its {full} MiB", deadline=guest.deadline(params.settle_s))
    except WaitTimedOut as error:
        raise GuestError(f"its balloon has to be empty before drivers are replaced: {error}") from error


def _has_target_below_full(guest: Guest) -> bool:
    folder = f"{guest.store}/memory"
    values = [guest.host.xenstore.find(f"{folder}/{key}") for key in ("target", "videoram", "static-max")]
    target, videoram, static_max = (
        int(value) if value is not None and value.isdecimal() else None for value in values
    )
    if target is None or static_max is None:
        return False  # xend writes no static-max: then the driver does not balloon at all
    return target + (videoram or 0) < static_max
