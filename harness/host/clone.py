"""How a template's image becomes a guest's disk."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Literal, Protocol

from harness.errors import InfrastructureError, OutputNotUnderstood, ProvisioningFailed
from harness.host.host import Host
from harness.host.ssh import SshShell
from harness.lab import CloneMethod
from harness.model import CommandResult, ToolstackName

__all__ = ["CloneStrategy", "ClonedDisk", "FullCopy", "Overlay", "choose_strategy"]

_COPY_S = 3600
_OVERLAY_S = 60
_NOT_FOUND = 127
_QCOW2_MAGIC = "QFI"  # and byte 0xfb, which is no text (QEMU docs/interop/qcow2.txt)


@dataclass(frozen=True)
class ClonedDisk:
    """A disk of a guest's own on its host."""

    path: str
    image_format: Literal["raw", "qcow2"]


class CloneStrategy(Protocol):
    """A way to make a disk from a template's image."""

    def clone(self, image: str, target: str) -> ClonedDisk:
        """Make ``target`` from ``image``; the image is never written to.

        Raises:
            ProvisioningFailed: the image is missing, or the host has no room.
        """


class Overlay:
    """A qcow2 file with the template as backing file: quick, small, needs qemu-img."""

    def __init__(self, shell: SshShell) -> None:
        self._shell = shell

    def clone(self, image: str, target: str) -> ClonedDisk:
        """See ``CloneStrategy.clone``."""
        backing = _image_format(self._shell, image)
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", backing, "-b", image, target]
        _make(self._shell, command, image, target, _OVERLAY_S)
        return ClonedDisk(target, "qcow2")


class FullCopy:
    """The whole image once more: slow and large, needs nothing but cp."""

    def __init__(self, shell: SshShell) -> None:
        self._shell = shell

    def clone(self, image: str, target: str) -> ClonedDisk:
        """See ``CloneStrategy.clone``."""
        command = ["cp", "--sparse=always", image, target]
        _make(self._shell, command, image, target, _COPY_S)
        return ClonedDisk(target, "qcow2" if _has_qcow2_magic(self._shell, image) else "raw")


def choose_strategy(host: Host) -> CloneStrategy:
    """The strategy of the host's section; ``auto`` takes overlays where qemu-img is there.

    Not beside xend: qemu-img of that time knows neither ``-F`` nor ``--output=json``.
    """
    shell, method = host.shell, host.spec.clone
    if method is CloneMethod.AUTO:
        old = host.toolstack.name is ToolstackName.XM
        has_tool = not old and shell.run(["qemu-img", "--version"], repeatable=True).rc != _NOT_FOUND
        method = CloneMethod.OVERLAY if has_tool else CloneMethod.COPY
    return Overlay(shell) if method is CloneMethod.OVERLAY else FullCopy(shell)


def _make(shell: SshShell, command: list[str], image: str, target: str, timeout_s: float) -> None:
    """Run the command that makes ``target``; half of a file is not left lying."""
    try:
        _succeed(shell, shell.run(command, timeout_s=timeout_s), image)
    except InfrastructureError:
        with contextlib.suppress(InfrastructureError):
            shell.run(["rm", "-f", target])
        raise


def _has_qcow2_magic(shell: SshShell, image: str) -> bool:
    """Looked at where there may be no qemu-img; names of images say all sorts of things."""
    return shell.check(["head", "-c", "4", image], repeatable=True).startswith(_QCOW2_MAGIC)


def _image_format(shell: SshShell, image: str) -> Literal["raw", "qcow2"]:
    result = shell.run(["qemu-img", "info", "--output=json", image], repeatable=True)
    _succeed(shell, result, image)
    try:
        name = json.loads(result.stdout)["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise OutputNotUnderstood(f"qemu-img info {image}: {error!r}", text=result.stdout) from error
    if name not in {"raw", "qcow2"}:
        raise ProvisioningFailed(
            f"host {shell.spec.name}: {image} is {name}", mend="convert it: qemu-img convert -O qcow2"
        )
    return "qcow2" if name == "qcow2" else "raw"


def _succeed(shell: SshShell, result: CommandResult, image: str) -> None:
    if not result.ok:
        raise ProvisioningFailed(
            f"host {shell.spec.name}: cannot clone {image}: {result.describe()}",
            mend=f"is the image there, and is there room? df -h {shell.spec.storage}",
        )
