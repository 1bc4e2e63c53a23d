"""SSH to one host: commands, files, tunnels, streams over one authenticated transport.

A command is an argument list; it is quoted here and nowhere else, and only a
POSIX shell is assumed at the other end. With ``sudo = yes`` root runs those that need it
(``harness.host.rights``), the user who logs in all others. Channels are opened per command: sshd
allows ten at a time by default (MaxSessions), of which we use eight.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import shlex
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import paramiko

from harness.deadline import Deadline
from harness.errors import CommandFailed, CommandTimedOut, HostUnreachable, InfrastructureError
from harness.host.rights import needs_root
from harness.host.sshchannel import LOST, Hold, LineReader, Unread, as_text, feed, read_to_end, seconds_left
from harness.host.sshlogin import Credentials, Login, open_client
from harness.host.tunnel import Tunnel
from harness.lab import HostSpec
from harness.model import SIGNALLED, CommandResult

__all__ = ["SshShell"]

_log = logging.getLogger(__name__)

_SESSIONS = 8
_CHUNK = 1 << 16
_FILE_S = 900
_ENDING_S = 1.0

# A background process that is ended when the channel's stdin closes: nothing outlives us there.
_STREAM_SCRIPT = '"$@" </dev/null & p=$!; cat >/dev/null; kill $p 2>/dev/null; wait $p'
# What sudo started only root may end. sudo passes on no signal that comes from its own process group
# (sudo's exec_nopty.c, since 1.8.7): hence setsid, which is exec'd away and leaves the number as it is.
_ROOT_SCRIPT = (
    'if command -v setsid >/dev/null; then set -- setsid "$@"; fi; '
    '"$@" </dev/null & p=$!; cat >/dev/null; sudo -n kill $p 2>/dev/null; wait $p'
)


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
        self._holds: list[Hold] = []

    # -- commands

    def run(
        self, argv: Sequence[str], *, timeout_s: float = 30, stdin: str = "", repeatable: bool = False
    ) -> CommandResult:
        """Run a command to its end; whatever its exit code, that is a result.

        ``repeatable`` commands change nothing: when a connection breaks they are run once more.

        Raises:
            CommandTimedOut: it did not end in ``timeout_s`` times the host's time factor.
            HostUnreachable: the connection broke.
        """
        deadline = Deadline.after(timeout_s * self.spec.time_factor)
        connected = self._client is not None
        try:
            return self._run_once(tuple(argv), stdin, deadline)
        except HostUnreachable:
            if not (repeatable and connected) or deadline.expired:
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
    def stream(self, argv: Sequence[str]) -> Iterator[LineReader]:
        """Start a command whose lines are read while it runs; it is ended on leaving.

        Raises:
            HostUnreachable: the command could not be started.
        """
        words = self._as_root(argv)
        script = _STREAM_SCRIPT if words == tuple(argv) else _ROOT_SCRIPT
        command = shlex.join(("sh", "-c", script, "sh", *words))
        with self._session() as channel:
            with self._named(argv):
                channel.exec_command(command)
            yield LineReader(channel)
            with contextlib.suppress(*LOST):
                channel.shutdown_write()

    @contextmanager
    def hold(self, argv: Sequence[str]) -> Iterator[Hold]:
        """Keep a command running that ends by itself when its stdin closes, as ours does when we die.

        When the connection breaks and a new one is opened, the command is started there again.
        """
        hold = Hold(shlex.join(self._as_root(argv)))
        with self._sessions:
            transport = self._transport()
            with self._lock, self._named(argv):
                hold.start(transport)
                self._holds.append(hold)
            try:
                yield hold
            finally:
                with self._lock:
                    self._holds.remove(hold)
                hold.end()

    # -- files

    def put(self, source: Path | bytes, path: str, *, timeout_s: float = _FILE_S) -> None:
        """Copy a file or bytes to the host; the host's own hash of it must agree.

        Raises:
            InfrastructureError: it did not arrive whole, as on a full disk.
            CommandTimedOut: it took longer than ``timeout_s`` times the host's time factor.
        """
        deadline = Deadline.after(timeout_s * self.spec.time_factor)
        with _opened(source) as data:
            wanted = hashlib.file_digest(data, "sha256").hexdigest()
            data.seek(0)
            self._put_by_sftp(data, path, deadline)
        arrived = self.check(["sha256sum", path], repeatable=True, timeout_s=timeout_s)
        if not arrived.removeprefix("\\").startswith(wanted):
            raise InfrastructureError(
                f"host {self.spec.name}: {path} arrived with another SHA-256",
                mend=f"look at the space there: df -h {shlex.quote(path)}",
            )

    def get(self, path: str, *, timeout_s: float = _FILE_S) -> bytes:
        """Read a file of the host.

        Raises:
            InfrastructureError: it cannot be read.
            CommandTimedOut: it took longer than ``timeout_s`` times the host's time factor.
        """
        deadline = Deadline.after(timeout_s * self.spec.time_factor)
        if self.spec.sudo:  # SFTP reads as the user who logged in, and root may have written it
            code, out, err = self._execute(("cat", path), b"", deadline)
            if code != 0:
                raise self._unread(path, as_text(err).strip())
            return out
        with (
            self._reading(path, deadline),
            self._sftp(deadline) as sftp,
            sftp.open(path, "rb") as remote,
        ):
            remote.prefetch()
            content = bytearray()
            while chunk := remote.read(_CHUNK):
                content += chunk
                self._in_time(f"reading {path}", deadline)
            return bytes(content)

    def fetch(self, path: str, target: Path, *, timeout_s: float = _FILE_S) -> None:
        """Bring a file of the host, of any size, into a local one.

        Raises:
            InfrastructureError: it cannot be read.
            CommandTimedOut: it took longer than ``timeout_s`` times the host's time factor.
        """
        if self.spec.sudo:  # SFTP reads as the user who logged in
            target.write_bytes(self.get(path, timeout_s=timeout_s))
            return
        deadline = Deadline.after(timeout_s * self.spec.time_factor)
        with self._reading(path, deadline), self._sftp(deadline) as sftp, target.open("wb") as local:
            sftp.getfo(path, local, callback=lambda *_: self._in_time(f"reading {path}", deadline))

    # -- tunnels

    def tunnel(self, address: str, port: int) -> Tunnel:
        """A port on our loopback that leads to ``address:port`` as the host reaches it."""

        def connect() -> paramiko.Channel:
            return self._transport().open_channel(
                "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=20 * self.spec.time_factor
            )

        return Tunnel(connect)

    def program_socket(self, argv: Sequence[str], path: Path) -> Tunnel:
        """A Unix socket of ours: each connection to it runs a program on the host, and speaks to it.

        It counts as none of the eight commands at a time: one such socket is what sshd leaves us.
        """
        command = shlex.join(self._as_root(argv))

        def connect() -> paramiko.Channel:
            channel = self._transport().open_session(timeout=20 * self.spec.time_factor)
            channel.exec_command(command)
            return channel

        return Tunnel(connect, path=path)

    def close(self) -> None:
        """End the connection; a later command opens a new one."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    # -- inner parts

    def _as_root(self, argv: Sequence[str]) -> tuple[str, ...]:
        as_root = self.spec.sudo and needs_root(argv, self.spec.storage)
        return ("sudo", "-n", *argv) if as_root else tuple(argv)

    def _transport(self) -> paramiko.Transport:
        with self._lock:
            transport = self._client.get_transport() if self._client else None
            if transport is None or not transport.is_active():
                if self._client is not None:
                    self._client.close()
                self._client = open_client(self._login)
                transport = self._client.get_transport()
                if transport is not None:
                    for hold in self._holds:
                        with self._named((hold.command,)):
                            hold.start(transport)
            if transport is None:
                raise HostUnreachable(f"host {self.spec.name}: the connection closed at once")
            return transport

    @contextmanager
    def _session(self) -> Iterator[paramiko.Channel]:
        with self._sessions:
            try:
                channel = self._transport().open_session(timeout=20 * self.spec.time_factor)
            except LOST as error:
                self.close()
                raise HostUnreachable(f"host {self.spec.name}: no channel: {error}") from error
            try:
                yield channel
            finally:
                # closing says so to the host, which fails when the connection is lost
                with contextlib.suppress(*LOST):
                    channel.close()

    @contextmanager
    def _sftp(self, deadline: Deadline) -> Iterator[paramiko.SFTPClient]:
        with self._sessions:
            try:
                client = paramiko.SFTPClient.from_transport(self._transport())
            except LOST as error:
                raise HostUnreachable(
                    f"host {self.spec.name}: no SFTP: {error}",
                    mend="sshd_config of the host must have the subsystem sftp",
                ) from error
            if client is None:
                raise HostUnreachable(f"host {self.spec.name}: no SFTP")
            channel = client.get_channel()
            if channel is not None:
                channel.settimeout(seconds_left(deadline))
            try:
                yield client
            finally:
                with contextlib.suppress(*LOST):
                    client.close()

    @contextmanager
    def _reading(self, path: str, deadline: Deadline) -> Iterator[None]:
        """What SFTP raises, as our error."""
        doing = f"reading {path}"
        try:
            yield
        except TimeoutError as error:
            raise self._late(doing, deadline) from error
        except OSError as error:
            raise self._unread(path, str(error)) from error
        except (EOFError, paramiko.SSHException) as error:
            raise self._lost(doing, error) from error

    def _put_by_sftp(self, data: IO[bytes], path: str, deadline: Deadline) -> None:
        doing = f"writing {path}"
        try:
            with self._sftp(deadline) as sftp:
                sftp.putfo(data, path, callback=lambda *_: self._in_time(doing, deadline), confirm=False)
        except TimeoutError as error:
            raise self._late(doing, deadline) from error
        except OSError as error:
            raise self._unwritten(path, str(error)) from error
        except (EOFError, paramiko.SSHException) as error:
            raise self._lost(doing, error) from error

    def _run_once(self, argv: tuple[str, ...], stdin: str, deadline: Deadline) -> CommandResult:
        started = time.monotonic()
        code, out, err = self._execute(argv, stdin.encode(), deadline)
        result = CommandResult(argv, code, as_text(out), as_text(err), time.monotonic() - started)
        _log.debug("%s: %s (%.2f s)", self.spec.name, result.describe(), result.duration_s)
        return result

    def _execute(self, argv: tuple[str, ...], stdin: bytes, deadline: Deadline) -> tuple[int, bytes, bytes]:
        """Exit code, stdout and stderr of a command."""
        with self._session() as channel:
            try:
                channel.exec_command(shlex.join(self._as_root(argv)))
                with contextlib.suppress(Unread):
                    feed(channel, stdin, deadline)
                channel.shutdown_write()
                out, err = read_to_end(channel, deadline)
            except TimeoutError as error:
                raise self._late(shlex.join(argv), deadline) from error
            except LOST as error:
                self.close()
                raise self._lost(shlex.join(argv), error) from error
            code = channel.recv_exit_status()
            if code == SIGNALLED and _ends(channel.get_transport()):
                self.close()
                raise self._lost(shlex.join(argv), None)
        return code, out, err

    @contextmanager
    def _named(self, argv: Sequence[str]) -> Iterator[None]:
        """What paramiko raises, as our error."""
        try:
            yield
        except LOST as error:
            raise self._lost(shlex.join(argv), error) from error

    def _in_time(self, doing: str, deadline: Deadline) -> None:
        if deadline.expired:
            raise self._late(doing, deadline)

    def _late(self, doing: str, deadline: Deadline) -> CommandTimedOut:
        return CommandTimedOut(f"host {self.spec.name}: {doing} did not end in {deadline.seconds:.0f} s")

    def _lost(self, doing: str, error: Exception | None) -> HostUnreachable:
        why = f": {error or type(error).__name__}" if error is not None else ""
        return HostUnreachable(f"host {self.spec.name}: connection lost during {doing}{why}")

    def _unread(self, path: str, why: str) -> InfrastructureError:
        return InfrastructureError(f"host {self.spec.name}: cannot read {path}: {why}")

    def _unwritten(self, path: str, why: str) -> InfrastructureError:
        owner = f"; with sudo = yes the folder must be {self.spec.user}'s" if self.spec.sudo else ""
        return InfrastructureError(
            f"host {self.spec.name}: cannot write {path}: {why}",
            mend=f"look at the space and the rights there: df -h {shlex.quote(path)}{owner}",
        )


def _ends(transport: paramiko.Transport | None) -> bool:
    """Whether a connection is lost on which a command just ended without an exit code.

    paramiko (4.0.0) gives -1 for a command that a signal ended, too: it does not take in "exit-signal". When
    the connection is lost it lets go of the channels first, and its thread ends a moment later.
    """
    if transport is not None:
        transport.join(_ENDING_S)
    return transport is None or not transport.is_active()


def _opened(source: Path | bytes) -> io.BytesIO | io.BufferedReader:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
