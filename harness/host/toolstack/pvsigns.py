"""Whether a domain's PV drivers show in xenstore: for toolstacks that do not say it themselves."""

from __future__ import annotations

import re

from harness.host.xenstore import Xenstore

__all__ = ["shows_pv"]

_STATE = re.compile(r"/device/v(?:if|bd)/\d+/state$")
_CONNECTED = "4"  # XenbusState (xen/include/public/io/xenbus.h)


def shows_pv(store: Xenstore, domid: int) -> bool:
    """Whether XENBUS says so by ``control/feature-suspend``, or a front end has connected.

    libxl and xend ask Xen for the guest's callback interrupt, which nothing in dom0 prints.
    """
    return any(
        (path.endswith("/control/feature-suspend") and value == "1")
        or (_STATE.search(path) is not None and value == _CONNECTED)
        for path, value in store.tree(f"/local/domain/{domid}").items()
    )
