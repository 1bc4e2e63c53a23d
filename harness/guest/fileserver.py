"""The HTTP server that guests fetch files from and put files to.

It shows nothing but what is offered, each under a token that cannot be guessed and that dies when the offer
ends. It says nothing about what it has and keeps no log: tokens stay out of it. A guest that dawdles, or
opens many connections, is in nobody's way but its own.
"""

from __future__ import annotations

import contextlib
import errno
import hmac
import http.server
import os
import secrets
import shutil
import socket
import socketserver
import threading
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from harness.errors import ConfigurationError

__all__ = ["MOST_ACCEPTED", "TOKEN", "FileServer"]

TOKEN = "pvhck-token-"  # noqa: S105  # by which a redactor knows one (harness.lab.redactor)
MOST_ACCEPTED = 64 << 30  # bytes of one file, unless said otherwise
_TOKEN_BYTES = 24
_REQUEST_S = 15  # until a request's line and headers are here
_SILENT_S = 60  # within a body
_OF_ONE_PEER = 8  # connections at a time
_OF_ALL = 64
_CHUNK = 1 << 20


@dataclass(frozen=True)
class _Offer:
    path: Path
    accepts: bool
    most: int = 0


class FileServer:
    """Serves offered files to guests, and takes files they put. Use it as a context.

    ``address`` is ours as guests see it. We listen there and nowhere else. Where it is no address of this
    machine (guests behind address translation), we listen on the one by which we reach ``towards``, the
    guests' host: that is where what is translated arrives.
    """

    def __init__(self, address: str, *, towards: str = "") -> None:
        self._offers: dict[bytes, _Offer] = {}
        self._server = _listen(address, towards)
        self._server.offers = self._offers
        self._address = address
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    @property
    def listens(self) -> tuple[str, int]:
        """Address and port of this machine on which it listens."""
        address, port = self._server.server_address[:2]
        return str(address), port

    @contextmanager
    def offer(self, path: Path) -> Iterator[str]:
        """A URL to pull ``path`` from, for as long as the context lasts."""
        with self._listed(_Offer(path, accepts=False)) as url:
            yield url

    @contextmanager
    def accept(self, path: Path, *, most: int = MOST_ACCEPTED) -> Iterator[str]:
        """A URL to put one file of at most so many bytes to, which is written to ``path``."""
        with self._listed(_Offer(path, accepts=True, most=most)) as url:
            yield url

    @contextmanager
    def _listed(self, offer: _Offer) -> Iterator[str]:
        place = f"/{TOKEN}{secrets.token_urlsafe(_TOKEN_BYTES)}/{urllib.parse.quote(offer.path.name)}"
        self._offers[place.encode("ascii")] = offer
        try:
            yield f"http://{self._address}:{self._server.server_address[1]}{place}"
        finally:
            del self._offers[place.encode("ascii")]


def _listen(address: str, towards: str) -> _Server:
    try:
        return _Server((address, 0), _Handler)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise ConfigurationError(
                f"no file server at {address}: {error}",
                mend="`controller` of the host's section is our address as guests see it",
            ) from error
    return _Server((_way_to(towards or address), 0), _Handler)


def _way_to(address: str) -> str:
    """The address of this machine from which packets to another go. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((address, 9))  # any port
        except OSError as error:
            raise ConfigurationError(
                f"no file server: `controller` is not ours, and there is no way to {address}: {error}",
                mend="`controller` of the host's section is our address as guests see it",
            ) from error
        return str(sock.getsockname()[0])


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 32
    offers: dict[bytes, _Offer]

    def __init__(self, *arguments: Any) -> None:
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()
        super().__init__(*arguments)

    def offer_at(self, place: bytes) -> _Offer | None:
        """What is offered there. How long it takes tells nothing of how near a guess came."""
        found = None
        for known, offer in tuple(self.offers.items()):
            if hmac.compare_digest(known, place):
                found = offer
        return found

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for each connection, up to what one peer, and all of them, may have."""
        peer = str(client_address[0])
        with self._lock:
            if self._open[peer] >= _OF_ONE_PEER or self._open.total() >= _OF_ALL:
                self.shutdown_request(request)
                return
            self._open[peer] += 1
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One connection, from beginning to end."""
        peer = str(client_address[0])
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open[peer] -= 1
                if not self._open[peer]:
                    del self._open[peer]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A guest that hangs up in the middle is found out by the hash, not here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    server_version = "pvhck"
    sys_version = ""
    timeout = _SILENT_S
    error_message_format = "%(code)d\n"
    error_content_type = "text/plain"

    def handle_one_request(self) -> None:
        """One request; its line and headers have to be here in time, however slowly they come."""
        self._late = threading.Timer(_REQUEST_S, self._hang_up)
        self._late.daemon = True
        self._late.start()
        try:
            super().handle_one_request()
        finally:
            self._late.cancel()

    def do_GET(self) -> None:  # the base class dictates the name
        offer = self._offer()
        if offer is None or offer.accepts:
            self.send_error(404)
            return
        with offer.path.open("rb") as data:
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(os.fstat(data.fileno()).st_size))
            self.end_headers()
            shutil.copyfileobj(data, self.wfile, _CHUNK)

    def do_PUT(self) -> None:
        offer = self._offer()
        if offer is None or not offer.accepts:
            self.send_error(404)
            return
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Transfer-Encoding") or not (length.isascii() and length.isdecimal()):
            self.send_error(411)
            return
        if int(length) > offer.most:
            self.send_error(413)
            return
        if self._take(offer.path, int(length)):
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse; nothing of the request comes back, as the base class would have it."""
        del message, explain
        super().send_error(code)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class dictates it
        """Tokens stay out of the logs."""

    def _offer(self) -> _Offer | None:
        self._late.cancel()
        return self.server.offer_at(self.path.encode("latin-1", "replace"))

    def _take(self, path: Path, remaining: int) -> bool:
        """Write a body; what did not come whole is not there."""
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            with part.open("wb") as data:
                while remaining:
                    chunk = self.rfile.read(min(remaining, _CHUNK))
                    if not chunk:
                        return False
                    data.write(chunk)
                    remaining -= len(chunk)
            part.replace(path)
            return True
        finally:
            part.unlink(missing_ok=True)

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
