"""pywinrm's ``Protocol`` with what it lacks: a pinned certificate, our errors, no proxy.

Which exception means what was measured against our endpoint and read in
recorded Windows exchanges (facts/winrm.md 1.4, 5.4).
"""

from __future__ import annotations

import hashlib
import logging
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

import requests
from requests.adapters import HTTPAdapter
from spnego.exceptions import SpnegoError
from winrm.exceptions import (
    InvalidCredentialsError,
    WinRMError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)
from winrm.protocol import Protocol
from winrm.transport import Transport

from harness.errors import (
    ChannelBroken,
    ChannelError,
    GuestAuthFailed,
    GuestUnreachable,
    QuotaExceeded,
    ShellGone,
)
from harness.lab import WinRmTransport

__all__ = ["Endpoint", "default_port", "identify", "open_protocol", "our_errors", "peer_fingerprint"]

_CONNECT_S = 5
_HTTP_PORT, _HTTPS_PORT = 5985, 5986

_SHELL_GONE = 2150858843
_TOO_MANY = {2150859173, 2150859174}
_REFUSED_BODY = {400, 413}
_OTHER_CERTIFICATE = "Fingerprints did not match"  # urllib3 2 (util/ssl_.py, assert_fingerprint)
# pyspnego 0.12 writes each NTLM message at level DEBUG: who has one can try passwords at leisure
logging.getLogger("spnego").setLevel(logging.INFO)
# What pywinrm lets through when an envelope or a sealed message lacks what it looks for, or relates to
# another message, which it asserts (protocol.py, encryption.py of 0.5.0).
_SENSELESS = (
    ET.ParseError,
    StopIteration,
    LookupError,
    ValueError,
    AttributeError,
    TypeError,
    AssertionError,
    struct.error,
)

_IDENTIFY = (
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:i="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd">'
    "<s:Header/><s:Body><i:Identify/></s:Body></s:Envelope>"
)


@dataclass(frozen=True)
class Endpoint:
    """Where and how WinRM is spoken with one guest.

    ``fingerprint`` is the certificate's SHA-256 in hexadecimal, empty for plain HTTP.
    ``legacy_tls`` allows TLS 1.0 and old ciphers. The password is kept out of ``repr``.
    """

    address: str
    port: int
    transport: WinRmTransport
    user: str
    password: str = field(repr=False)
    fingerprint: str = ""
    legacy_tls: bool = False

    @property
    def secure(self) -> bool:
        """Whether it is HTTPS."""
        return self.transport in {WinRmTransport.HTTPS_NTLM, WinRmTransport.HTTPS_BASIC}

    @property
    def url(self) -> str:
        """The service's URL, written out: pywinrm guesses ports wrongly from less."""
        return f"{'https' if self.secure else 'http'}://{self.address}:{self.port}/wsman"


def default_port(transport: WinRmTransport) -> int:
    """WinRM's port for a transport."""
    return _HTTPS_PORT if transport.value.startswith("https") else _HTTP_PORT


def open_protocol(endpoint: Endpoint, *, operation_s: int, read_s: int) -> Protocol:
    """A ``Protocol`` for an endpoint; nothing is sent yet. For one thread only.

    Raises:
        GuestAuthFailed: the login cannot be sent by this transport.
    """
    basic = endpoint.transport in {WinRmTransport.HTTPS_BASIC, WinRmTransport.HTTP_BASIC}
    if basic:
        _check_basic(endpoint)
    settings: dict[str, Any] = {
        "username": endpoint.user,
        "password": endpoint.password,
        "server_cert_validation": "ignore",  # the pin below is what counts
        "message_encryption": "auto" if not basic else "never",
        "proxy": None,
    }
    protocol = Protocol(
        endpoint.url,
        transport="basic" if basic else "ntlm",
        operation_timeout_sec=operation_s,
        read_timeout_sec=read_s,
        **settings,
    )
    protocol.transport = _PinnedTransport(
        endpoint,
        endpoint=endpoint.url,
        auth_method="basic" if basic else "ntlm",
        read_timeout_sec=read_s,
        **settings,
    )
    return protocol


def _check_basic(endpoint: Endpoint) -> None:
    """Requests writes Basic logins in Latin-1 (2.34, auth.py)."""
    try:
        f"{endpoint.user}{endpoint.password}".encode("latin-1")
    except UnicodeEncodeError:
        # not chained: the exception carries the password
        raise GuestAuthFailed(
            f"{endpoint.url}: user or password have characters that cannot be sent by Basic",
            mend="set transport = https-ntlm, or give the template another password",
        ) from None


def peer_fingerprint(address: str, port: int, *, legacy_tls: bool = False) -> str:
    """SHA-256 of the certificate a TLS port shows, without believing it.

    Raises:
        GuestUnreachable: no connection or no TLS.
    """
    context = _tls_context(legacy=legacy_tls)
    try:
        with (
            socket.create_connection((address, port), timeout=_CONNECT_S) as sock,
            context.wrap_socket(sock) as tls,
        ):
            certificate = tls.getpeercert(binary_form=True) or b""
    except OSError as error:
        raise GuestUnreachable(f"no TLS at {address}:{port}: {error}") from error
    return hashlib.sha256(certificate).hexdigest()


