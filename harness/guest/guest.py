"""One guest: its domain, the way to it, and how far it has come."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from harness.deadline import Deadline, Done, NotYet, WaitTimedOut, wait_until
from harness.errors import (
    ChannelError,
    GuestAuthFailed,
    GuestCrashed,
    GuestError,
    GuestHung,
    GuestUnreachable,
    HarnessError,
    InfrastructureError,
)
from harness.guest.calls import operations_over
from harness.guest.channel import ANNOUNCE_S, GuestChannel, WinRmChannel
from harness.guest.exchanges import ExchangeLog
from harness.guest.fate import fate
from harness.guest.signs import Life, shows_a_stop, sign_of_a_boot, sign_of_life
from harness.guest.winrm import Endpoint, default_port, identify, peer_fingerprint
from harness.host.address import GuestPlace, find_address
from harness.host.domain import DomainSpec
from harness.host.host import Host
from harness.host.toolstack.protocol import DomainInfo, NoSuchDomain
from harness.host.tunnel import Tunnel
from harness.lab import GuestTemplate
from harness.model import GuestKind
from harness.operations import GuestOperations, Operation

__all__ = ["Guest", "GuestState", "Login", "mac_for"]

_log = logging.getLogger(__name__)

_DIRECT_S = 2.0
_PATIENCE = 2  # clocks of hosts under load go slowly
_LIFE_S = 1.0  # how long a silent guest is watched for anything it does


class GuestState(StrEnum):
    """How far a guest has come; ``broken`` is never left."""

    OFF = "off"
    BOOTED = "booted"
    REACHABLE = "reachable"
    DRIVERS = "drivers"
    VERIFIED = "verified"
    BROKEN = "broken"


@dataclass(frozen=True)
class Login:
    """User and password for a guest's WinRM; made where the secret is resolved."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.user!r}, <hidden>)"


