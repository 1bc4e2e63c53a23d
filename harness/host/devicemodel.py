"""The device model of a domain: the process in dom0 that plays its hardware, console and screen.

Without it a domain stays in the toolstack's list as before. A guest that runs on PV drivers goes on, one
that needs an emulated disk or card is silent (both seen on nested 4.17): neither is the guest's fault.
"""

from __future__ import annotations

import re

from harness.host.ssh import SshShell
from harness.host.toolstack.protocol import DomainInfo, Toolstack
from harness.host.xenstore import Xenstore

__all__ = ["lost_model", "served_by"]

# QEMU (libxl_dm.c), and the old ioemu (xend's image.py, libxl_dm.c)
_SERVES = re.compile(r"-xen-domid (\d{1,9})\b|-d (\d{1,9}) -domain-name\b")


def served_by(words: str) -> frozenset[int]:
    """Numbers of the domains that a command line is the device model of. Pure."""
    return frozenset(int(one or other) for one, other in _SERVES.findall(words))


def lost_model(shell: SshShell, toolstack: Toolstack, domain: DomainInfo) -> str:
    """What became of a domain's device model, in words; empty while it is there, or was never told of.

    A domain that ends meanwhile loses it first: that is no loss.

    Raises:
        InfrastructureError: the host does not answer.
    """
    if domain.ending:
        return ""
    # written by xend and libxl alike, but for a stub domain's
    pid = Xenstore(shell).find(f"/local/domain/{domain.domid}/image/device-model-pid") or ""
    if not pid.isdigit():
        return ""
    words = shell.run(["ps", "-p", pid, "-o", "args="], repeatable=True).stdout
    if domain.domid in served_by(words):
        return ""
    now = toolstack.find(domain.name)
    if now is None or now.domid != domain.domid or now.ending:
        return ""
    return f"the device model of {domain.name} (process {pid}) is gone, and its domain still there"
