"""The accepting side of NTLM and SPNEGO, for one account that is given, not looked up.

pyspnego's own acceptor reads accounts from the file that the process's NTLM_USER_FILE names: wrong for
many guests with different passwords in one process. What is put in its place here is NTLMv2 only (as
Windows since Vista asks for) and rests on pyspnego's inner modules, as of 0.12.

Import this module late: it is slow to load on the stand-in guest.
"""

from __future__ import annotations

import hmac
from typing import Any

import spnego
from spnego._context import GSSMech
from spnego._ntlm import NTLMProxy
from spnego._ntlm_raw.crypto import compute_response_v2, ntowfv2, rc4k
from spnego._ntlm_raw.messages import Authenticate, AvFlags, AvId, NegotiateFlags, NTClientChallengeV2
from spnego.exceptions import InvalidTokenError, NegotiateOptions

from harness.winrmd.settings import Credentials

__all__ = ["Acceptor", "LoginRefused", "open_acceptor"]

_RAW_NTLM = b"NTLMSSP\0"
_NTLM_V1_LENGTH = 24  # a v1 response; v2 ones are longer (MS-NLMP 2.2.2.6, 2.2.2.8)


class LoginRefused(Exception):
    """A token that makes no sense, or a wrong user or password."""


class Acceptor:
    """The accepting side on one TCP connection: the login, then sealing in both directions."""

    def __init__(self, context: spnego.ContextProxy) -> None:
        self._context = context

    @property
    def complete(self) -> bool:
        """Whether the login is done."""
        return self._context.complete

    def step(self, token: bytes) -> bytes:
        """Take the client's token and give the answer, empty for none.

        Raises:
            LoginRefused: it is not good enough.
        """
        try:
            return self._context.step(token) or b""
        except Exception as error:  # pyspnego lets struct, ASN.1 and Unicode errors of bad tokens through
            raise LoginRefused(str(error)) from error

    def seal(self, plain: bytes) -> tuple[bytes, bytes]:
        """Signature and sealed data."""
        sealed = self._context.wrap_winrm(plain)
        return sealed.header, sealed.data

    def unseal(self, signature: bytes, sealed: bytes) -> bytes:
        """The plain data.

        Raises:
            LoginRefused: it was not sealed with this login's keys.
        """
        try:
            return self._context.unwrap_winrm(signature, sealed)
        except Exception as error:  # as in step
            raise LoginRefused(str(error)) from error


def open_acceptor(credentials: Credentials, first_token: bytes) -> Acceptor:
    """An acceptor for what the first token is: raw NTLM or SPNEGO."""
    ntlm = _OneAccount(credentials)
    if first_token.startswith(_RAW_NTLM):
        return Acceptor(ntlm)
    ntlm._is_wrapped = True  # noqa: SLF001 - as NegotiateProxy does with those it makes
    contexts: dict[str, Any] = {"_negotiate_contexts": {GSSMech.ntlm: ntlm}}
    return Acceptor(spnego.server(options=NegotiateOptions.use_negotiate, **contexts))


class _OneAccount(NTLMProxy):
    """pyspnego's NTLM context, accepting one account's NTLMv2 logins."""

    def __init__(self, credentials: Credentials) -> None:
        # made as an initiator: that one takes its account from its arguments
        super().__init__(credentials.user, credentials.password)
        self.usage = "accept"

    def _step_accept_authenticate(self, token: bytes, channel_bindings: Any) -> None:  # noqa: ARG002 - not checked, as on stock Windows
        message = Authenticate.unpack(token)
        response = message.nt_challenge_response or b""
        user, domain = message.user_name or "", message.domain_name
        known = self._credential
        if known is None or self._temp_negotiate is None or self._temp_challenge is None:
            raise InvalidTokenError(context_msg="no challenge was sent")
        if user.lower() != (known.username or "").lower() or len(response) <= _NTLM_V1_LENGTH:
            raise InvalidTokenError(context_msg="an unknown user, or not NTLMv2")
        challenge = NTClientChallengeV2.unpack(response[16:])
        expected, _, exchange_key = compute_response_v2(
            ntowfv2(user, known.nt_hash, domain),
            self._temp_challenge.server_challenge,
            challenge.challenge_from_client,
            challenge.time_stamp,
            challenge.av_pairs,
        )
        if not hmac.compare_digest(expected, response):
            raise InvalidTokenError(context_msg="a wrong password")
        exchanged = message.flags & NegotiateFlags.key_exch and message.flags & (
            NegotiateFlags.sign | NegotiateFlags.seal
        )
        self._session_key = (
            rc4k(exchange_key, message.encrypted_random_session_key or b"") if exchanged else exchange_key
        )
        if challenge.av_pairs.get(AvId.flags, 0) & AvFlags.mic:
            self._check_mic(message)
        self._context_attr = message.flags
        self._complete = True

    def _check_mic(self, message: Authenticate) -> None:
        sent = message.mic or b""
        message.mic = b"\0" * 16  # it is computed over the message without it (MS-NLMP 3.1.5.1.2)
        if self._temp_negotiate is None or self._temp_challenge is None:
            raise InvalidTokenError(context_msg="no challenge was sent")
        expected = self._calculate_mic(
            self.session_key, self._temp_negotiate.pack(), self._temp_challenge.pack(), message.pack()
        )
        if not hmac.compare_digest(expected, sent):
            raise InvalidTokenError(context_msg="the messages of this login were tampered with")
