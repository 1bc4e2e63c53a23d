"""A real Xen host nested in QEMU, and the Linux guest that stands in for Windows on it.

The names stand in ``harness.xenlab.lab``; they are looked up late, because this package is also copied
into the guest, where only ``pvstate`` and ``standin`` are, and importing is slow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.xenlab.lab import LabStatus, RunningLab, XenLab

__all__ = ["LabStatus", "RunningLab", "XenLab"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from harness.xenlab import lab  # noqa: PLC0415 - see above

    return getattr(lab, name)
