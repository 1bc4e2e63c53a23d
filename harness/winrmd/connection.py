"""One TCP connection of an endpoint: requests in, answers out, and what the fault switches make of them."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from harness.winrmd.http import (
    BadRequest,
    HttpRequest,
    HttpResponse,
    Reader,
    read_body,
    read_head,
    render,
)
from harness.winrmd.login import Accepted, ConnectionLogin, Refused
from harness.winrmd.sealed import FrameError, content_type, protocol_of
from harness.winrmd.service import Caller, Service
from harness.winrmd.settings import Credentials, WinRmSettings
from harness.winrmd.switches import FaultKind, FaultSwitches

__all__ = ["Connection", "Context", "Tally"]

_log = logging.getLogger(__name__)

_SOAP = "application/soap+xml;charset=UTF-8"
_PATH = "/wsman"
_MOST_BODY = 64 * 1024 * 1024  # beyond it a body is not even read to be refused


class Tally:
    """Counts what goes on; ``changed`` wakes those that wait for a count."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.connections = 0
        self.requests = 0
        self.messages = 0

    def count(self, what: str) -> None:
        """One more of ``connections``, ``requests`` or ``messages``."""
        with self.changed:
            setattr(self, what, getattr(self, what) + 1)
            self.changed.notify_all()


@dataclass(frozen=True)
class Context:
    """What the connections of an endpoint share."""

    service: Service
    credentials: Credentials
    settings: WinRmSettings
    faults: FaultSwitches
    tally: Tally
    stopping: threading.Event
    secure: bool


class _CutOff(Exception):
    """A fault switch closes the connection instead of answering."""


class Connection:
    """A connection and the state of its login. ``serve`` runs in a thread of its own."""

    def __init__(self, sock: socket.socket, peer: str, context: Context) -> None:
        self._socket = sock
        self._peer = peer
        self._context = context
        self._faults = context.faults
        self._login = ConnectionLogin(context.credentials, context.settings)

    def serve(self, handshake: Callable[[socket.socket], None]) -> None:
        """Answer requests until either side has had enough; closes the socket."""
        with self._socket, contextlib.suppress(_CutOff):
            try:
                self._wait_while_frozen()
                handshake(self._socket)
                with self._socket.makefile("rb") as reader:
                    self._serve(reader)
            except OSError as error:  # the client went, TLS failed, or cut() was called
                _log.debug("connection from %s: %s", self._peer, error)

    def cut(self) -> None:
        """Break the connection from any thread; ``serve`` ends soon after."""
        with contextlib.suppress(OSError):
            # not SSLSocket's own: it takes the TLS object away under the thread that reads from it
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _serve(self, reader: Reader) -> None:
        keep_alive = True
        while keep_alive:
            idle = self._faults.get(FaultKind.IDLE_CLOSE)
            self._socket.settimeout(idle.seconds if idle else None)
            try:
                head = read_head(reader)
                if head is None:
                    return
                self._socket.settimeout(None)
                keep_alive = head.keeps_alive and head.length <= _MOST_BODY
                body = read_body(reader, head.length) if head.length <= _MOST_BODY else b""
                response = self._respond(head, body)
            except BadRequest as error:
                _log.debug("connection from %s: %s", self._peer, error)
                response, keep_alive = HttpResponse(400), False
            self._socket.sendall(render(response, keep_alive=keep_alive))

    # -- one request

    def _respond(self, head: HttpRequest, body: bytes) -> HttpResponse:
        self._context.tally.count("requests")
        self._wait_while_frozen()
        if head.method != "POST" or head.path.partition("?")[0] != _PATH:
            return HttpResponse(404)
        if head.headers.get("wsmanidentify", "").lower() == "unauthenticated":
            identity = self._context.service.identify(body)
            if identity is not None:
                return self._broken_by_fault() or HttpResponse(200, identity, _SOAP)
        return self._logged_in(head, body)

    def _logged_in(self, head: HttpRequest, body: bytes) -> HttpResponse:
        verdict = self._login.check(head.headers.get("authorization", ""))
        if isinstance(verdict, Accepted) and self._faults.strikes(FaultKind.HTTP_401):
            verdict = self._login.refuse()
        if isinstance(verdict, Refused):
            return HttpResponse(401, headers=verdict.headers)
        if not head.length:
            return HttpResponse(200, headers=verdict.headers)
        too_long = head.length > self._context.settings.max_envelope_kib * 1024
        response = self._broken_by_fault() or (
            HttpResponse(413) if too_long else self._message(head, body, verdict.user)
        )
        return HttpResponse(
            response.status, response.body, response.content_type, verdict.headers + response.headers
        )

    def _message(self, head: HttpRequest, body: bytes, user: str) -> HttpResponse:
        protocol = protocol_of(head.headers.get("content-type", ""))
        if not protocol and not self._context.secure and not self._context.settings.allow_unencrypted:
            return HttpResponse(401, headers=self._login.refuse().headers)  # guess: what Windows says here
        try:
            plain = self._login.unseal(body) if protocol else body
        except FrameError as error:
            _log.debug("connection from %s: %s", self._peer, error)
            return HttpResponse(400)
        if self._faults.strikes(FaultKind.LOSE_SHELLS):
            self._context.service.shells.drop_all()
        status, answer = self._context.service.answer(plain, Caller(user, self._peer))
        self._wait_while_frozen()
        if self._faults.strikes(FaultKind.DROP_ANSWER):
            raise _CutOff
        if not protocol:
            return HttpResponse(status, answer, _SOAP)
        return HttpResponse(status, self._login.seal(answer, protocol), content_type(protocol))

    def _broken_by_fault(self) -> HttpResponse | None:
        """Count a message; what a switch answers in its place."""
        self._context.tally.count("messages")
        if self._faults.strikes(FaultKind.DROP):
            raise _CutOff
        if self._faults.strikes(FaultKind.HTTP_400):
            return HttpResponse(400)
        return HttpResponse(413) if self._faults.strikes(FaultKind.HTTP_413) else None

    def _wait_while_frozen(self) -> None:
        stopping = self._context.stopping
        self._faults.wait_while(FaultKind.FREEZE, unless=stopping.is_set)
        if stopping.is_set():
            raise _CutOff
