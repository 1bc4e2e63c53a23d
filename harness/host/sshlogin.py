"""Logging in to a host: keys, passwords, host keys, jump hosts, old servers."""

from __future__ import annotations

import base64
import hashlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import paramiko

from harness.errors import ConfigurationError, HostAuthFailed, HostKeyProblem, HostUnreachable
from harness.lab import HostSpec, SecretRef

__all__ = [
    "Credentials",
    "Login",
    "compare_command",
    "fetch_host_key",
    "fingerprint",
    "known_hosts_file",
    "known_key",
    "open_client",
    "trust",
]

_CONNECT_S = 15
_KEEPALIVE_S = 15

# What only servers of the Xen 3.4 era need (OpenSSH 4 to 6): refused unless legacy_ssh is on.
_SHA1_ONLY = {
    "kex": [
        "diffie-hellman-group14-sha1",
        "diffie-hellman-group1-sha1",
        "diffie-hellman-group-exchange-sha1",
    ],
    "keys": ["ssh-rsa", "ssh-dss"],
    "pubkeys": ["ssh-rsa", "ssh-dss"],
}


@dataclass(frozen=True)
class Credentials:
    """How a secret reference becomes a password; the secret itself is never kept here."""

    reveal: Callable[[SecretRef], str]


@dataclass(frozen=True)
class Login:
    """A host and how its secrets are found."""

    spec: HostSpec
    credentials: Credentials


def known_hosts_file(spec: HostSpec) -> Path:
    """Where the host's key is recorded: the section's own file or the user's for pvhck."""
    return spec.known_hosts or Path.home() / ".config" / "pvhck" / "known_hosts"


def open_client(login: Login) -> paramiko.SSHClient:
    """Connect and log in.

    Raises:
        ConfigurationError: the key file or the one of host keys is missing or cannot be read.
        HostUnreachable: no connection.
        HostKeyProblem: the host's key is unknown or another one.
        HostAuthFailed: key and password are refused.
    """
    spec = login.spec
    known = known_hosts_file(spec)
    recorded = _recorded(spec)
    client = _Client(_hop(login) if spec.jump else None)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.get_host_keys().update(recorded)
    try:
        client.connect(
            spec.address,
            port=spec.port,
            username=spec.user,
            pkey=_load_key(spec),
            password=login.credentials.reveal(spec.password) if spec.password else None,
            sock=client.way(spec),
            timeout=_CONNECT_S * spec.time_factor,
            banner_timeout=_CONNECT_S * spec.time_factor,
            auth_timeout=_CONNECT_S * spec.time_factor,
            allow_agent=spec.key_file is None and spec.password is None,
            look_for_keys=spec.key_file is None and spec.password is None,
            disabled_algorithms=None if spec.legacy_ssh else _SHA1_ONLY,
        )
    except paramiko.BadHostKeyException as error:
        client.close()
        raise HostKeyProblem(
            f"host {spec.name}: its key has changed: now {fingerprint(error.key)}, "
            f"recorded {fingerprint(error.expected_key)}",
            mend=f"if the host was really reinstalled: pvhck lab trust {spec.name}",
        ) from error
    except paramiko.AuthenticationException as error:
        client.close()
        means = (
            f"key {spec.key_file}"
            if spec.key_file
            else "password"
            if spec.password
            else "any key of the agent"
        )
        raise HostAuthFailed(
            f"host {spec.name}: {spec.user}@{spec.address} does not accept {means}",
            mend=f"try: ssh -p {spec.port} {spec.user}@{spec.address}",
        ) from error
    except paramiko.SSHException as error:
        client.close()
        raise _explain(spec, error, known) from error
    except (OSError, EOFError) as error:
        client.close()
        raise _unreachable(spec, error) from error
    transport = client.get_transport()
    if transport is not None:
        transport.set_keepalive(_KEEPALIVE_S)
        if isinstance(transport.sock, socket.socket):
            # closing one channel and opening the next are two small packets: Nagle would wait 40 ms between
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def fetch_host_key(spec: HostSpec, credentials: Credentials | None = None) -> paramiko.PKey:
    """The key a host shows now, without logging in there; a jump host is logged in to.

    Raises:
        HostUnreachable: no connection, or no common algorithms.
    """
    hop = _hop(Login(spec, credentials or Credentials(_no_secret))) if spec.jump else None
    with _Client(hop) as way:
        return _shown_key(spec, way.way(spec))


def _shown_key(spec: HostSpec, sock: paramiko.Channel | None) -> paramiko.PKey:
    limit = _CONNECT_S * spec.time_factor
    try:
        connected = sock or socket.create_connection((spec.address, spec.port), timeout=limit)
    except OSError as error:
        raise _unreachable(spec, error) from error
    transport = paramiko.Transport(connected, disabled_algorithms=None if spec.legacy_ssh else _SHA1_ONLY)
    try:
        transport.start_client(timeout=limit)
        return transport.get_remote_server_key()
    except paramiko.SSHException as error:
        raise _explain(spec, error, known_hosts_file(spec)) from error
    except (OSError, EOFError) as error:
        raise _unreachable(spec, error) from error
    finally:
        transport.close()


