"""The accepting side of NTLM against pyspnego's asking side."""

from __future__ import annotations

import contextlib
import os

import pytest
import spnego
from hypothesis import given
from hypothesis import strategies as st
from spnego.exceptions import NegotiateOptions

from harness.winrmd import Credentials
from harness.winrmd.ntlm import LoginRefused, open_acceptor

ACCOUNT = Credentials("Administrator", "pässword")
MIC = slice(72, 88)  # of an Authenticate message (MS-NLMP 2.2.1.3)


def asker(user=ACCOUNT.user, password=ACCOUNT.password, *, protocol="ntlm"):
    options = NegotiateOptions.use_ntlm if protocol == "ntlm" else NegotiateOptions.use_negotiate
    return spnego.client(user, password, protocol=protocol, options=options)


@pytest.mark.parametrize("protocol", ["ntlm", "negotiate"])
def test_both_sides_can_seal_for_each_other_after_a_login(protocol):
    client = asker(protocol=protocol)
    token = client.step()
    acceptor = open_acceptor(ACCOUNT, token)
    while token:
        answer = acceptor.step(token)
        token = None if client.complete else client.step(answer or None)
    assert acceptor.complete
    for text in (b"first", b"second" * 1000):
        signature, data = acceptor.seal(text)
        assert text not in data
        assert client.unwrap_winrm(signature, data) == text
        sealed = client.wrap_winrm(text)
        assert acceptor.unseal(sealed.header, sealed.data) == text


@pytest.mark.parametrize(
    ("user", "password"), [(ACCOUNT.user, "password"), ("Guest", ACCOUNT.password), (ACCOUNT.user, "")]
)
def test_another_user_or_password_is_refused(user, password):
    client = asker(user, password)
    token = client.step()
    acceptor = open_acceptor(ACCOUNT, token)
    token = client.step(acceptor.step(token))
    with pytest.raises(LoginRefused):
        acceptor.step(token)
    assert not acceptor.complete


def test_an_ntlm_version_1_login_is_refused(monkeypatch):
    monkeypatch.setenv("LM_COMPAT_LEVEL", "2")
    client = asker()
    token = client.step()
    acceptor = open_acceptor(ACCOUNT, token)
    token = client.step(acceptor.step(token))
    with pytest.raises(LoginRefused, match="not NTLMv2"):
        acceptor.step(token)


def test_messages_that_were_tampered_with_are_refused():
    client = asker()
    client._requires_mech_list_mic  # noqa: B018 - has it protect its messages, as Windows does
    token = client.step()
    acceptor = open_acceptor(ACCOUNT, token)
    token = bytearray(client.step(acceptor.step(token)))
    assert any(token[MIC])
    token[MIC.start] ^= 1
    with pytest.raises(LoginRefused, match="tampered"):
        acceptor.step(bytes(token))


def test_what_was_sealed_with_other_keys_is_refused():
    one, other = asker(), asker()
    acceptors = []
    for client in (one, other):
        token = client.step()
        acceptors.append(open_acceptor(ACCOUNT, token))
        acceptors[-1].step(client.step(acceptors[-1].step(token)))
    sealed = one.wrap_winrm(b"text")
    with pytest.raises(LoginRefused):
        acceptors[1].unseal(sealed.header, sealed.data)


@given(st.binary(max_size=80), st.booleans())
def test_no_bytes_log_in_or_end_in_another_error(token, raw):
    first = b"NTLMSSP\0" + token if raw else token
    acceptor = open_acceptor(ACCOUNT, first)
    with contextlib.suppress(LoginRefused):
        acceptor.step(first)
        acceptor.step(first)
    assert not acceptor.complete


def test_no_account_file_is_named_in_the_environment():
    test_both_sides_can_seal_for_each_other_after_a_login("ntlm")
    assert "NTLM_USER_FILE" not in os.environ
