"""The lab of a process that runs tests: hosts, guests and driver build, from start to end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from harness.deadline import Deadline, Done, NotYet, WaitTimedOut, wait_until
from harness.errors import HarnessError
from harness.guest.guest import Guest, Login
from harness.guest.provision import login_of
from harness.host.area import Leftover, RunArea, leftovers, remove_leftover, remove_leftovers
from harness.host.host import Host
from harness.host.sshlogin import Credentials
from harness.install import Verification, install_build, verify_drivers
from harness.lab import GuestTemplate, Lab, Profile, Redactor, Secret, SecretRef, resolve_secret
from harness.model import DriverName
from harness.package import DriverBuild
from harness.results import DriverFound
from harness.session.adopting import AdoptedKeeper
from harness.session.keeper import GuestKeeper, Installed, Keeper
from harness.session.layering import Layering, Layers, NoLayers
from harness.session.options import RunOptions

__all__ = ["AsTheyAre", "LabSession", "LeasedHost"]

_KEPT_HOURS = 24
_SETTLE_S = 10  # libxl waits as long for a back end to close (LIBXL_DESTROY_TIMEOUT, libxl_internal.h)


class AsTheyAre:
    """``Installed``: without a build the template's own drivers are judged by the scenarios alone."""

    def demand(self) -> None:
        """Nothing was installed: nothing can be wrong with it."""


@dataclass(frozen=True)
class Rechecked:
    """``Installed``: what a look at a clone found of drivers that were installed in its layer."""

    guest: str
    verification: Verification

    def demand(self) -> None:
        """See ``Installed.demand``."""
        self.verification.demand(self.guest)


@dataclass
class LeasedHost:
    """A host in use by this run: swept, with its folder and its guests."""

    host: Host
    area: RunArea
    keeper: Keeper
    stack: contextlib.ExitStack

    def take_leaked(self) -> tuple[Leftover, ...]:
        """What is this run's on the host and belongs to none of its guests; it is taken away."""
        changed = self.keeper.take_changes()
        leaked = self._leaked()
        for item in leaked:
            remove_leftover(self.host.shell, self.host.toolstack, item)
        return (*changed, *leaked)

    def clear(self) -> tuple[Leftover, ...]:
        """Take all guests away; gives what stayed of their domains, and is taken away, too."""
        self.keeper.close()
        strays = tuple(item for item in self.take_leaked() if item.passing)
        remove_leftovers(self.host.shell, self.host.toolstack, self.area.run_id)
        return strays

    def _leaked(self) -> tuple[Leftover, ...]:
        """What is there when the toolstack has had the time to take away what it takes away last."""
        known, domids = self.keeper.live(), self.keeper.domids()
        left: tuple[Leftover, ...] = ()

        def probe() -> Done[None] | NotYet:
            nonlocal left
            found = leftovers(self.host.shell, self.host.toolstack, self.area.run_id, domids)
            left = tuple(item for item in found if not any(name in item.name for name in known))
            passing = [str(item) for item in left if item.passing]
            return NotYet(", ".join(passing)) if passing else Done(None)

        deadline = Deadline.after(_SETTLE_S * self.host.spec.time_factor)
        with contextlib.suppress(WaitTimedOut):
            wait_until(probe, subject="what is left of domains that are gone goes", deadline=deadline)
        return left


