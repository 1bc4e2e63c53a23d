"""direct-tcpip: from a client through the host to one of its guests."""

from __future__ import annotations

import contextlib
import socket
import threading

import paramiko

from harness.simlab.host.simhost import SimHost

__all__ = ["connect_guest", "pump"]

_CONNECT_S = 2.0
_CHUNK = 1 << 16
_LOST = (OSError, EOFError, paramiko.SSHException)


def connect_guest(host: SimHost, destination: tuple[str, int]) -> socket.socket | None:
    """A connection to a guest of this host; None for any other place, and when nobody answers."""
    if destination[0] not in host.guest_addresses():
        return None
    try:
        sock = socket.create_connection(destination, timeout=_CONNECT_S)
    except OSError:
        return None
    sock.settimeout(None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def pump(channel: paramiko.Channel, sock: socket.socket) -> None:
    """Carry bytes both ways until both sides are done."""
    back = threading.Thread(target=_from_guest, args=(channel, sock), name="simlab-tunnel-back", daemon=True)
    back.start()
    with contextlib.suppress(*_LOST):
        while data := channel.recv(_CHUNK):
            sock.sendall(data)
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR if not channel.closed else socket.SHUT_RDWR)
    back.join()
    sock.close()


def _from_guest(channel: paramiko.Channel, sock: socket.socket) -> None:
    with contextlib.suppress(*_LOST):
        while data := sock.recv(_CHUNK):
            channel.sendall(data)
    with contextlib.suppress(*_LOST):
        channel.close()
