"""One host's SSH server: key or password, exec, SFTP, direct-tcpip, several channels at once."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import paramiko

from harness.simlab.faults import FaultKind
from harness.simlab.host.simhost import SimHost
from harness.simlab.shell.process import Command, Processes, Session
from harness.simlab.ssh.exec import run_channel
from harness.simlab.ssh.sftp import HostSftp
from harness.simlab.ssh.tunnel import connect_guest, pump

__all__ = ["Access", "SshServer"]

_MAX_SESSIONS = 10  # sshd_config(5), MaxSessions
_BACKLOG = 16


@dataclass(frozen=True)
class Access:
    """Who may come in: a user by key or password. ``host_key`` is what the server shows."""

    user: str
    key: paramiko.PKey
    password: str
    host_key: paramiko.PKey


class SshServer:
    """Listens on 127.0.0.1; ``port`` is its port."""

    def __init__(self, host: SimHost, access: Access, commands: Mapping[str, Command]) -> None:
        self.host = host
        self.access = access
        self.commands = commands
        self.processes = Processes()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        self._connections: set[_Connection] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._unanswered: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, name=f"simlab-ssh-{host.name}", daemon=True)
        self._thread.start()
        host.faults.follow(lambda _: self._accidents())

    def _accidents(self) -> None:
        """A switch may have come on that breaks all connections."""
        if self._refuses():
            with self._lock:
                connections = tuple(self._connections)
            for connection in connections:
                # whoever made the stage begin may be one of theirs
                threading.Thread(target=connection.drop, daemon=True).start()

    def _refuses(self) -> bool:
        faults = self.host.faults
        return FaultKind.SSHD_STOPPED in faults or FaultKind.POWER_CUT in faults

    def close(self) -> None:
        """Cut all connections, kill all processes, give the port back."""
        with self._lock:
            self._closed = True
            connections = tuple(self._connections)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
        self._listener.close()
        self.processes.close()
        for connection in connections:
            connection.close()
        self._thread.join()
        for sock in self._unanswered:
            sock.close()
        for connection in connections:
            connection.join_all()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            # answers are small and waited for
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._refuses():
                sock.close()
                continue
            if FaultKind.HOST_SILENT in self.host.faults:
                self._unanswered.append(sock)
                continue
            with self._lock:
                if self._closed:
                    sock.close()
                    return
                self._connections = {known for known in self._connections if known.is_alive()}
                connection = _Connection(sock, self)
                self._connections.add(connection)
                connection.start_server(threading.Event(), _Rules(connection, self))


class _Connection(paramiko.Transport):
    """A client's connection. Two steps of paramiko's are followed, for which it has no other hook."""

    def __init__(self, sock: socket.socket, server: SshServer) -> None:
        super().__init__(sock)
        self.add_server_key(server.access.host_key)
        self.set_subsystem_handler("sftp", paramiko.SFTPServer, HostSftp, server.host)
        self.session = Session(server.host, server.processes, server.commands, self.drop)
        self._open: list[paramiko.Channel] = []  # paramiko itself forgets channels that nobody holds
        self._waiting: list[threading.Thread] = []
        self._threads: list[threading.Thread] = []
        self._tunnels: dict[int, socket.socket] = {}

    def drop(self) -> None:
        """Break the connection, as a network failure would."""
        self.close()

    def join_all(self) -> None:
        """Wait until nothing of this connection runs any more."""
        for thread in (*self._threads, self):
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(timeout=5)

    # -- what the rules ask for

    def session_count(self) -> int:
        """Sessions open now; tunnels do not count."""
        self._open = [channel for channel in self._open if not channel.closed]
        return len(self._open)

    def start_soon(self, channel: paramiko.Channel, line: bytes | None) -> None:
        """Run a command once its request has been answered: earlier output confuses clients."""
        thread = threading.Thread(
            target=run_channel, args=(self.session, channel, line), name="simlab-exec", daemon=True
        )
        self._waiting.append(thread)

    def tunnel_soon(self, number: int, sock: socket.socket) -> None:
        """Join a channel that is being opened to a socket."""
        self._tunnels[number] = sock

    # -- paramiko's own steps

    def _queue_incoming_channel(self, channel: paramiko.Channel) -> None:
        """A channel was opened, and the client knows."""
        sock = self._tunnels.pop(channel.get_id(), None)
        if sock is None:
            self._open.append(channel)
            return
        self._start(threading.Thread(target=pump, args=(channel, sock), name="simlab-tunnel", daemon=True))

    def _send_user_message(self, data: paramiko.Message) -> None:
        """What paramiko answers to requests is sent here."""
        super()._send_user_message(data)  # type: ignore[misc]  # no part of the stubs
        if threading.current_thread() is self:
            waiting, self._waiting = self._waiting, []
            for thread in waiting:
                self._start(thread)

    def _start(self, thread: threading.Thread) -> None:
        self._threads = [known for known in self._threads if known.is_alive()]
        self._threads.append(thread)
        thread.start()


class _Rules(paramiko.ServerInterface):
    """What a client may do."""

    def __init__(self, connection: _Connection, server: SshServer) -> None:
        self._connection = connection
        self._server = server

    def get_allowed_auths(self, username: str) -> str:
        del username
        return "publickey,password"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        access = self._server.access
        good = username == access.user and key == access.key
        return paramiko.common.AUTH_SUCCESSFUL if good else paramiko.common.AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        access = self._server.access
        good = username == access.user and secrets.compare_digest(password.encode(), access.password.encode())
        return paramiko.common.AUTH_SUCCESSFUL if good else paramiko.common.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        del chanid
        if kind != "session":
            return paramiko.common.OPEN_FAILED_UNKNOWN_CHANNEL_TYPE
        if self._connection.session_count() >= _MAX_SESSIONS:
            return paramiko.common.OPEN_FAILED_CONNECT_FAILED  # as sshd: "open failed"
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self._connection.start_soon(channel, command)
        return True

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        self._connection.start_soon(channel, None)
        return True

    def check_channel_pty_request(self, *_: object) -> bool:
        return True  # a terminal's echo and signals are not played

    def check_channel_env_request(self, channel: paramiko.Channel, name: bytes, value: bytes) -> bool:
        del channel, name, value
        return True

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        del origin
        sock = connect_guest(self._server.host, destination)
        if sock is None:
            return paramiko.common.OPEN_FAILED_CONNECT_FAILED
        self._connection.tunnel_soon(chanid, sock)
        return paramiko.common.OPEN_SUCCEEDED