@dataclass
class LabSession:
    """What tests of one process have of a lab. Leaving the context takes all of it away.

    ``lab`` has the hosts they may use, which are opened when a test first needs them; it is resolved:
    simulated hosts have become addresses on loopback. ``run_id`` stands in the names of all they make.
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
    take: Callable[[Host], None]  # makes a host ours, or sees that it still is
    passwords: Mapping[str, str] = field(default_factory=dict)  # of simulated guests, by template
    redactor: Redactor = field(default_factory=Redactor)
    _hosts: dict[str, Host] = field(default_factory=dict)
    _leased: dict[str, LeasedHost] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        for password in self.passwords.values():
            self.redactor.add(Secret(password))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(keep=False)
        self.disconnect()

    @property
    def out_of_time(self) -> bool:
        """Whether ``--max-time`` has passed."""
        limit = self.options.max_time_s
        return limit is not None and time.monotonic() - self._started > limit

    def choose(self, able: Sequence[str], avoid: Container[str]) -> str:
        """Of the hosts that are able to run a test, the first that it need not avoid."""
        mine = [name for name in able if name in self.lab.hosts]
        return next((name for name in mine if name not in avoid), mine[0])

    def host(self, name: str) -> Host:
        """A host of the lab, whether or not it can be reached; nothing is asked of it here."""
        if name not in self._hosts:
            self._hosts[name] = Host(self.lab.hosts[name], Credentials(self.reveal))
        return self._hosts[name]

    def lease(self, name: str) -> LeasedHost:
        """A host of the lab, taken and opened the first time, seen to be still ours later.

        Raises:
            InfrastructureError: it cannot be reached or used.
        """
        self.take(self.host(name))
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
                    for item in leased.clear():
                        self.warn(f"host {leased.host.name}: left behind at the end: {item}")
                    leased.stack.close()
            except HarnessError as error:
                self.warn(f"could not tidy up host {leased.host.name}: {error}; `pvhck lab sweep` will")
        self._leased.clear()
        return tuple(kept)

    def disconnect(self) -> None:
        """End the connections to the hosts."""
        for host in self._hosts.values():
            host.close()
        self._hosts.clear()

    def reveal(self, ref: SecretRef) -> str:
        """A secret's value; from here on it is redacted wherever we write."""
        secret = resolve_secret(ref)
        self.redactor.add(secret)
        return secret.reveal()

    def _open(self, name: str) -> LeasedHost:
        host = self.host(name)
        stack = contextlib.ExitStack()
        area = stack.enter_context(RunArea(host.shell, self.run_id))
        return LeasedHost(host, area, self._adopted(host, area) or self._kept(host, area), stack)

    def _adopted(self, host: Host, area: RunArea) -> Keeper | None:
        """Of the domain that was named instead of clones."""
        adoption = self.options.adoption
        if adoption is None:
            return None
        recheck = self._recheck if self.build is not None else self._prepare
        ready_s = self.profile.install.boot_s
        return AdoptedKeeper(host, area, adoption, self._login, recheck, self.warn, ready_s)

    def _kept(self, host: Host, area: RunArea) -> Keeper:
        return GuestKeeper(
            host=host,
            area=area,
            login=self._login,
            prepare=self._prepare,
            recheck=self._recheck,
            layers=self._layers(host),
            report=self.report,
            warn=self.warn,
            boot_s=self.profile.install.boot_s,
        )

    def _prepare(self, guest: Guest) -> Installed:
        if self.build is None:
            return AsTheyAre()
        report = install_build(guest, self.build, self.profile.install, report=self.report)
        for warning in report.warnings:
            self.warn(f"{guest.name}: {warning}")
        for package in report.packages:
            self._found(guest, package.name, package.version, report.verification)
        return report

    def _recheck(self, guest: Guest) -> Installed:
        assert self.build is not None, "without a build no layer is found"
        self.report(f"{guest.name}: verify")
        verification = verify_drivers(guest, self.build, self.profile.install)
        for package in self.build.for_arch(guest.template.arch).packages:
            self._found(guest, package.name, package.version, verification)
        return Rechecked(guest.name, verification)

    def _layers(self, host: Host) -> Layers:
        if self.build is None or not host.spec.layers_mib:
            return NoLayers()
        off_s = self.profile.power.shutdown_s
        return Layering(host, self.build, self.run_id, self.report, self.warn, off_s)

    def _found(self, guest: Guest, driver: DriverName, version: str, verification: Verification) -> None:
        state = "; ".join(verification.of(driver)) or "verified"
        self.found(DriverFound(driver, version, state, guest.host.name, guest.template.name))

    def _login(self, template: GuestTemplate) -> Login:
        adoption = self.options.adoption
        if adoption is not None and adoption.secret is not None:
            return Login(adoption.user or template.user, self.reveal(adoption.secret))
        login = login_of(template, self.passwords, self.reveal)
        return replace(login, user=adoption.user) if adoption is not None and adoption.user else login
