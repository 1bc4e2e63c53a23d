"""The simulated hosts of a lab, made for as long as a run lasts."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.lab import HostKind, Lab
from harness.simlab import SimLab

__all__ = ["with_addresses"]


@contextlib.contextmanager
def with_addresses(lab: Lab, seed: int) -> Iterator[tuple[Lab, Mapping[str, str]]]:
    """The lab with an address for every host, and the passwords of simulated guests by template."""
    if all(host.kind is not HostKind.SIMULATED for host in lab.hosts.values()):
        yield lab, {}
        return
    with (
        tempfile.TemporaryDirectory(prefix="pvhck-sim-") as folder,
        SimLab(lab, folder=Path(folder), seed=seed) as simulated,
    ):
        yield simulated.lab, dict(simulated.passwords)
