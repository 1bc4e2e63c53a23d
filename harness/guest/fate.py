"""What a host's list of domains tells of a guest that answers no more, and whose fault that is."""

from __future__ import annotations

from harness.errors import GuestCrashed, GuestGone, HarnessError, InfrastructureError
from harness.host.host import Host
from harness.host.toolstack.protocol import DomainInfo

__all__ = ["fate"]


def fate(
    host: Host,
    name: str,
    domain: DomainInfo | None,
    domid: int,
    error: HarnessError,
    *,
    restarting: bool = False,
) -> HarnessError | None:
    """What to raise for ``error``, None if the domain is as it should be.

    ``domain`` is what is listed of it, ``domid`` the number it had when it last answered, 0 for never. One
    that is ``restarting`` may have another by now.
    """
    if domain is None:
        return _gone(host, name, domid, error)
    if domain.crashed:
        return GuestCrashed(f"{name} crashed; {error}")
    if domain.paused:  # no guest does that to itself
        return _meddled(host, f"somebody paused {name}; {error}")
    if domid not in {0, domain.domid} and not restarting:
        # Windows without XENBUS restarts after a bugcheck: its domain never is in state c
        was = f"its domain {domid} is now {domain.domid}"
        return GuestGone(f"{name} restarted though nobody asked it to: {was}; {error}")
    return None


def _gone(host: Host, name: str, domid: int, error: HarnessError) -> HarnessError:
    if host.toolstack.taken_away(name, domid):
        return _meddled(host, f"somebody destroyed {name}: its toolstack's log says so")
    return GuestGone(f"{name} is gone from its host though nobody stopped it; {error}")


def _meddled(host: Host, what: str) -> InfrastructureError:
    return InfrastructureError(
        f"host {host.name}: {what}", mend=f"find out who else uses this host: pvhck lab status {host.name}"
    )
