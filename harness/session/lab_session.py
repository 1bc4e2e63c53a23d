"""One run on a lab: its hosts, guests, driver build and results, from start to end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from harness.errors import HarnessError
from harness.guest.guest import Guest, Login
from harness.guest.provision import login_of
from harness.host.area import Leftover, RunArea, leftovers, remove_leftover, sweep
from harness.host.host import Host
from harness.host.sshlogin import Credentials
from harness.install import install_build
from harness.lab import GuestTemplate, Lab, Profile, Redactor, SecretRef, resolve_secret
from harness.package import DriverBuild
from harness.results import DriverFound
from harness.session.keeper import GuestKeeper, Installed
from harness.session.options import RunOptions

__all__ = ["AsTheyAre", "LabSession", "LeasedHost"]

_KEPT_HOURS = 24


class AsTheyAre:
    """``Installed``: without a build the template's own drivers are judged by the scenarios alone."""

    def demand(self) -> None:
        """Nothing was installed: nothing can be wrong with it."""


@dataclass
class LeasedHost:
    """A host in use by this run: swept, with its folder and its guests."""

    host: Host
    area: RunArea
    keeper: GuestKeeper
    stack: contextlib.ExitStack

    def take_leaked(self) -> tuple[Leftover, ...]:
        """What carries this run's id on the host and belongs to none of its guests; it is taken away."""
        shell, toolstack = self.host.shell, self.host.toolstack
        known = self.keeper.live()
        found = leftovers(shell, toolstack, self.area.run_id)
        leaked = tuple(item for item in found if not any(name in item.name for name in known))
        for item in leaked:
            remove_leftover(shell, toolstack, item)
        return leaked


@dataclass
class LabSession:
    """A run. Hosts are opened when a test first needs them; leaving the context takes all away.

    ``lab`` is resolved: simulated hosts have become addresses on loopback.
    """

    options: RunOptions
    lab: Lab
    profile: Profile
    build: DriverBuild | None
    older_build: DriverBuild | None
    run_id: str
    report: Callable[[str], None]
    warn: Callable[[str], None]
    found: Callable[[DriverFound], None]
    passwords: Mapping[str, str] = field(default_factory=dict)  # of simulated guests, by template
    redactor: Redactor = field(default_factory=Redactor)
    _hosts: dict[str, Host] = field(default_factory=dict)
    _leased: dict[str, LeasedHost] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(keep=False)

    @property
    def out_of_time(self) -> bool:
        """Whether ``--max-time`` has passed."""
        limit = self.options.max_time_s
        return limit is not None and time.monotonic() - self._started > limit

    def host(self, name: str) -> Host:
        """A host of the lab, whether or not it can be reached; nothing is asked of it here."""
        if name not in self._hosts:
            self._hosts[name] = Host(self.lab.hosts[name], Credentials(self.reveal))
        return self._hosts[name]

    def lease(self, name: str) -> LeasedHost:
        """A host of the lab, opened and swept the first time.

        Raises:
            InfrastructureError: it cannot be reached or used.
        """
        if name not in self._leased:
            self._leased[name] = self._open(name)
        return self._leased[name]

    def template(self, name: str) -> GuestTemplate:
        """A template of the lab."""
        return self.lab.templates[name]

    def close(self, *, keep: bool) -> tuple[str, ...]:
        """Take everything away, or leave the guests and say which; later calls do nothing.

        What cannot be taken away is said, not raised: the results come first, and the next
        run's sweep will find it.
        """
        kept: list[str] = []
        for leased in self._leased.values():
            try:
                if keep:
                    leased.area.keep(_KEPT_HOURS)
                    kept += [f"{guest.name} on {leased.host.name}" for guest in leased.keeper.forget()]
                else:
                    _clear(leased)
                    leased.stack.close()
            except HarnessError as error:
                self.warn(f"could not tidy up host {leased.host.name}: {error}; `pvhck lab sweep` will")
        for host in self._hosts.values():
            host.close()
        self._leased.clear()
        self._hosts.clear()
        return tuple(kept)

    def reveal(self, ref: SecretRef) -> str:
        """A secret's value; from here on it is redacted wherever we write."""
        secret = resolve_secret(ref)
        self.redactor.add(secret)
        return secret.reveal()

    def _open(self, name: str) -> LeasedHost:
        host = self.host(name)
        sweep(host.shell, host.toolstack, self.report)
        stack = contextlib.ExitStack()
        area = stack.enter_context(RunArea(host.shell, self.run_id))
        keeper = GuestKeeper(
            host=host,
            area=area,
            login=self._login,
            prepare=self._prepare,
            report=self.report,
            warn=self.warn,
            boot_s=self.profile.install.boot_s,
        )
        return LeasedHost(host, area, keeper, stack)

    def _prepare(self, guest: Guest) -> Installed:
        if self.build is None:
            return AsTheyAre()
        report = install_build(guest, self.build, self.profile.install, report=self.report)
        for warning in report.warnings:
            self.warn(f"{guest.name}: {warning}")
        for package in report.packages:
            wrong = report.verification.of(package.name)
            state = "; ".join(wrong) if wrong else "verified"
            self.found(
                DriverFound(package.name, package.version, state, guest.host.name, guest.template.name)
            )
        return report

    def _login(self, template: GuestTemplate) -> Login:
        return login_of(template, self.passwords, self.reveal)


def _clear(leased: LeasedHost) -> None:
    leased.keeper.close()
    for leftover in leftovers(leased.host.shell, leased.host.toolstack, leased.area.run_id):
        remove_leftover(leased.host.shell, leased.host.toolstack, leftover)