def identify(endpoint: Endpoint) -> str:
    """Ask who is there, without logging in; gives the product's name and version.

    Raises:
        GuestUnreachable: nobody answers, or something that is not WinRM.
    """
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", _PinnedAdapter(endpoint))
        try:
            answer = session.post(
                endpoint.url,
                data=_IDENTIFY,
                headers={
                    "Content-Type": "application/soap+xml;charset=UTF-8",
                    "WSMANIDENTIFY": "unauthenticated",
                },
                timeout=_CONNECT_S,
                verify=False,  # the adapter pins the fingerprint
            )
        except requests.RequestException as error:
            raise _connection_error(endpoint, error) from error
    if "IdentifyResponse" not in answer.text:
        raise GuestUnreachable(f"{endpoint.url} answers with HTTP {answer.status_code}, not as WinRM does")
    return answer.headers.get("Server", "")


@contextmanager
def our_errors(endpoint: Endpoint) -> Iterator[None]:
    """Turn what pywinrm, requests and the login libraries raise into ``ChannelError``."""
    try:
        yield
    except WinRMOperationTimeoutError as error:
        # a Receive that waits is dealt with where it is sent; nothing else may take that long
        raise GuestUnreachable(f"{endpoint.url}: WinRM itself reports a timeout") from error
    except WSManFaultError as error:
        raise _fault(endpoint, error) from error
    except InvalidCredentialsError as error:
        raise GuestAuthFailed(
            f"{endpoint.url} refuses user {endpoint.user}",
            mend="check `user` and `secret` of the template, and that its WinRM allows the transport",
        ) from error
    except WinRMTransportError as error:
        raise _http_error(endpoint, error) from error
    except requests.RequestException as error:
        raise _connection_error(endpoint, error) from error
    except SpnegoError as error:
        raise ChannelBroken(f"{endpoint.url}: the login or a sealed message is damaged: {error}") from error
    except WinRMError as error:
        raise ChannelBroken(f"{endpoint.url}: {error}") from error
    except _SENSELESS as error:
        raise ChannelBroken(f"{endpoint.url}: an answer that makes no sense: {error!r}") from error


def _fault(endpoint: Endpoint, error: WSManFaultError) -> ChannelError:
    said = f"{endpoint.url}: WS-Management fault {error.wsman_fault_code}: {error.reason}"
    if error.wsman_fault_code == _SHELL_GONE:
        return ShellGone(said)
    if error.wsman_fault_code in _TOO_MANY:
        return QuotaExceeded(said, mend="raise MaxShellsPerUser, or restart the guest's WinRM service")
    return ChannelBroken(said)


def _http_error(endpoint: Endpoint, error: WinRMTransportError) -> ChannelError:
    if error.code in _REFUSED_BODY:
        return ChannelBroken(f"{endpoint.url}: HTTP {error.code}")
    return GuestUnreachable(f"{endpoint.url}: HTTP {error.code}")


def _connection_error(endpoint: Endpoint, error: requests.RequestException) -> ChannelError:
    """A TLS error alone says nothing: a guest that goes down in a handshake gives one, too."""
    if _OTHER_CERTIFICATE in str(error):
        return GuestAuthFailed(
            f"{endpoint.url} shows another certificate than the one pinned ({endpoint.fingerprint})",
            mend="if the template was rebuilt, change `certificate` in its section",
        )
    return GuestUnreachable(f"{endpoint.url}: {_cause(error)}")


def _cause(error: BaseException) -> str:
    """The innermost exception in words: requests wraps the one that matters three deep."""
    inner = error
    while (deeper := inner.__cause__ or inner.__context__) is not None:
        inner = deeper
    return f"{type(inner).__name__}: {inner}"


class _PinnedAdapter(HTTPAdapter):
    """Believes one certificate, by its fingerprint, whatever its name and issuer."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        kwargs["assert_fingerprint"] = self._endpoint.fingerprint
        kwargs["ssl_context"] = _tls_context(legacy=self._endpoint.legacy_tls)
        super().init_poolmanager(*args, **kwargs)


class _PinnedTransport(Transport):
    """A transport whose session has the adapter; it survives ``close_session``."""

    def __init__(self, target: Endpoint, **settings: Any) -> None:
        self._target = target
        super().__init__(**settings)

    def build_session(self) -> requests.Session:
        if self.session is None:
            # over HTTPS nothing is sent in here: the adapter comes in time
            session = super().build_session()
            if self._target.secure:
                session.mount("https://", _PinnedAdapter(self._target))
        return super().build_session()


def _tls_context(*, legacy: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the fingerprint is what is believed
    if legacy:
        # stock Windows 7 and 2008 R2: TLS 1.0 with old ciphers (facts/libraries.md)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("ALL:@SECLEVEL=0")
    return context
