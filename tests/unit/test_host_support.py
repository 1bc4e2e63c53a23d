"""What the tests of harness.host share: an SSH server of this machine, whose commands really run."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from paramiko.common import MSG_CHANNEL_SUCCESS

from harness.deadline import Deadline, Done, NotYet, WaitTimedOut, wait_until
from harness.host.ssh import SshShell
from harness.host.sshlogin import Credentials, known_hosts_file, trust
from harness.lab import HostKind, HostSpec, SecretRef

USER, PASSWORD = "root", "pass wörd"
HOST_KEY = paramiko.ECDSAKey.generate()
PASSWORD_REF = SecretRef("env", "PVHCK_TEST_PASSWORD")


@dataclass
class Machine:
    """What a server's commands find, and what a test may have it do."""

    root: Path
    path: Path
    host_key: paramiko.PKey = HOST_KEY
    client_key: paramiko.PKey | None = None
    commands: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)  # how somebody tried to log in
    threads: list[threading.Thread] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    sftp: bool = True

    def program(self, name: str, script: str) -> None:
        """Put a program on the PATH of the commands."""
        file = self.path / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)


class SshServer:
    """Listens on loopback until it is closed; ``drop`` breaks all connections."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.transports: list[paramiko.Transport] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def drop(self) -> None:
        for transport in self.transports:
            transport.close()
        self.transports.clear()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        self.drop()
        for process in self.machine.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)
        for thread in self.machine.threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            transport = _Transport(sock)
            transport.add_server_key(self.machine.host_key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, sftp_si=_Files)
            self.transports.append(transport)
            with contextlib.suppress(paramiko.SSHException, EOFError):
                # an event given: it does not wait for the handshake here
                transport.start_server(threading.Event(), server=_Session(self.machine, transport))


class _Transport(paramiko.Transport):
    """Starts what a request asks for once the client has been told that it was granted.

    Output that comes before that makes the client give the channel up.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.granted: list[threading.Thread] = []

    def _send_user_message(self, data):
        super()._send_user_message(data)
        if data.asbytes()[0] == MSG_CHANNEL_SUCCESS and self.granted:
            self.granted.pop().start()


