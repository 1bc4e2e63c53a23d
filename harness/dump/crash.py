"""What a crash is called: its bugcheck and the module at fault, however they were learned."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.dump.bugcodes import Bugcheck

__all__ = ["Crash", "module_name"]

_ODD = re.compile(r"[^a-z0-9_.+-]")
_LONGEST = 64


@dataclass(frozen=True)
class Crash:
    """A bugcheck; ``module`` is the file at fault in small letters, empty where it is not known."""

    bugcheck: Bugcheck
    module: str = ""

    @property
    def signature(self) -> str:
        """``0xD1 in xenvif.sys``: the same for crashes alike, in this run and any other.

        Neither parameters nor the place in the module are part of it: addresses are others at each
        boot, and the next build moves the code.
        """
        return self._in(f"0x{self.bugcheck.code:X}")

    def agrees_with(self, other: Crash) -> bool:
        """Whether both can be what was learned of one crash."""
        return self.bugcheck.code == other.bugcheck.code

    def __str__(self) -> str:
        return self._in(str(self.bugcheck))

    def _in(self, what: str) -> str:
        return f"{what} in {self.module}" if self.module else what


def module_name(path: str) -> str:
    r"""The file name of ``\SystemRoot\system32\drivers\XENVIF.SYS`` in small letters.

    It comes from a guest: what no driver is called by becomes a question mark.
    """
    name = path.replace("/", "\\").rpartition("\\")[2].lower()
    return _ODD.sub("?", name)[:_LONGEST]
