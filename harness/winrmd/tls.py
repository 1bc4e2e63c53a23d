"""The certificate an HTTPS listener shows. ssl and cryptography are imported late: slow on the stand-in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl

__all__ = ["ServerCertificate"]

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@dataclass(frozen=True)
class ServerCertificate:
    """A certificate and its key, both in PEM. One may serve many servers."""

    certificate: bytes
    key: bytes = field(repr=False)

    @classmethod
    def make(cls, name: str) -> ServerCertificate:
        """A self-signed certificate for a host name, valid from 2020 to 2049 whatever the clock says."""
        from harness.winrmd.selfsigned import make_self_signed  # noqa: PLC0415 - slow on the stand-in

        return cls(*make_self_signed(name))

    @classmethod
    def load(cls, certificate: Path, key: Path) -> ServerCertificate:
        """From two PEM files; the key has no passphrase.

        Raises:
            ConfigurationError: a file cannot be read or holds no certificate.
        """
        try:
            loaded = cls(certificate.read_bytes(), key.read_bytes())
            loaded.fingerprint  # noqa: B018 - reads the certificate
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"no certificate for HTTPS in {certificate} and {key}: {error}",
                mend="give a certificate and its key in PEM",
            ) from error
        return loaded

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate in lower case hexadecimal."""
        text = self.certificate.decode("ascii")
        before, begin, rest = text.partition(_BEGIN)
        body, end, _ = rest.partition(_END)
        if not begin or not end:
            raise ValueError(f"no PEM certificate in {len(before)} characters")
        try:
            return hashlib.sha256(base64.b64decode(body)).hexdigest()
        except binascii.Error as error:
            raise ValueError(f"not a PEM certificate: {error}") from error

    def context(self) -> ssl.SSLContext:
        """A server's TLS context.

        The key is in a file of its own for a moment: ssl loads it from nowhere else.
        """
        import ssl  # noqa: PLC0415 - slow on the stand-in

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "server.pem")
            path.touch(mode=0o600)
            path.write_bytes(self.certificate + b"\n" + self.key)
            context.load_cert_chain(path)
        return context
