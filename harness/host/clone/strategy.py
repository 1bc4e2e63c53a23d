"""What every strategy is, and what those that make files have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from harness.errors import InfrastructureError, ProvisioningFailed
from harness.host.ssh import SshShell
from harness.model import CommandResult

__all__ = ["CloneStrategy", "ClonedDisk", "file_format", "make_file", "succeed"]

_QCOW2_MAGIC = "QFI"  # and byte 0xfb, which is no text (QEMU docs/interop/qcow2.txt)


@dataclass(frozen=True)
class ClonedDisk:
    """A disk of a guest's own on its host: a file, or a block device below ``/dev``."""

    path: str
    image_format: Literal["raw", "qcow2"]


class CloneStrategy(Protocol):
    """A way to make a disk from a template's image."""

    def clone(self, image: str, target: str) -> ClonedDisk:
        """Make ``target``, a file of the run's folder, from ``image``; the image is never written to.

        What makes no file takes from ``target`` the name alone, without its ending.

        Raises:
            ProvisioningFailed: the image is missing, or the host has no room.
        """


def make_file(shell: SshShell, command: Sequence[str], image: str, target: str, timeout_s: float) -> None:
    """Run the command that makes ``target``; half of a file is not left lying."""
    try:
        succeed(shell, shell.run(command, timeout_s=timeout_s), image)
    except InfrastructureError:
        with contextlib.suppress(InfrastructureError):
            shell.run(["rm", "-f", target])
        raise


def file_format(shell: SshShell, image: str) -> Literal["raw", "qcow2"]:
    """Looked at where there may be no qemu-img; names of images say all sorts of things."""
    begin = shell.check(["head", "-c", "4", image], repeatable=True)
    return "qcow2" if begin.startswith(_QCOW2_MAGIC) else "raw"


def succeed(shell: SshShell, result: CommandResult, image: str, *, mend: str = "") -> None:
    """Raise ``ProvisioningFailed`` for a command that failed."""
    if not result.ok:
        raise ProvisioningFailed(
            f"host {shell.spec.name}: cannot clone {image}: {result.describe()}",
            mend=mend or f"is the image there, and is there room? df -h {shell.spec.storage}",
        )
