"""What a host has to offer that nobody has described yet. Every command only looks."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from harness.host.space import Space, parse_space
from harness.host.ssh import SshShell
from harness.host.toolstack.choose import choose_toolstack
from harness.host.toolstack.protocol import HostInfo

__all__ = ["Survey", "survey"]

_BRIDGES = 'for place in /sys/class/net/*/bridge; do echo "$place"; done'


@dataclass(frozen=True)
class Survey:
    """``why`` says what drives the host and why; ``space`` is where ``storage`` is or would be."""

    info: HostInfo
    why: str
    bridges: tuple[str, ...]
    storage: str
    space: Space | None

    def __str__(self) -> str:
        info = self.info
        lines = [
            f"Xen {info.version_text}, {self.why}",
            f"{info.free_mib} of {info.total_mib} MiB memory free, {info.cpus} processors",
            f"bridges: {', '.join(self.bridges) or 'none'}",
        ]
        if self.space is not None:
            lines.append(f"{self.space.free_mib} MiB free for {self.storage}, on {self.space.mounted}")
        return "\n".join(lines)


def survey(shell: SshShell) -> Survey:
    """Look at a host that can be logged in to.

    Raises:
        ToolMissing: it has no toolstack.
        InfrastructureError: it does not answer.
    """
    chosen = choose_toolstack(shell)
    chosen.toolstack.close()
    listed = shell.run(["sh", "-c", _BRIDGES], repeatable=True).stdout.split()
    bridges = sorted(place.split("/")[4] for place in listed if "*" not in place)
    storage = shell.spec.storage
    why = f"{chosen.toolstack.name}: {chosen.why}"
    return Survey(chosen.info, why, tuple(bridges), storage, _space(shell, storage))


def _space(shell: SshShell, folder: str) -> Space | None:
    """Of the folder, or of the nearest one above it that is there."""
    while True:
        result = shell.run(["df", "-P", "-k", folder], repeatable=True)
        if result.ok:
            return parse_space(result.stdout)
        if folder in {"/", ""}:
            return None
        folder = posixpath.dirname(folder)