class _Session(paramiko.ServerInterface):
    def __init__(self, machine: Machine, transport: _Transport) -> None:
        self._machine = machine
        self._transport = transport

    def check_auth_password(self, username, password):
        self._machine.logins.append("password")
        return self._allow(username == USER and password == PASSWORD)

    def check_auth_publickey(self, username, key):
        self._machine.logins.append("key")
        return self._allow(username == USER and key == self._machine.client_key)

    def get_allowed_auths(self, username):
        return "password,publickey"

    def _allow(self, allowed):
        return paramiko.AUTH_SUCCESSFUL if allowed else paramiko.AUTH_FAILED

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED

    def check_channel_subsystem_request(self, channel, name):
        return self._machine.sftp and super().check_channel_subsystem_request(channel, name)

    def check_channel_exec_request(self, channel, command):
        self._machine.commands.append(command.decode())
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._machine.root,
            env={**os.environ, "PATH": f"{self._machine.path}:{os.environ['PATH']}"},
            start_new_session=True,
        )
        self._machine.processes.append(process)
        thread = threading.Thread(target=_serve, args=(channel, process), daemon=True)
        self._machine.threads.append(thread)
        self._transport.granted.append(thread)
        return True

    def check_channel_direct_tcpip_request(self, chanid, origin, destination):
        try:
            sock = socket.create_connection(destination, timeout=5)
        except OSError:
            return paramiko.OPEN_FAILED_CONNECT_FAILED
        threading.Thread(target=self._forward, args=(chanid, sock), daemon=True).start()
        return paramiko.OPEN_SUCCEEDED

    def _forward(self, chanid: int, sock: socket.socket) -> None:
        # the transport's queue of accepted channels is one for all: each would take the others'
        try:
            channel = wait_until(
                lambda: Done(found) if (found := self._transport._channels.get(chanid)) else NotYet(""),
                subject="the channel is there",
                deadline=Deadline.after(5),
                interval_s=0.01,
            )
        except WaitTimedOut:  # whoever asked for it has closed it meanwhile
            sock.close()
            return
        threads = [
            threading.Thread(target=_copy, args=(sock.recv, channel.sendall, channel.shutdown_write)),
            threading.Thread(
                target=_copy, args=(channel.recv, sock.sendall, lambda: sock.shutdown(socket.SHUT_WR))
            ),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with contextlib.suppress(OSError, EOFError):
            channel.close()
        sock.close()


def _serve(channel: paramiko.Channel, process: subprocess.Popen[bytes]) -> None:
    """As sshd does: stdin ends with the channel, the exit code comes after the output."""
    stdin = threading.Thread(
        target=_copy, args=(channel.recv, _write_to(process), process.stdin.close), daemon=True
    )
    stdin.start()
    streams = [
        threading.Thread(target=_copy, args=(process.stdout.read1, channel.sendall, _nothing)),
        threading.Thread(target=_copy, args=(process.stderr.read1, channel.sendall_stderr, _nothing)),
    ]
    for stream in streams:
        stream.start()
    for stream in streams:
        stream.join()
    code = process.wait()
    with contextlib.suppress(OSError, EOFError):
        if code >= 0:  # sshd tells of a signal in another way, which paramiko's client does not read
            channel.send_exit_status(code)
        channel.close()
    stdin.join()
    process.stdout.close()
    process.stderr.close()


def _write_to(process: subprocess.Popen[bytes]):
    def write(data: bytes) -> None:
        process.stdin.write(data)
        process.stdin.flush()

    return write


def _copy(read, write, end) -> None:
    with contextlib.suppress(OSError, EOFError, ValueError):
        while data := read(65536):
            write(data)
    with contextlib.suppress(OSError, EOFError, ValueError):
        end()


def _nothing() -> None:
    pass


class _Files(paramiko.SFTPServerInterface):
    """The file system as it is."""

    def open(self, path, flags, attr):
        try:
            number = os.open(path, flags, 0o644)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        handle = paramiko.SFTPHandle(flags)
        handle.stat = lambda: paramiko.SFTPAttributes.from_stat(os.fstat(number))
        handle.readfile = handle.writefile = os.fdopen(number, "wb" if flags & os.O_WRONLY else "rb")
        return handle

    def stat(self, path):
        try:
            return paramiko.SFTPAttributes.from_stat(Path(path).stat())
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)


@contextlib.contextmanager
def serving(machine: Machine) -> Iterator[SshServer]:
    server = SshServer(machine)
    try:
        yield server
    finally:
        server.close()


def make_machine(folder: Path) -> Machine:
    root, path = folder / "host", folder / "bin"
    root.mkdir()
    path.mkdir()
    return Machine(root, path)


def spec_for(server: SshServer, folder: Path, **more) -> HostSpec:
    """A host's section; its key is trusted."""
    fields = {
        "name": "xen1",
        "kind": HostKind.SSH,
        "address": "127.0.0.1",
        "port": server.port,
        "user": USER,
        "password": PASSWORD_REF,
        "known_hosts": folder / "known_hosts",
        "storage": str(server.machine.root / "storage"),
    }
    spec = HostSpec(**(fields | more))
    if not known_hosts_file(spec).exists():
        trust(spec, server.machine.host_key)
    return spec


def credentials(password: str = PASSWORD) -> Credentials:
    return Credentials(lambda ref: {PASSWORD_REF: password}[ref])


@contextlib.contextmanager
def shell_on(folder: Path, **more) -> Iterator[tuple[SshShell, SshServer]]:
    """A shell on a machine in ``folder``."""
    with serving(make_machine(folder)) as server:
        shell = SshShell(spec_for(server, folder, **more), credentials())
        try:
            yield shell, server
        finally:
            shell.close()
