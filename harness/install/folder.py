"""Where driver builds lie in a guest."""

from __future__ import annotations

from harness.model import GuestKind

__all__ = ["guest_path"]

_FOLDERS = {
    GuestKind.WINDOWS: "C:\\ProgramData\\pvhck\\build",
    GuestKind.SIMULATED: "C:\\ProgramData\\pvhck\\build",
    GuestKind.STAND_IN: "/var/lib/pvhck/build",
}


def guest_path(kind: GuestKind, *names: str) -> str:
    """A path below the folder of builds, as the guest's system writes paths."""
    separator = "/" if kind is GuestKind.STAND_IN else "\\"
    return separator.join((_FOLDERS[kind], *names))
