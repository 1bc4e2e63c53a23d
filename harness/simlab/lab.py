"""The simulated lab: hosts and guests of one ``Lab``, alive on loopback while the context is open."""

from __future__ import annotations

import contextlib
import random
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.errors import ConfigurationError
from harness.lab import GuestTemplate, HostKind, HostSpec, Lab
from harness.model import GuestKind, XenVersion
from harness.simlab.clock import Clock, Pace
from harness.simlab.commands import dom0_commands
from harness.simlab.faults import Faults, FaultScope, parse_faults
from harness.simlab.guest import AgentFor, blank_disk, make_guest
from harness.simlab.host.images import DEFAULT_SIZE, Image
from harness.simlab.host.leases import AddressRange
from harness.simlab.host.simhost import Bare, LabParts, SimHost
from harness.simlab.machine import SimulatedGuest
from harness.simlab.setup import SetupGuest
from harness.simlab.ssh import Access, SshServer
from harness.simlab.stages import Stage
from harness.winrmd import ServerCertificate

__all__ = ["SimLab"]

_OLDEST = XenVersion(3, 4)
_LOOPBACK = "127.0.0.1"
_PASSWORD_BYTES = 12


@dataclass(frozen=True)
class _RunningHost:
    host: SimHost
    server: SshServer


class SimLab:
    """Makes the simulated hosts of a lab. Use it as a context.

    Within it ``lab`` is the same lab with addresses, keys and ports of the simulated hosts filled
    in, ``passwords`` are the guests' WinRM passwords by template, ``host_passwords`` those of the
    hosts' users by host. Everything lies below ``folder``; the same ``seed`` gives the same figures.

    Operations are answered from the guests' model, fast and by nothing but Python. ``agent_for`` is the
    switch: it is asked at each boot for what runs the harness's own process there instead, for example the
    true module on a PowerShell engine. The fault winrm-freeze counts requests of the model's process only.
    """

    def __init__(
        self,
        lab: Lab,
        *,
        folder: Path,
        seed: int,
        pace: Pace | None = None,
        agent_for: AgentFor | None = None,
    ) -> None:
        self.lab = lab
        self.passwords: Mapping[str, str] = {}
        self.host_passwords: Mapping[str, str] = {}
        self._folder = folder
        self._seed = seed
        self._pace = pace or Pace()
        self._agent_for = agent_for
        self.guest_faults: list[Faults] = []  # of all guests that were made
        self._certificates: dict[str, ServerCertificate] = {}
        self._running: dict[str, _RunningHost] = {}
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.close()

    def host(self, name: str) -> SimHost:
        """The model behind a host, for tests that look or reach into it."""
        return self._running[name].host

    def close(self) -> None:
        """End all guests, connections and threads, and give the addresses back.

        Raises:
            ExceptionGroup: something in the simulator failed meanwhile.
        """
        self._held.close()
        self._running.clear()

    # -- inner parts

    def _start(self) -> None:
        simulated = [spec for spec in self.lab.hosts.values() if spec.kind is HostKind.SIMULATED]
        templates = [
            template for template in self.lab.templates.values() if template.guest is GuestKind.SIMULATED
        ]
        for spec in simulated:
            _check(spec)
        for template in templates:
            _faults_of(template)  # what is wrong there is said now
        # a guest keeps its certificate over reboots, and clones have that of their template
        self._certificates = {template.name: ServerCertificate.make(template.name) for template in templates}
        dice = random.Random(self._seed)  # noqa: S311  # made-up passwords, the same for the same seed
        self.passwords = {
            template.name: f"Sim-{dice.randbytes(_PASSWORD_BYTES).hex()}" for template in templates
        }
        self.host_passwords = {spec.name: dice.randbytes(_PASSWORD_BYTES).hex() for spec in simulated}
        clock = Clock()
        self._held.callback(clock.close)
        network = AddressRange()
        self._held.callback(network.close)
        parts = LabParts(clock, self._pace, self._seed, network, self._make_guest, self._make_bare)
        key_file, key = _new_key(self._folder / "ssh" / "id_ed25519")
        hosts = dict(self.lab.hosts)
        for spec in simulated:
            host = self._start_host(spec, parts, key)
            for template in templates:
                _place_image(host, template, self._seed)
            known_hosts = self._folder / "ssh" / f"known_hosts-{spec.name}"
            server = self._running[spec.name].server
            known_hosts.write_text(
                f"[{_LOOPBACK}]:{server.port} {_public(server.access.host_key)}\n", encoding="ascii"
            )
            hosts[spec.name] = replace(
                spec,
                address=_LOOPBACK,
                port=server.port,
                key_file=key_file,
                known_hosts=known_hosts,
                controller=_LOOPBACK,
            )
        self.lab = replace(self.lab, hosts=hosts)

    def _start_host(self, spec: HostSpec, parts: LabParts, key: paramiko.PKey) -> SimHost:
        host = SimHost(spec, self._folder / "hosts" / spec.name, parts)
        _, host_key = _new_key(self._folder / "ssh" / f"host-{spec.name}")
        access = Access(spec.user, key, self.host_passwords[spec.name], host_key)
        server = SshServer(host, access, dom0_commands(host))
        # the other way round at the end: first nobody can ask for anything any more
        self._held.callback(host.lifecycle.close)
        self._held.callback(server.close)
        self._running[spec.name] = _RunningHost(host, server)
        return host

    def _make_guest(self, template: str, enter: Callable[[Stage], None]) -> SimulatedGuest:
        faults = _faults_of(self.lab.templates[template])
        faults.follow(enter)
        self.guest_faults.append(faults)
        return make_guest(
            self.lab.templates[template],
            self.passwords[template],
            faults,
            self._seed,
            self._certificates[template],
            agent_for=self._agent_for,
        )

    def _make_bare(self, bare: Bare) -> SimulatedGuest:
        return SetupGuest(bare, self._agent_for)


def _faults_of(template: GuestTemplate) -> Faults:
    return parse_faults(template.faults, FaultScope.GUEST, f"template {template.name}")


def _check(spec: HostSpec) -> None:
    if spec.xen is not None and spec.xen < _OLDEST:
        raise ConfigurationError(
            f"host {spec.name}: the simulated lab plays Xen {_OLDEST} and later, not {spec.xen}",
            mend=f"set xen = {_OLDEST} or higher in its section",
        )


def _place_image(host: SimHost, template: GuestTemplate, seed: int) -> None:
    path = str(template.image_on(host.spec))
    if path.startswith("/dev/"):
        _, _, group, name = path.split("/")
        host.volumes.place(group, name, blank_disk(template, seed), template.name)
        return
    real = host.files.real(path)
    real.parent.mkdir(parents=True, exist_ok=True)
    real.write_bytes(blank_disk(template, seed))
    host.files.images.record(real, Image("qcow2", DEFAULT_SIZE, "", template.name))


def _new_key(path: Path) -> tuple[Path, paramiko.PKey]:
    """A fresh Ed25519 key, in OpenSSH's file format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    path.touch(mode=0o600)
    path.write_bytes(text)
    return path, paramiko.Ed25519Key.from_private_key_file(str(path))


def _public(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.get_base64()}"
