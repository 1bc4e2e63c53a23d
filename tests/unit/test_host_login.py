"""Who may log in where: keys, passwords, host keys, jump hosts, and what people are told."""

from __future__ import annotations

import socket
import threading

import paramiko
import pytest
from test_host_support import (
    HOST_KEY,
    PASSWORD_REF,
    credentials,
    make_machine,
    serving,
    spec_for,
)

from harness.errors import ConfigurationError, HostAuthFailed, HostKeyProblem, HostUnreachable
from harness.host.ssh import SshShell
from harness.host.sshlogin import Credentials, fetch_host_key, fingerprint, known_hosts_file, trust
from harness.lab import HostSpec


@pytest.fixture
def server(tmp_path):
    with serving(make_machine(tmp_path)) as running:
        yield running


def whoami(spec: HostSpec, secrets: Credentials | None = None) -> str:
    shell = SshShell(spec, secrets or credentials())
    try:
        return shell.check(["echo", "in"])
    finally:
        shell.close()


def test_a_password_lets_us_in(server, tmp_path):
    assert whoami(spec_for(server, tmp_path)) == "in\n"


def test_a_key_lets_us_in(server, tmp_path):
    key = paramiko.ECDSAKey.generate()
    key.write_private_key_file(str(tmp_path / "key"))
    server.machine.client_key = key

    assert whoami(spec_for(server, tmp_path, password=None, key_file=tmp_path / "key")) == "in\n"


def test_a_wrong_password_is_named_without_being_shown(server, tmp_path):
    with pytest.raises(HostAuthFailed, match=r"root@127\.0\.0\.1 does not accept password") as caught:
        whoami(spec_for(server, tmp_path), credentials("not the secret"))
    assert "not the secret" not in str(caught.value)


def test_a_refused_key_is_named(server, tmp_path):
    paramiko.ECDSAKey.generate().write_private_key_file(str(tmp_path / "other"))
    spec = spec_for(server, tmp_path, password=None, key_file=tmp_path / "other")

    with pytest.raises(HostAuthFailed, match=r"does not accept key .*other"):
        whoami(spec)


def test_a_missing_key_file_is_the_person_s_to_mend(server, tmp_path):
    spec = spec_for(server, tmp_path, password=None, key_file=tmp_path / "none")
    with pytest.raises(ConfigurationError, match=r"none does not exist.*ssh-keygen"):
        whoami(spec)


