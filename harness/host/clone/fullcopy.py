"""The whole image once more."""

from __future__ import annotations

from harness.host.clone.strategy import ClonedDisk, file_format, make_file
from harness.host.ssh import SshShell

__all__ = ["FullCopy"]

_COPY_S = 3600


class FullCopy:
    """The whole image once more: slow and large, needs nothing but cp."""

    def __init__(self, shell: SshShell) -> None:
        self._shell = shell

    def clone(self, image: str, target: str) -> ClonedDisk:
        """See ``CloneStrategy.clone``."""
        make_file(self._shell, ["cp", "--sparse=always", image, target], image, target, _COPY_S)
        return ClonedDisk(target, file_format(self._shell, image))
