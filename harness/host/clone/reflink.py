"""A file that shares its blocks with the template until one of them is written to."""

from __future__ import annotations

import shlex

from harness.host.clone.strategy import ClonedDisk, file_format, make_file
from harness.host.ssh import SshShell

__all__ = ["Reflink", "can_reflink"]

_REFLINK_S = 300  # a large and fragmented image on XFS has many extents to share


class Reflink:
    """``cp --reflink`` on XFS, Btrfs and the like: quick, small, and the template may go afterwards.

    An image keeps the format it has. The template has to lie in the file system of ``storage``.
    """

    def __init__(self, shell: SshShell) -> None:
        self._shell = shell

    def clone(self, image: str, target: str) -> ClonedDisk:
        """See ``CloneStrategy.clone``."""
        # no --sparse: cp refuses it beside --reflink=always, and holes are shared as well
        make_file(self._shell, ["cp", "--reflink=always", image, target], image, target, _REFLINK_S)
        return ClonedDisk(target, file_format(self._shell, image))


def can_reflink(shell: SshShell, image: str, target: str) -> bool:
    """Whether ``target`` could share its blocks with ``image``; tried there, and taken away again.

    No name of a file system tells: XFS can or cannot as it was made, both have to lie in the same one,
    and cp knows the option from coreutils 7.5 on.
    """
    copy = shlex.join(("cp", "--reflink=always", image, target))
    script = f"{copy} 2>/dev/null; rc=$?; rm -f {shlex.quote(target)}; exit $rc"
    return shell.run(["sh", "-c", script], timeout_s=_REFLINK_S).ok
