"""A qcow2 file on top of the template."""

from __future__ import annotations

import json
from typing import Literal

from harness.errors import OutputNotUnderstood, ProvisioningFailed
from harness.host.clone.strategy import ClonedDisk, make_file, succeed
from harness.host.ssh import SshShell

__all__ = ["Overlay"]

_OVERLAY_S = 60


class Overlay:
    """A qcow2 file with the template as backing file: quick, small, needs qemu-img."""

    def __init__(self, shell: SshShell) -> None:
        self._shell = shell

    def clone(self, image: str, target: str) -> ClonedDisk:
        """See ``CloneStrategy.clone``."""
        backing = _image_format(self._shell, image)
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", backing, "-b", image, target]
        make_file(self._shell, command, image, target, _OVERLAY_S)
        return ClonedDisk(target, "qcow2")


def _image_format(shell: SshShell, image: str) -> Literal["raw", "qcow2"]:
    result = shell.run(["qemu-img", "info", "--output=json", image], repeatable=True)
    succeed(shell, result, image)
    try:
        name = json.loads(result.stdout)["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise OutputNotUnderstood(f"qemu-img info {image}: {error!r}", text=result.stdout) from error
    if name not in {"raw", "qcow2"}:
        raise ProvisioningFailed(
            f"host {shell.spec.name}: {image} is {name}", mend="convert it: qemu-img convert -O qcow2"
        )
    return "qcow2" if name == "qcow2" else "raw"
