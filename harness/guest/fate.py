"""What a host's list of domains tells of a guest that answers no more, and whose fault that is."""

from __future__ import annotations

from harness.errors import GuestCrashed, GuestGone, HarnessError, InfrastructureError
from harness.host.devicemodel import lost_model
from harness.host.host import Host
from harness.host.toolstack.protocol import DomainInfo

__all__ = ["error_of_lost_model", "fate"]


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
    # Xen pauses a domain that has shut down; that a guest cannot do to itself
    if domain.paused and not domain.shutdown:
        return _meddled(host, f"somebody paused {name}; {error}")
    went = "" if restarting else _went(domain, domid)
    if went:
        return GuestGone(f"{name} {went}; {error}")
    return error_of_lost_model(host, domain, f"; {error}")


def error_of_lost_model(host: Host, domain: DomainInfo, also: str = "") -> InfrastructureError | None:
    """What to raise if a domain's device model is gone, None if it is not; ``also`` ends its words."""
    lost = lost_model(host.shell, host.toolstack, domain)
    if not lost:
        return None
    return InfrastructureError(
        f"host {host.name}: {lost}{also}",
        mend=f"see why it ended: /var/log/xen/qemu-dm-{domain.name}.log, dom0's kernel log (segfault, OOM)",
    )


def _went(domain: DomainInfo, domid: int) -> str:
    """How it goes, or went and came back, in words; empty if it stayed."""
    if domain.shutdown:
        return f"{'restarts' if domain.reason == 'r' else 'shut down'} though nobody asked it to"
    if domid not in {0, domain.domid}:
        # Windows without XENBUS restarts after a bugcheck: its domain never is in state c
        return f"restarted though nobody asked it to: its domain {domid} is now {domain.domid}"
    return ""


def _gone(host: Host, name: str, domid: int, error: HarnessError) -> HarnessError:
    if host.toolstack.taken_away(name, domid):
        return _meddled(host, f"somebody destroyed {name}: its toolstack's log says so")
    return GuestGone(f"{name} is gone from its host though nobody stopped it; {error}")


def _meddled(host: Host, what: str) -> InfrastructureError:
    return InfrastructureError(
        f"host {host.name}: {what}", mend=f"find out who else uses this host: pvhck lab status {host.name}"
    )