def trust(spec: HostSpec, key: paramiko.PKey) -> Path:
    """Record a host's key in its known_hosts file, in place of any other; gives the file.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    path = known_hosts_file(spec)
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = _recorded(spec)
    name = _known_name(spec)
    if name in keys:
        del keys[name]
    keys.add(name, key.get_name(), key)
    keys.save(str(path))
    return path


def known_key(spec: HostSpec, key: paramiko.PKey) -> bool:
    """Whether this very key is recorded for the host."""
    return _recorded(spec).check(_known_name(spec), key)


def _recorded(spec: HostSpec) -> paramiko.HostKeys:
    """What the known_hosts file has; paramiko knows no markers (``@revoked``) and takes one for a name."""
    path = known_hosts_file(spec)
    keys = paramiko.HostKeys()
    try:
        if path.exists():
            if any(line.startswith("@") for line in path.read_text(encoding="utf-8").splitlines()):
                raise ValueError("it has lines that begin with @")  # noqa: TRY301  # one mend for both
            keys.load(str(path))
    except (paramiko.hostkeys.InvalidHostKey, OSError, ValueError) as error:
        raise ConfigurationError(
            f"host {spec.name}: the host keys in {path} cannot be read: {error}",
            mend="name a file of its own by known_hosts, and record the key: pvhck lab trust",
        ) from error
    return keys


def fingerprint(key: paramiko.PKey) -> str:
    """A key as ssh-keygen -l shows it."""
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"


def compare_command(key: paramiko.PKey) -> str:
    """What shows the same fingerprint on the host itself."""
    return f"ssh-keygen -lf /etc/ssh/ssh_host_{key.get_name().removeprefix('ssh-')}_key.pub"


def _known_name(spec: HostSpec) -> str:
    return spec.address if spec.port == 22 else f"[{spec.address}]:{spec.port}"  # noqa: PLR2004  # ssh's port


def _load_key(spec: HostSpec) -> paramiko.PKey | None:
    if spec.key_file is None:
        return None
    if not spec.key_file.exists():
        raise ConfigurationError(
            f"host {spec.name}: key file {spec.key_file} does not exist",
            mend=f"make one: ssh-keygen -t ed25519 -f {spec.key_file}; then ssh-copy-id it to the host",
        )
    try:
        return paramiko.PKey.from_path(spec.key_file)
    except (
        paramiko.SSHException,
        paramiko.UnknownKeyType,  # type: ignore[attr-defined]  # the stubs forgot it
        TypeError,  # a key that is encrypted
        ValueError,
        OSError,
    ) as error:
        raise ConfigurationError(
            f"host {spec.name}: key file {spec.key_file} cannot be used: {error}",
            mend="name an unencrypted private key, or load the key into ssh-agent and leave `key` out",
        ) from error


class _Client(paramiko.SSHClient):
    """A client that closes its jump host's as well."""

    def __init__(self, hop: paramiko.SSHClient | None) -> None:
        super().__init__()
        self._hop = hop

    def way(self, spec: HostSpec) -> paramiko.Channel | None:
        """A channel to a host through the jump host, None without one.

        Raises:
            HostUnreachable: the jump host cannot reach it.
        """
        transport = self._hop.get_transport() if self._hop else None
        if transport is None:
            return None
        try:
            return transport.open_channel(
                "direct-tcpip",
                (spec.address, spec.port),
                ("127.0.0.1", 0),
                timeout=_CONNECT_S * spec.time_factor,
            )
        except (paramiko.SSHException, OSError, EOFError) as error:
            self.close()
            raise HostUnreachable(
                f"host {spec.name}: {spec.jump} cannot reach {spec.address}:{spec.port}: {error}",
                mend="sshd of the jump host must allow TCP forwarding, and know that address",
            ) from error

    def close(self) -> None:
        """End it, then the way to it."""
        super().close()
        if self._hop is not None:
            self._hop.close()


def _hop(login: Login) -> paramiko.SSHClient:
    spec = login.spec
    user, _, place = spec.jump.rpartition("@")
    address, _, port = place.partition(":")
    hop = HostSpec(
        name=f"{spec.name} (jump {spec.jump})",
        kind=spec.kind,
        address=address,
        port=int(port or 22),
        user=user or spec.user,
        key_file=spec.key_file,
        password=spec.password,
        known_hosts=spec.known_hosts,
        legacy_ssh=spec.legacy_ssh,
        time_factor=spec.time_factor,
    )
    return open_client(Login(hop, login.credentials))


def _no_secret(ref: SecretRef) -> NoReturn:
    raise ConfigurationError(f"{ref} is needed for the jump host, and was not given")


def _explain(spec: HostSpec, error: paramiko.SSHException, known: Path) -> HostUnreachable | HostKeyProblem:
    if "not found in known_hosts" in str(error):
        return HostKeyProblem(
            f"host {spec.name}: its key is not in {known}",
            mend=f"look at it and record it: pvhck lab trust {spec.name}",
        )
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return HostUnreachable(
            f"host {spec.name}: no common SSH algorithm: {error}",
            mend="for an OpenSSH older than 7 set legacy_ssh = yes in its section",
        )
    return _unreachable(spec, error)


def _unreachable(spec: HostSpec, error: Exception) -> HostUnreachable:
    return HostUnreachable(
        f"host {spec.name}: no SSH connection to {spec.address}:{spec.port}: {error or type(error).__name__}",
        mend=f"is it up, and is this its address? try: ssh -p {spec.port} {spec.user}@{spec.address}",
    )
