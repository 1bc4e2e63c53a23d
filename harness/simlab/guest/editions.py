"""What differs between the editions of Windows that are played, chosen by a template's ``os`` text."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Edition", "edition_of"]


@dataclass(frozen=True)
class Edition:
    """One edition.

    ``old`` is Windows 7 and Server 2008 R2: no Defender, NetAdapter and Storage classes, and
    adapters, disks and pnputil by their old words. ``used_kib`` is what the system itself takes.
    """

    version: str
    shell_version: str
    script_policy: str
    adapter: str
    used_kib: int
    old: bool = False


# Versions are those of Microsoft's release lists; the WMF 5.1 version of Windows 7 is that of KB3191566.
# Memory in use is a guess: no figure of an idle guest was recorded.
_TABLE: tuple[tuple[str, Edition], ...] = (
    (
        r"\b7\b|2008 ?R2",
        Edition("6.1.7601", "5.1.14409.1005", "Undefined", "Local Area Connection", 420 << 10, old=True),
    ),
    (r"2012 ?R2|\b8\.1\b", Edition("6.3.9600", "5.1.14409.1005", "RemoteSigned", "Ethernet", 520 << 10)),
    (r"2016", Edition("10.0.14393", "5.1.14393.0", "RemoteSigned", "Ethernet", 640 << 10)),
    (r"2019", Edition("10.0.17763", "5.1.17763.316", "RemoteSigned", "Ethernet", 640 << 10)),
    (r"2022", Edition("10.0.20348", "5.1.20348.1", "RemoteSigned", "Ethernet", 700 << 10)),
    (r"\b11\b", Edition("10.0.22631", "5.1.22621.1", "Undefined", "Ethernet", 900 << 10)),
)
_DEFAULT = Edition("10.0.19045", "5.1.19041.1237", "Undefined", "Ethernet", 760 << 10)


def edition_of(os: str) -> Edition:
    """The edition a template's ``os`` names; Windows 10 where it names none that is known."""
    return next((edition for pattern, edition in _TABLE if re.search(pattern, os)), _DEFAULT)