@pytest.mark.parametrize(
    "content",
    ["", "no key\n", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"],
)
def test_a_key_file_that_is_none_is_the_person_s_to_mend(server, tmp_path, content):
    (tmp_path / "key").write_text(content)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        whoami(spec_for(server, tmp_path, password=None, key_file=tmp_path / "key"))


def test_an_encrypted_key_is_the_person_s_to_mend(server, tmp_path):
    paramiko.ECDSAKey.generate().write_private_key_file(str(tmp_path / "key"), password="secret")
    with pytest.raises(ConfigurationError, match="unencrypted"):
        whoami(spec_for(server, tmp_path, password=None, key_file=tmp_path / "key"))


def test_a_host_that_is_not_there_is_named_with_its_address(tmp_path, server):
    spec = spec_for(server, tmp_path)
    server.close()
    with pytest.raises(HostUnreachable, match=rf"host xen1: no SSH connection to 127.0.0.1:{spec.port}"):
        whoami(spec)


def test_something_that_is_no_ssh_is_unreachable(tmp_path, server):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            sock, _ = listener.accept()
            sock.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            sock.close()

        thread = threading.Thread(target=talk)
        thread.start()
        spec = spec_for(server, tmp_path, port=listener.getsockname()[1])
        with pytest.raises(HostUnreachable, match="no SSH connection"):
            whoami(spec)
        thread.join(5)


# -- host keys


def test_an_unknown_host_is_not_talked_to(server, tmp_path):
    spec = spec_for(server, tmp_path)
    known_hosts_file(spec).unlink()
    with pytest.raises(HostKeyProblem, match="pvhck lab trust xen1"):
        whoami(spec)
    assert server.machine.commands == []


def test_a_changed_host_key_shows_both_fingerprints(server, tmp_path):
    spec = spec_for(server, tmp_path)
    other = paramiko.ECDSAKey.generate()
    trust(spec, other)

    with pytest.raises(HostKeyProblem, match="has changed") as caught:
        whoami(spec)
    assert fingerprint(other) in str(caught.value)
    assert fingerprint(HOST_KEY) in str(caught.value)


def test_a_host_whose_key_is_another_gets_no_password(server, tmp_path):
    spec = spec_for(server, tmp_path)
    trust(spec, paramiko.ECDSAKey.generate())
    with pytest.raises(HostKeyProblem):
        whoami(spec)
    assert server.machine.logins == []


def test_a_key_that_changes_in_the_middle_of_a_run_ends_it_before_anybody_logs_in(server, tmp_path):
    shell = SshShell(spec_for(server, tmp_path), credentials())
    assert shell.check(["echo", "in"]) == "in\n"
    server.machine.logins.clear()
    server.machine.host_key = paramiko.ECDSAKey.generate()
    server.drop()
    # asked again, as what only looks is: the second connection is to a stranger
    with pytest.raises(HostKeyProblem, match="has changed"):
        shell.check(["echo", "in"], repeatable=True)
    with pytest.raises(HostKeyProblem, match="has changed"):
        shell.put(b"x", str(server.machine.root / "file"))
    with pytest.raises(HostKeyProblem, match="has changed"), shell.hold(["cat"]):
        pytest.fail("a stranger holds it")
    shell.close()
    assert server.machine.logins == []
    assert len(server.machine.commands) == 1


def test_another_port_s_key_is_no_key_of_this_one(server, tmp_path):
    spec = spec_for(server, tmp_path)
    known = known_hosts_file(spec)
    known.write_text(known.read_text().replace(f":{server.port} ", ":22022 "))
    with pytest.raises(HostKeyProblem, match="is not in"):
        whoami(spec)
    assert server.machine.logins == []


@pytest.mark.parametrize(
    "line", ["@revoked {}", "@cert-authority {}", "[x]:1 ssh-ed25519 AAA\n{}", "\xff\xfe{}"]
)
def test_a_file_of_host_keys_that_cannot_be_read_is_the_person_s_to_mend(server, tmp_path, line):
    """paramiko takes OpenSSH's markers for names: what would be revoked must not be believed."""
    spec = spec_for(server, tmp_path)
    known = known_hosts_file(spec)
    known.write_bytes(line.format(known.read_text()).encode("latin-1"))
    with pytest.raises(ConfigurationError, match=str(known)):
        whoami(spec)
    with pytest.raises(ConfigurationError, match=str(known)):
        trust(spec, HOST_KEY)
    assert server.machine.logins == []


def test_trust_records_what_the_host_shows_in_place_of_the_old(server, tmp_path):
    spec = spec_for(server, tmp_path)
    trust(spec, paramiko.ECDSAKey.generate())

    trust(spec, fetch_host_key(spec))

    assert whoami(spec) == "in\n"
    assert len(known_hosts_file(spec).read_text().splitlines()) == 1


def test_the_fingerprint_is_as_ssh_keygen_shows_it():
    key = paramiko.PKey.from_type_string("ecdsa-sha2-nistp256", HOST_KEY.asbytes())
    assert fingerprint(key).startswith("ecdsa-sha2-nistp256 SHA256:")
    assert len(fingerprint(key).partition("SHA256:")[2]) == 43


def test_a_key_cannot_be_fetched_from_nowhere(server, tmp_path):
    spec = spec_for(server, tmp_path)
    server.close()
    with pytest.raises(HostUnreachable):
        fetch_host_key(spec)


# -- old servers and jump hosts


def only_sha1(monkeypatch):
    """The server offers what OpenSSH 4 had; the client may still choose."""
    old = ("diffie-hellman-group14-sha1",)
    real = paramiko.Transport.__init__

    def init(self, *args, **kwargs):
        real(self, *args, **kwargs)
        if type(self).__name__ == "_Transport":  # the test's server
            self._preferred_kex = old

    monkeypatch.setattr(paramiko.Transport, "__init__", init)


def test_an_old_server_needs_the_switch(server, tmp_path, monkeypatch):
    only_sha1(monkeypatch)
    with pytest.raises(HostUnreachable, match="legacy_ssh = yes"):
        whoami(spec_for(server, tmp_path))
    assert whoami(spec_for(server, tmp_path, legacy_ssh=True)) == "in\n"


@pytest.fixture
def hop(tmp_path):
    folder = tmp_path / "hop"
    folder.mkdir()
    with serving(make_machine(folder)) as running:
        yield running


def test_a_host_behind_a_jump_host_is_reached_and_nothing_stays_open(server, hop, tmp_path):
    spec = spec_for(server, tmp_path, jump=f"root@127.0.0.1:{hop.port}")
    trust(spec_for(hop, tmp_path), HOST_KEY)

    assert whoami(spec) == "in\n"
    for transport in (*hop.transports, *server.transports):
        transport.join(10)
        assert not transport.is_active()


def test_the_key_of_a_host_behind_a_jump_host_can_be_fetched(server, hop, tmp_path):
    server.machine.host_key = HOST_KEY
    spec = spec_for(server, tmp_path, jump=f"root@127.0.0.1:{hop.port}")
    trust(spec_for(hop, tmp_path), HOST_KEY)

    assert fetch_host_key(spec, credentials()) == HOST_KEY
    assert hop.transports != []


def test_a_jump_host_that_cannot_reach_the_host_is_named(server, hop, tmp_path):
    trust(spec_for(hop, tmp_path), HOST_KEY)
    spec = spec_for(server, tmp_path, port=1, jump=f"root@127.0.0.1:{hop.port}")

    with pytest.raises(HostUnreachable, match=rf"root@127.0.0.1:{hop.port} cannot reach 127.0.0.1:1"):
        whoami(spec)


def test_a_jump_host_s_own_key_is_checked(server, hop, tmp_path):
    hop.machine.host_key = paramiko.ECDSAKey.generate()
    spec = spec_for(server, tmp_path, jump=f"root@127.0.0.1:{hop.port}")
    with pytest.raises(HostKeyProblem, match="jump"):
        whoami(spec)


def test_a_jump_host_that_is_a_stranger_gets_no_password_and_is_not_gone_through(server, hop, tmp_path):
    hop.machine.host_key = paramiko.ECDSAKey.generate()
    spec = spec_for(server, tmp_path, jump=f"root@127.0.0.1:{hop.port}")
    trust(spec_for(hop, tmp_path), HOST_KEY)
    with pytest.raises(HostKeyProblem, match="jump"):
        whoami(spec)
    assert hop.machine.logins == []
    assert server.transports == []


def test_a_host_behind_a_jump_host_shows_its_own_key(server, hop, tmp_path):
    """The way through a jump host says nothing of who is at its end."""
    spec = spec_for(server, tmp_path, jump=f"root@127.0.0.1:{hop.port}")
    trust(spec_for(hop, tmp_path), HOST_KEY)
    server.machine.host_key = paramiko.ECDSAKey.generate()
    with pytest.raises(HostKeyProblem, match="has changed"):
        whoami(spec)
    assert server.machine.logins == []
    for transport in hop.transports:
        transport.join(10)
        assert not transport.is_active(), "the way to a stranger is closed"


def test_without_a_way_to_secrets_the_jump_host_s_password_is_asked_for(server, tmp_path):
    spec = spec_for(server, tmp_path, jump="root@127.0.0.1:1")
    with pytest.raises(ConfigurationError, match=str(PASSWORD_REF)):
        fetch_host_key(spec)
