"""How far the work with a host or a guest has come, told by what it is seen to be asked for."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Stage"]


class Stage(IntEnum):
    """In the order in which a run goes through them; the names in lower case stand in ``hosts.ini``."""

    LEASE = 1  # the host is looked at, swept, taken
    CLONE = 2  # a disk is made from the template
    BOOT = 3  # the domain is made, the guest boots
    DELIVER = 4  # the first file comes into the guest
    INSTALL = 5  # the first driver is installed
    REBOOT = 6  # the guest boots again, with drivers in it
    VERIFY = 7  # its devices are looked at
    SCENARIO = 8  # dumps are counted before a test: it begins
    TEARDOWN = 9  # and once more: it has ended
