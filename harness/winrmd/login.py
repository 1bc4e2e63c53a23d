"""The login of one TCP connection: Basic by request, NTLM and SPNEGO for as long as it lasts."""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.winrmd.sealed import FrameError, SealedMessage, parse_sealed, render_sealed
from harness.winrmd.settings import Credentials, WinRmSettings

if TYPE_CHECKING:
    from harness.winrmd.ntlm import Acceptor

__all__ = ["Accepted", "ConnectionLogin", "Refused"]

_AUTHENTICATE = "WWW-Authenticate"


@dataclass(frozen=True)
class Accepted:
    """Who it is, and headers the answer carries."""

    user: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Refused:
    """HTTP 401: a challenge on the way, or a login that was not good enough."""

    headers: tuple[tuple[str, str], ...]


class ConnectionLogin:
    """What a connection has proved so far. For one thread."""

    def __init__(self, credentials: Credentials, settings: WinRmSettings) -> None:
        self._credentials = credentials
        self._settings = settings
        self._acceptor: Acceptor | None = None

    def check(self, authorization: str) -> Accepted | Refused:
        """Judge a request by its Authorization header, empty where it has none."""
        scheme, _, rest = authorization.partition(" ")
        match scheme.lower():
            case "":
                return self._go_on()
            case "basic" if self._settings.basic:
                return self._basic(rest)
            case "negotiate" if self._settings.negotiate:
                return self._negotiate(rest)
        return self.refuse()

    def refuse(self) -> Refused:
        """Forget the login and offer what is allowed, as Windows does."""
        self._acceptor = None
        offers = []
        if self._settings.negotiate:
            offers.append((_AUTHENTICATE, "Negotiate"))
        if self._settings.basic:
            offers.append((_AUTHENTICATE, 'Basic realm="WSMAN"'))
        return Refused(tuple(offers))

    def unseal(self, body: bytes) -> bytes:
        """The plain message in a sealed body.

        Raises:
            FrameError: it is none, or sealed with other keys than this connection's (HTTP 400).
        """
        from harness.winrmd.ntlm import LoginRefused  # noqa: PLC0415 - slow on the stand-in

        if self._acceptor is None:
            raise FrameError("a sealed message on a connection without keys")
        sealed = parse_sealed(body)
        try:
            plain = self._acceptor.unseal(sealed.signature, sealed.data)
        except LoginRefused as error:
            raise FrameError(f"sealed with other keys: {error}") from error
        if len(plain) != sealed.length:
            raise FrameError(f"{len(plain)} bytes where {sealed.length} were announced")
        return plain

    def seal(self, plain: bytes, protocol: str) -> bytes:
        """A sealed body; only after ``unseal`` on the same connection."""
        if self._acceptor is None:
            raise FrameError("nothing to seal with")
        signature, data = self._acceptor.seal(plain)
        return render_sealed(SealedMessage(len(plain), signature, data), protocol)

    def _go_on(self) -> Accepted | Refused:
        if self._acceptor is not None and self._acceptor.complete:
            return Accepted(self._credentials.user)
        return self.refuse()

    def _basic(self, text: str) -> Accepted | Refused:
        try:
            user, _, password = _decode(base64.b64decode(text, validate=True)).partition(":")
        except ValueError:  # no Base64, or not even ASCII
            return self.refuse()
        account = user.rpartition("\\")[2]
        known = self._credentials
        # both are compared in any case: how long it takes shall not tell which was wrong
        same_user = hmac.compare_digest(account.lower().encode(), known.user.lower().encode())
        same_password = hmac.compare_digest(password.encode(), known.password.encode())
        return Accepted(known.user) if same_user and same_password else self.refuse()

    def _negotiate(self, text: str) -> Accepted | Refused:
        from harness.winrmd.ntlm import LoginRefused, open_acceptor  # noqa: PLC0415 - slow on the stand-in

        try:
            token = base64.b64decode(text, validate=True)
            if self._acceptor is None or self._acceptor.complete:
                self._acceptor = open_acceptor(self._credentials, token)
            answer = self._acceptor.step(token)
        except (ValueError, LoginRefused):
            return self.refuse()
        header = f"Negotiate {base64.b64encode(answer).decode()}" if answer else "Negotiate"
        if not self._acceptor.complete:
            return Refused(((_AUTHENTICATE, header),))
        return Accepted(self._credentials.user, ((_AUTHENTICATE, header),) if answer else ())


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")  # what requests makes of names and passwords
