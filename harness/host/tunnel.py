"""A port or a socket of ours whose connections go through SSH to somewhere the host can reach."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import paramiko

from harness.host.sshchannel import LOST

__all__ = ["Tunnel"]

_CHUNK = 1 << 16


class Tunnel:
    """Listens on 127.0.0.1 at ``port``, or on a Unix socket where a path is given.

    Close it, or use it as a context.
    """

    def __init__(self, connect: Callable[[], paramiko.Channel], *, path: Path | None = None) -> None:
        self._connect = connect
        self._path = path
        self.port = 0
        if path is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.port = self._listener.getsockname()[1]
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(os.fspath(path))
            self._listener.listen()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._accept, name="tunnel", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and cut what is connected."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
        self._listener.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        with self._lock:
            self._closed = True
            connected = tuple(self._open)
        for sock in connected:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=5)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._closed:
                    sock.close()
                    return
                self._open.add(sock)
            if self._path is None:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            # a refused far end becomes a closed connection here, as it would without the tunnel
            channel = self._connect()
        except Exception:  # noqa: BLE001  # paramiko raises many kinds; all mean "not connected"
            self._forget(sock)
            return
        try:
            _pump(sock, channel)
        finally:
            self._forget(sock)

    def _forget(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.discard(sock)
        sock.close()


def _pump(sock: socket.socket, channel: paramiko.Channel) -> None:
    """Carry both ways until either end is done.

    A thread for each way, and no select(): closing a channel whose fileno() was asked for can
    cost the whole connection (see ``read_to_end``).
    """
    back = threading.Thread(target=_carry_back, args=(channel, sock), daemon=True)
    back.start()
    with contextlib.suppress(*LOST):
        while data := sock.recv(_CHUNK):
            channel.sendall(data)
    with contextlib.suppress(*LOST):
        channel.close()  # wakes the other way
    back.join()


def _carry_back(channel: paramiko.Channel, sock: socket.socket) -> None:
    with contextlib.suppress(*LOST):
        while data := channel.recv(_CHUNK):
            sock.sendall(data)
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)  # wakes the other way
