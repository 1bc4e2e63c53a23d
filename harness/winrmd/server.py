"""An endpoint's listener: starts, stops like a machine whose power goes, and counts."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.deadline import Deadline
from harness.errors import InfrastructureError
from harness.winrmd.commands import CommandRunner
from harness.winrmd.connection import Connection, Context, Tally
from harness.winrmd.service import Service
from harness.winrmd.settings import Credentials, WinRmSettings
from harness.winrmd.switches import FaultKind, FaultSwitches
from harness.winrmd.tls import ServerCertificate

if TYPE_CHECKING:
    import ssl

__all__ = ["Counters", "WinRmServer"]

_log = logging.getLogger(__name__)

_BACKLOG = 128
_JOIN_S = 2.0  # threads are awake by then; one that hangs in a guest's operation is left to itself


@dataclass(frozen=True)
class Counters:
    """What has come in since the server was made, and what is open now.

    ``requests`` are POSTs, ``messages`` those with content whose login was accepted; ``commands``
    are those no client has signalled the end of.
    """

    connections: int
    open_connections: int
    requests: int
    messages: int
    shells: int
    commands: int


class WinRmServer:
    """One WinRM endpoint; see the package's description."""

    def __init__(
        self,
        address: str,
        port: int,
        *,
        credentials: Credentials,
        runner: CommandRunner,
        certificate: ServerCertificate | None = None,
        settings: WinRmSettings | None = None,
        faults: FaultSwitches | None = None,
        machine: str = "WIN",
    ) -> None:
        self.address = address
        self.faults = faults or FaultSwitches()
        self._port = port
        self._certificate = certificate
        self._tls: ssl.SSLContext | None = None
        settings = settings or WinRmSettings()
        self._service = Service(runner, settings, machine)
        self._context = Context(
            service=self._service,
            credentials=credentials,
            settings=settings,
            faults=self.faults,
            tally=Tally(),
            stopping=threading.Event(),
            secure=certificate is not None,
        )
        self._lock = threading.RLock()
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._open: dict[Connection, threading.Thread] = {}
        self._unsubscribe: Callable[[], None] | None = None

    @property
    def port(self) -> int:
        """The port; where 0 was asked for, known once started."""
        return self._port

    @property
    def url(self) -> str:
        """The endpoint as clients name it."""
        return f"{'https' if self._certificate else 'http'}://{self.address}:{self.port}/wsman"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate in lower case hexadecimal, empty for plain HTTP."""
        return self._certificate.fingerprint if self._certificate else ""

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        with self._lock:
            return self._listener is not None

    @property
    def shells(self) -> int:
        """Open remote shells."""
        return self._service.shells.count

    @property
    def counters(self) -> Counters:
        """The counts as they stand."""
        tally = self._context.tally
        with self._lock, tally.changed:
            return Counters(
                connections=tally.connections,
                open_connections=len(self._open),
                requests=tally.requests,
                messages=tally.messages,
                shells=self._service.shells.count,
                commands=self._service.shells.commands,
            )

    def start(self) -> None:
        """Listen. Harmless when it does already.

        Raises:
            InfrastructureError: the address or port is not to be had.
        """
        with self._lock:
            if self._listener is not None:
                return
            if self._certificate is not None and self._tls is None:
                self._tls = self._certificate.context()
            self._context.stopping.clear()
            self._bind()
            self._unsubscribe = self.faults.on_change(self._follow_switches)
            self._follow_switches()

    def stop(self) -> None:
        """Close the listener and every connection, forget every shell.

        May be called from a guest's operation.
        """
        with self._lock:
            self._context.stopping.set()
            if self._unsubscribe is not None:
                self._unsubscribe()
                self._unsubscribe = None
            threads = [self._close_listener(), *self._open.values()]
            for connection in tuple(self._open):
                connection.cut()
        self.faults.wake()
        self._service.shells.drop_all()
        deadline = Deadline.after(_JOIN_S)
        for thread in threads:
            if thread is not None and thread is not threading.current_thread():
                thread.join(deadline.remaining)

    def drop_shells(self) -> None:
        """Forget every shell; clients get fault 2150858843 for them."""
        self._service.shells.drop_all()

    def drop_connections(self) -> None:
        """Break every open connection; new ones are welcome."""
        with self._lock:
            for connection in tuple(self._open):
                connection.cut()

    def wait_for(self, condition: Callable[[Counters], bool], timeout_s: float) -> bool:
        """Wait until ``condition`` holds for the connection and request counts; whether it came to."""
        deadline = Deadline.after(timeout_s)
        changed = self._context.tally.changed
        while not condition(self.counters):
            with changed:
                if deadline.expired:
                    return False
                changed.wait(deadline.at_most(0.05))  # a count may have changed before the lock was ours
        return True

    # -- listening

    def _bind(self) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.address, self._port))
        except OSError as error:
            listener.close()
            raise InfrastructureError(
                f"no WinRM endpoint at {self.address} port {self._port}: {error}",
                mend="free the port, or give the endpoint another one",
            ) from error
        self._port = listener.getsockname()[1]
        self._listener = listener

    def _follow_switches(self) -> None:
        """Listen or refuse, as the switches say. A port that is bound and not listening refuses."""
        with self._lock:
            if self._listener is None:
                return
            refuse = self.faults.get(FaultKind.REFUSE) is not None
            if refuse and self._acceptor is not None:
                self._close_listener()
                self._bind()
            elif not refuse and self._acceptor is None:
                self._listener.listen(_BACKLOG)
                self._acceptor = threading.Thread(
                    target=self._accept, args=(self._listener,), name=f"winrmd {self.url}", daemon=True
                )
                self._acceptor.start()

    def _close_listener(self) -> threading.Thread | None:
        """Close the port; gives the thread that waited there and is about to end."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept, which close does not
            self._listener.close()
        thread, self._acceptor, self._listener = self._acceptor, None, None
        return thread

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, (peer, _) = listener.accept()
            except OSError:
                return  # the listener was closed
            with self._lock:
                if self._listener is not listener:
                    sock.close()
                    return
                self._take(sock, peer)

    def _take(self, sock: socket.socket, peer: str) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        connection = Connection(sock, peer, self._context)
        thread = threading.Thread(
            target=self._serve, args=(connection,), name=f"winrmd {self.url} from {peer}", daemon=True
        )
        self._open[connection] = thread
        self._context.tally.count("connections")
        thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve(self._handshake)
        except Exception:  # noqa: BLE001 - one connection shall not end the others
            _log.exception("a connection to %s failed", self.url)
        finally:
            with self._lock:
                del self._open[connection]
            with self._context.tally.changed:
                self._context.tally.changed.notify_all()

    def _handshake(self, sock: socket.socket) -> None:
        if self._tls is not None:
            sock.do_handshake()  # type: ignore[attr-defined] # an SSLSocket, whose module is imported late
