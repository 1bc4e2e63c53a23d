"""WinRM before a running guest: there while services run and the network carries it."""

from __future__ import annotations

from collections.abc import Callable

from harness.errors import InfrastructureError
from harness.operations import GuestOperations
from harness.simlab.faults import FaultKind
from harness.simlab.guest.setup import GuestSetup
from harness.winrmd import (
    AgentRunner,
    CommandRequest,
    CommandRunner,
    Credentials,
    Dispatcher,
    Fault,
    FaultSwitches,
    Reply,
    TableRunner,
    WinRmServer,
)
from harness.winrmd import FaultKind as WireFault

__all__ = ["Endpoint"]

# A shell is lost once in a boot, after the client has got going; the others last.
_SHELL_LOST_AT = 12
_SWITCHES = {
    FaultKind.WINRM_401: Fault(WireFault.HTTP_401),
    FaultKind.WINRM_400: Fault(WireFault.HTTP_400),
    FaultKind.WINRM_413: Fault(WireFault.HTTP_413),
    FaultKind.WINRM_DROP: Fault(WireFault.DROP),
    FaultKind.SHELL_LOST: Fault(WireFault.LOSE_SHELLS, first=_SHELL_LOST_AT, times=1),
}


class Endpoint:
    """The WinRM service of one boot. ``operations`` answers requests, unless ``agent`` runs their process."""

    def __init__(
        self,
        setup: GuestSetup,
        operations: Callable[[], GuestOperations],
        *,
        shell_version: str,
        computer_name: str,
        agent: CommandRunner | None = None,
    ) -> None:
        self._setup = setup
        self._switches = FaultSwitches()
        self._frozen = False
        self._paused = False
        self._server: WinRmServer | None = None
        self._computer_name = computer_name
        self._runner = Dispatcher(
            agent or AgentRunner(operations, shell_version=shell_version, faults=self._switches),
            TableRunner({"hostname": Reply(f"{computer_name}\r\n".encode()), "whoami": self._whoami}),
        )

    @property
    def address(self) -> str:
        """Where it listens, "" if nowhere."""
        return self._server.address if self._server is not None else ""

    def listen(self, address: str) -> None:
        """Listen there, and nowhere else."""
        if address == self.address:
            return
        self.close()
        server = WinRmServer(
            address,
            self._setup.port,
            credentials=Credentials(self._setup.template.user, self._setup.password),
            runner=self._runner,
            certificate=self._setup.certificate if self._setup.secure else None,
            settings=self._setup.winrm,
            faults=self._switches,
            machine=self._computer_name,
        )
        self._switches.set(*self._wanted())
        try:
            server.start()
        except InfrastructureError as error:
            raise InfrastructureError(
                f"simulated guest {self._setup.template.name}: {error.found}",
                mend="end what holds the port: perhaps another run of the simulated lab",
            ) from error
        self._server = server

    def close(self) -> None:
        """Stop listening and break every connection. Never under the guest's lock: it waits for threads."""
        if self._server is not None:
            server, self._server = self._server, None
            server.stop()

    def drop_connections(self) -> None:
        """The adapter goes through a restart."""
        if self._server is not None:
            self._server.drop_connections()

    def pause(self) -> None:
        """The processors have stopped."""
        self._paused = True
        self._switches.set(*self._wanted())

    def go_on(self) -> None:
        """They go on."""
        self._paused = False
        self._switches.set(*self._wanted())

    def faults_changed(self) -> None:
        """Look at the switches again."""
        self._switches.set(*self._wanted())

    def freeze(self) -> None:
        """Take requests and answer no more."""
        self._frozen = True
        self._switches.set(*self._wanted())

    def _wanted(self) -> list[Fault]:
        wanted = [fault for kind, fault in _SWITCHES.items() if kind in self._setup.faults]
        if self._frozen or self._paused:
            wanted.append(Fault(WireFault.FREEZE))
        return wanted

    def _whoami(self, request: CommandRequest) -> Reply:
        return Reply(f"{self._computer_name}\\{request.user}\r\n".lower().encode())
