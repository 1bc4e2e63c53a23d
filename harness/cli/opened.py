"""A lab as commands outside of a run use it: simulated hosts are made, secrets are found."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import ConfigurationError
from harness.guest.guest import Login
from harness.guest.provision import login_of
from harness.host.host import Host
from harness.host.sshlogin import Credentials
from harness.lab import GuestTemplate, HostKind, HostSpec, Lab, lab_warnings, load_lab, resolve_secret
from harness.lab.findings import nearest
from harness.simlab import SimLab

__all__ = ["OpenedLab", "host_named", "lasting_host", "open_host", "opened_lab"]


@dataclass(frozen=True)
class OpenedLab:
    """A lab whose hosts all have an address. ``passwords`` are those of simulated guests, by template."""

    lab: Lab
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)

    def login(self, template: GuestTemplate) -> Login:
        """User and password of a template's guests.

        Raises:
            ConfigurationError: its secret cannot be had.
        """
        return login_of(template, self.passwords, lambda ref: resolve_secret(ref).reveal())


@contextlib.contextmanager
def opened_lab(hosts_file: Path, *, simulate: bool = True) -> Iterator[OpenedLab]:
    """Read hosts.ini, say its warnings, and make its simulated hosts unless they are not wanted."""
    lab = load_lab(hosts_file)
    for warning in lab_warnings(lab):
        print(f"warning: {warning}")
    if not simulate or all(spec.kind is not HostKind.SIMULATED for spec in lab.hosts.values()):
        yield OpenedLab(lab)
        return
    with (
        tempfile.TemporaryDirectory(prefix="pvhck-sim-") as folder,
        SimLab(lab, folder=Path(folder), seed=1) as simulated,
    ):
        yield OpenedLab(simulated.lab, dict(simulated.passwords))


@contextlib.contextmanager
def open_host(spec: HostSpec) -> Iterator[Host]:
    """A host, closed afterwards."""
    with Host(spec, Credentials(lambda ref: resolve_secret(ref).reveal())) as host:
        yield host


def host_named(lab: Lab, name: str) -> HostSpec:
    """A host of the lab.

    Raises:
        ConfigurationError: it has none of that name.
    """
    if name not in lab.hosts:
        known = ", ".join(lab.hosts)
        raise ConfigurationError(
            f"no host {name!r} in {lab.source}", mend=f"{nearest(name, lab.hosts)}known: {known}"
        )
    return lab.hosts[name]


def lasting_host(lab: Lab, name: str) -> HostSpec:
    """A host of the lab that is there outside of runs, too.

    Raises:
        ConfigurationError: it has none of that name, or it is simulated.
    """
    spec = host_named(lab, name)
    if spec.kind is HostKind.SIMULATED:
        raise ConfigurationError(f"host {name} is simulated: it exists only while a run lasts")
    return spec
