"""Files to and from a guest: pulled by HTTP, or on a CD when the guest cannot reach us.

The server shows nothing but what is offered, each under a token that cannot be
guessed and that dies when the offer ends. What arrives is hashed there and
compared here.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import secrets
import shutil
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pycdlib

from harness.errors import HarnessError, InfrastructureError
from harness.operations import FileFacts, GuestOperations

__all__ = ["CD_LABEL", "FileServer", "make_iso", "sha256_of", "to_guest"]

CD_LABEL = "PVHCK"
_TOKEN_BYTES = 24


def sha256_of(path: Path) -> str:
    """A local file's SHA-256."""
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


@dataclass(frozen=True)
class _Offer:
    path: Path
    accepts: bool


class FileServer:
    """Serves offered files to guests, and takes files they put. Use it as a context.

    ``address`` is ours as guests see it; ``bind`` is what we listen on.
    """

    def __init__(self, address: str, *, bind: str = "") -> None:
        self._offers: dict[str, _Offer] = {}
        self._server = _Server((bind or address, 0), _Handler)
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

    @contextmanager
    def offer(self, path: Path) -> Iterator[str]:
        """A URL to pull ``path`` from, for as long as the context lasts."""
        with self._listed(_Offer(path, accepts=False)) as url:
            yield url

    @contextmanager
    def accept(self, path: Path) -> Iterator[str]:
        """A URL to put one file to, which is written to ``path``."""
        with self._listed(_Offer(path, accepts=True)) as url:
            yield url

    @contextmanager
    def _listed(self, offer: _Offer) -> Iterator[str]:
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._offers[token] = offer
        try:
            yield f"http://{self._address}:{self._server.server_address[1]}/{token}/{offer.path.name}"
        finally:
            del self._offers[token]


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    offers: dict[str, _Offer]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A guest that hangs up in the middle is found out by the hash, not here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = 60

    def do_GET(self) -> None:  # the base class dictates the name
        offer = self._offer()
        if offer is None or offer.accepts:
            self.send_error(404)
            return
        with offer.path.open("rb") as data:
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(offer.path.stat().st_size))
            self.end_headers()
            shutil.copyfileobj(data, self.wfile, 1 << 20)

    def do_PUT(self) -> None:
        offer = self._offer()
        length = self.headers.get("Content-Length")
        if offer is None or not offer.accepts or length is None:
            self.send_error(404)
            return
        remaining = int(length)
        with offer.path.open("wb") as data:
            while remaining:
                chunk = self.rfile.read(min(remaining, 1 << 20))
                if not chunk:
                    return
                data.write(chunk)
                remaining -= len(chunk)
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class dictates it
        """Tokens stay out of the logs."""

    def _offer(self) -> _Offer | None:
        return self.server.offers.get(self.path.strip("/").partition("/")[0])


def to_guest(guest: GuestOperations, server: FileServer, source: Path, target: str) -> FileFacts:
    """Have the guest pull a file; its hash there is ours.

    Raises:
        InfrastructureError: it arrived with another hash or size.
    """
    wanted = sha256_of(source)
    with server.offer(source) as url:
        facts = guest.pull_file(url=url, path=target, sha256=wanted)
    if (facts.sha256, facts.size) != (wanted, source.stat().st_size):
        raise InfrastructureError(
            f"{source.name} arrived as {facts.path} with SHA-256 {facts.sha256}, not {wanted}",
            mend="something between us and the guest changes what it carries",
        )
    return facts


def make_iso(files: dict[str, Path], target: Path) -> None:
    """An ISO image (Joliet, label ``PVHCK``) with files in its root folder, by the names given."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, vol_ident=CD_LABEL)
    try:
        for number, (name, path) in enumerate(sorted(files.items())):
            if len(name) > 60 or "/" in name:  # noqa: PLR2004  # Joliet allows 64 with the version
                raise HarnessError(f"{name} cannot be a file name on a CD")
            iso.add_file(str(path), f"/F{number:07}.;1", joliet_path=f"/{name}")
        iso.write(str(target))
    finally:
        with contextlib.suppress(Exception):
            iso.close()