class Guest:
    """A guest on a host. For the thread that made it.

    ``operations`` works from ``wait_ready`` on; what goes wrong on the way there is
    sorted by ``explain``: a silent guest whose host answers is the guest's fault. ``warn`` is told
    what people should know of the connection to it.
    """

    def __init__(
        self,
        host: Host,
        template: GuestTemplate,
        domain: DomainSpec,
        login: Login,
        *,
        warn: Callable[[str], None] = _log.warning,
    ) -> None:
        self.host = host
        self.template = template
        self.domain = domain
        self.state = GuestState.OFF
        self._came_to = GuestState.REACHABLE  # before it was last off: its disk keeps the drivers
        self.log = ExchangeLog()
        self.address = ""
        self.boot_id = ""
        self.domids: set[int] = set()  # numbers the domain has had: each of its lives has another
        self._login = login
        self._warn = warn
        self._fingerprint = template.certificate.fingerprint
        self._tunnel: Tunnel | None = None
        self._channel: WinRmChannel | None = None
        self._answered = False
        self._domid = 0  # of the life that was last waited for

    # -- what it is

    @property
    def name(self) -> str:
        """The domain's name."""
        return self.domain.name

    @property
    def kind(self) -> GuestKind:
        """Windows, the stand-in, or simulated."""
        return self.template.guest

    @property
    def mac(self) -> str:
        """The MAC address of the first interface."""
        return self.domain.nics[0].mac

    @property
    def may_be_dumped(self) -> bool:
        """Whether a hang may be ended by an NMI, at which it crashes: it is ours."""
        return True

    @property
    def domid(self) -> int:
        """The domain's number now; another one after each reboot.

        Raises:
            NoSuchDomain: it is not there.
        """
        found = self._find()
        if found is None:
            raise NoSuchDomain(f"host {self.host.name}: there is no domain {self.name}")
        return found.domid

    @property
    def store(self) -> str:
        """The domain's folder in xenstore, now."""
        return f"/local/domain/{self.domid}"

    def deadline(self, seconds: float) -> Deadline:
        """A deadline scaled by the host's time factor."""
        return Deadline.after(seconds * self.host.spec.time_factor)

    # -- life and death

    def start(self, *, paused: bool = False) -> None:
        """Make the domain."""
        self.domids.add(self.host.toolstack.create(self.domain, paused=paused).domid)
        if self.state is not GuestState.BROKEN:
            self.state = GuestState.BOOTED

    def wait_ready(self, deadline: Deadline, *, old_boot: str = "") -> str:
        """Wait until WinRM answers and the boot is another one than ``old_boot``; gives its id.

        Raises:
            WaitTimedOut: it has never answered in this run, nor now; says how far it got.
            GuestHung: it has answered before, and does not come back.
            GuestError: it answers, but has not rebooted; or it has lost its network: says what else lives.
            GuestCrashed: the domain crashed meanwhile, or is gone.
            GuestAuthFailed: WinRM refuses us: waiting would not help.
        """
        still_there = False

        def probe() -> Done[str] | NotYet:
            nonlocal still_there
            still_there = False
            domain = self._find()
            if domain is None:
                return NotYet("the domain is not there")
            if domain.crashed:
                raise GuestCrashed(f"{self.name} crashed while it booted")
            self._domid = domain.domid
            try:
                boot = self._look()
            except GuestAuthFailed as error:
                raise GuestAuthFailed(f"{self.name}: {error.found}", mend=error.mend) from error
            except ChannelError as error:
                self.disconnect()
                return NotYet(str(error))
            still_there = boot == old_boot
            return NotYet(f"still boot {boot}") if still_there else Done(boot)

        subject = f"{self.name} answers by WinRM" + (" after its reboot" if old_boot else "")
        try:
            self.boot_id = wait_until(
                probe, subject=subject, deadline=deadline, interval_s=0.5 * self.host.spec.time_factor
            )
        except WaitTimedOut as error:
            if still_there:
                raise GuestError(f"{self.name} did not reboot: {error}") from error
            self.disconnect(polite=False)
            if not self._answered:
                self._raise_if_meddled(error)
                raise
            raise self._silent(error, "does not come back", booting=True) from error
        self._answered = True
        if self.state in {GuestState.OFF, GuestState.BOOTED}:
            self.state = self._came_to
        return self.boot_id

    def wait_may_restart(self) -> None:
        """Wait until the domain is as old as its toolstack wants it before a restart.

        Raises:
            WaitTimedOut: its uptime does not grow.
        """
        gap = self.host.toolstack.restart_gap_s

        def probe() -> Done[None] | NotYet:
            uptime = self.host.toolstack.uptime_s(self.name)
            return Done(None) if uptime > gap else NotYet(f"{uptime} s")

        if gap:
            wait_until(
                probe,
                subject=f"{self.name} is {gap:.0f} s old: its toolstack destroys what restarts sooner",
                deadline=Deadline.after(gap * _PATIENCE),
                interval_s=0.2,
            )

    def wait_off(self, deadline: Deadline) -> None:
        """Wait until the domain has left the toolstack's list (it is listed while it goes down)."""

        def probe() -> Done[None] | NotYet:
            domain = self._find()
            if domain is None:
                return Done(None)
            if domain.crashed:
                raise GuestCrashed(f"{self.name} crashed while it shut down")
            return NotYet(f"still listed, as domain {domain.domid}")

        wait_until(
            probe, subject=f"{self.name} leaves the list of domains", deadline=deadline, interval_s=0.1
        )
        self.disconnect(polite=False)
        self._went_off()

    def kill(self) -> None:
        """Take the domain away at once, if it is there: for teardown and for tests of unclean stops."""
        self.disconnect(polite=False)
        with contextlib.suppress(NoSuchDomain):
            self.host.toolstack.destroy(self.name)
        self._went_off()

    def save(self, path: str) -> None:
        """Save the domain to a file of the host; it is gone afterwards, and the guest knows nothing of it."""
        self.disconnect()
        self.host.toolstack.save(self.name, path)

    def restore(self, path: str, deadline: Deadline) -> None:
        """Bring a saved domain back and wait until the same boot answers again.

        Raises:
            WaitTimedOut: it does not answer.
            GuestError: it answers, but it has rebooted.
        """
        boot = self.boot_id
        self.host.toolstack.restore(path)
        if self.wait_ready(deadline) != boot:
            raise GuestError(f"{self.name} was restored, and then booted anew")

    def break_(self) -> None:
        """Nothing more is expected of this guest: the next test gets a fresh one."""
        self.state = GuestState.BROKEN

    def _find(self) -> DomainInfo | None:
        """The domain, if it is there."""
        found = self.host.toolstack.find(self.name)
        if found is not None:
            self.domids.add(found.domid)
        return found

    def _went_off(self) -> None:
        if self.state in {GuestState.DRIVERS, GuestState.VERIFIED}:
            self._came_to = self.state
        if self.state is not GuestState.BROKEN:
            self.state = GuestState.OFF

    # -- the way to it

    @property
    def operations(self) -> GuestOperations:
        """Typed operations, over a channel that is opened when needed."""
        return operations_over(self.explained(), time_factor=self.host.spec.time_factor)

    def explained(self) -> GuestChannel:
        """The channel, whose failures are looked into: whose fault they are."""
        return _Explained(self)

    def disconnect(self, *, polite: bool = True) -> None:
        """Close the channel and the tunnel; the next operation opens new ones.

        Not ``polite``: nothing is said to a guest that is off, or about to be.
        """
        if self._channel is not None:
            if polite:
                self._channel.close()
            else:
                self._channel.abandon()
            self._channel = None
        if self._tunnel is not None:
            self._tunnel.close()
            self._tunnel = None

    def channel(self) -> WinRmChannel:
        """The channel, made if there is none.

        Raises:
            GuestUnreachable: the address is not known yet, or nobody answers there.
        """
        if self._channel is None:
            announce_s = ANNOUNCE_S * self.host.spec.time_factor
            self._channel = WinRmChannel(self._endpoint(), warn=self._warn, announce_s=announce_s)
            self._channel.log = self.log
        return self._channel

    def explain(self, error: ChannelError) -> Exception:
        """Whose fault a broken channel is: looks at the host, the domain and signs of life.

        Gives the exception to raise; a host that does not answer raises by itself.
        """
        known = fate(self.host, self.name, self._find(), self._domid if self._answered else 0, error)
        if known is not None:
            return known
        if isinstance(error, GuestAuthFailed):
            return InfrastructureError(f"{self.name} does not let us in: {error}")
        if not self._answered:
            return InfrastructureError(f"{self.name} has never answered in this run: {error}")
        return self._silent(error, "is silent although its host answers")

    # -- inner parts

    def _raise_if_meddled(self, error: HarnessError) -> None:
        """Of a guest that has never answered only this is known: what somebody did to its domain."""
        known = fate(self.host, self.name, self._find(), 0, error)
        if isinstance(known, InfrastructureError):
            raise known from error

    def _silent(self, error: HarnessError, words: str, *, booting: bool = False) -> HarnessError:
        """What a guest that has answered before has come to: ``words`` say it if nothing of it lives."""
        try:
            booted = sign_of_a_boot(self.host, self.domain) if booting else ""
            life = Life(trace=booted) if booted else self._life()
        except NoSuchDomain:
            life = Life()
        # once more: its WinRM goes down before its domain does
        known = fate(self.host, self.name, self._find(), self._domid, error, restarting=booting)
        if known is not None:
            return known
        if life.answers:
            return GuestError(f"{self.name} lost the connection and answers again; {error}")
        if life.trace:
            return GuestError(f"{self.name} lost its network: {life.trace}, but {error}")
        if shows_a_stop(self.host, self.domain):
            return GuestCrashed(f"{self.name} crashed: it shows a stop screen; {error}")
        return GuestHung(f"{self.name} {words}: {error}")

    def _life(self) -> Life:
        return sign_of_life(self.host, self.domain, self.deadline(_LIFE_S), answers=self._answers_again)

    def _answers_again(self) -> bool:
        try:
            self._look()
        except ChannelError:
            self.disconnect(polite=False)
            return False
        return True

    def _look(self) -> str:
        channel = self.channel()
        identify(channel.endpoint)
        return operations_over(channel, time_factor=self.host.spec.time_factor).boot_id().boot_id

    def _endpoint(self) -> Endpoint:
        place = GuestPlace(self.name, self.mac, self.domain.console_log, self.template.fixed_address)
        address = find_address(self.host.shell, self.host.toolstack, self.template.address, place)
        if address is None:
            raise GuestUnreachable(f"{self.name} has no address yet ({self.template.address})")
        self.address = address
        remote = default_port(self.template.transport)
        reach, port = (
            (address, remote)
            if self._answers_itself(address, remote)
            else ("127.0.0.1", self._through(address))
        )
        endpoint = Endpoint(
            address=reach,
            port=port,
            transport=self.template.transport,
            user=self._login.user,
            password=self._login.password,
            legacy_tls=self.template.legacy_tls,
        )
        if endpoint.secure:
            endpoint = replace(endpoint, fingerprint=self._pin(endpoint))
        return endpoint

    def _answers_itself(self, address: str, port: int) -> bool:
        """Whether the guest is behind an address: some networks have a gateway that answers for any."""
        if not _answers(address, port):
            return False
        if not self._fingerprint or not self.template.transport.value.startswith("https"):
            return True
        try:
            shown = peer_fingerprint(address, port, legacy_tls=self.template.legacy_tls)
        except GuestUnreachable:
            return False
        return shown == self._fingerprint

    def _pin(self, endpoint: Endpoint) -> str:
        if not self._fingerprint:
            # trust on first use, for this guest's life: a clone's certificate names another host
            self._fingerprint = peer_fingerprint(
                endpoint.address, endpoint.port, legacy_tls=endpoint.legacy_tls
            )
        return self._fingerprint

    def _through(self, address: str) -> int:
        if self._tunnel is None:
            self._tunnel = self.host.shell.tunnel(address, default_port(self.template.transport))
        return self._tunnel.port


class _Explained:
    """``GuestChannel`` whose failures have been looked into."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self.log = guest.log

    def call(self, operation: Operation, params: dict[str, Any], deadline: Deadline) -> Any:
        try:
            return self._guest.channel().call(operation, params, deadline)
        except ChannelError as error:
            self._guest.disconnect()
            raise self._guest.explain(error) from error

    def close(self) -> None:
        self._guest.disconnect()


def mac_for(run_id: str, number: int, index: int = 0) -> str:
    """A MAC address of Xen's range for a run's guest: the same for the same arguments."""
    digest = hashlib.sha256(f"{run_id}/{number}/{index}".encode()).digest()
    return "00:16:3e:" + ":".join(f"{byte:02x}" for byte in digest[:3])


def _answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=_DIRECT_S):
            return True
    except OSError:
        return False
