"""SSH to one host: commands, files, tunnels, streams over one authenticated transport.

A command is an argument list; it is quoted here and nowhere else, and only a
POSIX shell is assumed at the other end. Channels are opened per command: sshd
allows ten at a time by default (MaxSessions), of which we use eight.
"""

from __future__ import annotations

import hashlib
import io
import logging
import select
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import paramiko

from harness.deadline import Deadline
from harness.errors import CommandFailed, CommandTimedOut, HostUnreachable, InfrastructureError
from harness.host.sshlogin import Credentials, Login, open_client
from harness.host.tunnel import Tunnel
from harness.lab import HostSpec
from harness.model import CommandResult

__all__ = ["Line", "SshShell"]

Line = str

_log = logging.getLogger(__name__)

_SESSIONS = 8
_CHUNK = 1 << 16
_LOST = (EOFError, OSError, paramiko.SSHException)

# A background process that is ended when the channel's stdin closes: nothing outlives us there.
_STREAM_SCRIPT = '"$@" </dev/null & p=$!; cat >/dev/null; kill $p 2>/dev/null; wait $p'


class SshShell:
    """One host's shell. Safe for use by several threads.

    ``time_factor`` of the host scales every time limit given to its methods.
    """

    def __init__(self, spec: HostSpec, credentials: Credentials) -> None:
        self.spec = spec
        self._login = Login(spec, credentials)
        self._client: paramiko.SSHClient | None = None
        self._lock = threading.Lock()
        self._sessions = threading.BoundedSemaphore(_SESSIONS)

    # -- commands

    def run(
        self, argv: Sequence[str], *, timeout_s: float = 30, stdin: str = "", repeatable: bool = False
    ) -> CommandResult:
        """Run a command to its end; whatever its exit code, that is a result.

        ``repeatable`` commands change nothing: when the connection breaks they are run once more.

        Raises:
            CommandTimedOut: it did not end in ``timeout_s`` times the host's time factor.
            HostUnreachable: the connection broke.
        """
        deadline = Deadline.after(timeout_s * self.spec.time_factor)
        try:
            return self._run_once(tuple(argv), stdin, deadline)
        except HostUnreachable:
            if not repeatable or deadline.expired:
                raise
            _log.warning("%s: connection lost during %s, asking again", self.spec.name, shlex.join(argv))
            return self._run_once(tuple(argv), stdin, deadline)

    def check(self, argv: Sequence[str], *, timeout_s: float = 30, repeatable: bool = False) -> str:
        """Run a command that must succeed and give its stdout.

        Raises:
            CommandFailed: its exit code was not 0.
        """
        result = self.run(argv, timeout_s=timeout_s, repeatable=repeatable)
        if not result.ok:
            raise CommandFailed(f"host {self.spec.name}: {result.describe()}")
        return result.stdout

    @contextmanager
    def stream(self, argv: Sequence[str]) -> Iterator[Callable[[Deadline], Line | None]]:
        """Start a command whose lines are read while it runs; it is ended on leaving.

        Gives a function that returns the next line, or None when the deadline passes or it ended.
        """
        script = ("sh", "-c", _STREAM_SCRIPT, "sh", *self._as_root(argv))
        with self._session() as channel:
            channel.exec_command(shlex.join(script))
            yield _LineReader(channel).next_line
            channel.shutdown_write()

    @contextmanager
    def hold(self, argv: Sequence[str]) -> Iterator[Callable[[], bool]]:
        """Keep a command running that ends by itself when its stdin closes, as ours does when we die.

        Gives a function that says whether it still runs.
        """
        with self._session() as channel:
            channel.exec_command(shlex.join(self._as_root(argv)))
            yield lambda: not channel.exit_status_ready()
            channel.shutdown_write()

    # -- files

    def put(self, source: Path | bytes, path: str) -> None:
        """Copy a file or bytes to the host; the host's own hash of it must agree.

        Raises:
            InfrastructureError: it did not arrive whole, as on a full disk.
        """
        try:
            with _opened(source) as data, self._sftp() as sftp:
                wanted = hashlib.file_digest(data, "sha256").hexdigest()
                data.seek(0)
                sftp.putfo(data, path, confirm=False)
        except OSError as error:
            raise InfrastructureError(
                f"host {self.spec.name}: cannot write {path}: {error}",
                mend=f"look at the space and the rights there: df -h {shlex.quote(path)}",
            ) from error
        arrived = self.check(["sha256sum", path], repeatable=True, timeout_s=120).split()[0]
        if arrived != wanted:
            raise InfrastructureError(f"host {self.spec.name}: {path} arrived with another SHA-256")

    def get(self, path: str) -> bytes:
        """Read a file of the host.

        Raises:
            InfrastructureError: it cannot be read.
        """
        try:
            with self._sftp() as sftp, sftp.open(path, "rb") as remote:
                remote.prefetch()
                return remote.read()
        except OSError as error:
            raise InfrastructureError(f"host {self.spec.name}: cannot read {path}: {error}") from error

    # -- tunnels

    def tunnel(self, address: str, port: int) -> Tunnel:
        """A port on our loopback that leads to ``address:port`` as the host reaches it."""

        def connect() -> paramiko.Channel:
            return self._transport().open_channel(
                "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=20 * self.spec.time_factor
            )

        return Tunnel(connect)

    def close(self) -> None:
        """End the connection; a later command opens a new one."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    # -- inner parts

    def _as_root(self, argv: Sequence[str]) -> tuple[str, ...]:
        return ("sudo", "-n", *argv) if self.spec.sudo else tuple(argv)

    def _transport(self) -> paramiko.Transport:
        with self._lock:
            transport = self._client.get_transport() if self._client else None
            if transport is None or not transport.is_active():
                if self._client is not None:
                    self._client.close()
                self._client = open_client(self._login)
                transport = self._client.get_transport()
            if transport is None:
                raise HostUnreachable(f"host {self.spec.name}: the connection closed at once")
            return transport

    @contextmanager
    def _session(self) -> Iterator[paramiko.Channel]:
        with self._sessions:
            try:
                channel = self._transport().open_session(timeout=20 * self.spec.time_factor)
            except _LOST as error:
                self.close()
                raise HostUnreachable(f"host {self.spec.name}: no channel: {error}") from error
            try:
                yield channel
            finally:
                channel.close()

    @contextmanager
    def _sftp(self) -> Iterator[paramiko.SFTPClient]:
        with self._sessions:
            try:
                client = paramiko.SFTPClient.from_transport(self._transport())
            except _LOST as error:
                raise HostUnreachable(f"host {self.spec.name}: no SFTP: {error}") from error
            if client is None:
                raise HostUnreachable(f"host {self.spec.name}: no SFTP")
            try:
                yield client
            finally:
                client.close()

    def _run_once(self, argv: tuple[str, ...], stdin: str, deadline: Deadline) -> CommandResult:
        started = time.monotonic()
        with self._session() as channel:
            try:
                channel.exec_command(shlex.join(self._as_root(argv)))
                if stdin:
                    channel.settimeout(deadline.remaining)
                    channel.sendall(stdin.encode())
                channel.shutdown_write()
                out, err = _read_to_end(channel, deadline)
            except TimeoutError as error:
                raise CommandTimedOut(
                    f"host {self.spec.name}: {shlex.join(argv)} did not end in {deadline.seconds:.0f} s"
                ) from error
            except _LOST as error:
                self.close()
                raise HostUnreachable(
                    f"host {self.spec.name}: connection lost during {shlex.join(argv)}: {error}"
                ) from error
            code = channel.recv_exit_status()
        if code < 0:
            self.close()
            raise HostUnreachable(f"host {self.spec.name}: connection lost during {shlex.join(argv)}")
        result = CommandResult(argv, code, _text(out), _text(err), time.monotonic() - started)
        _log.debug("%s: %s (%.2f s)", self.spec.name, result.describe(), result.duration_s)
        return result


def _opened(source: Path | bytes) -> io.BytesIO | io.BufferedReader:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


class _LineReader:
    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._buffer = b""

    def next_line(self, deadline: Deadline) -> Line | None:
        while b"\n" not in self._buffer:
            self._channel.settimeout(max(deadline.remaining, 0.001))
            try:
                chunk = self._channel.recv(_CHUNK)
            except TimeoutError:
                return None
            if not chunk:
                return None
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return _text(line)


def _read_to_end(channel: paramiko.Channel, deadline: Deadline) -> tuple[bytes, bytes]:
    out, err = bytearray(), bytearray()
    while True:
        ready = False
        if channel.recv_ready():
            out += channel.recv(_CHUNK)
            ready = True
        if channel.recv_stderr_ready():
            err += channel.recv_stderr(_CHUNK)
            ready = True
        if ready:
            continue
        if (channel.eof_received or channel.closed) and not channel.recv_ready():
            # the exit code may come after the end of the output
            if not channel.status_event.wait(deadline.remaining):
                raise TimeoutError
            if not (channel.recv_ready() or channel.recv_stderr_ready()):
                return bytes(out), bytes(err)
            continue
        if deadline.expired:
            raise TimeoutError
        select.select([channel], [], [], min(1.0, deadline.remaining))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")
