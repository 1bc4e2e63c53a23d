"""Certificate stores as folders, and who signed a catalog. Import late: cryptography is slow in the guest."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID

from harness.operations import Certificate, OperationRefused

__all__ = ["CertificateStores", "signer_of"]

_STORES = ("Root", "TrustedPublisher")
_PEM = b"-----BEGIN CERTIFICATE-----"


class CertificateStores:
    """Root and TrustedPublisher below ``folder``. The stand-in's kernel asks neither."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list(self, store: str) -> tuple[Certificate, ...]:
        """See ``GuestOperations.certificates``."""
        files = sorted(self._store(store).glob("*.der"))
        return tuple(_describe(store, _load(path.read_bytes())) for path in files)

    def add(self, path: Path, store: str) -> Certificate:
        """See ``GuestOperations.add_certificate``."""
        folder = self._store(store)
        try:
            certificate = _load(path.read_bytes())
        except ValueError as error:
            raise OperationRefused("command-failed", f"{path} holds no certificate: {error}") from error
        described = _describe(store, certificate)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{described.thumbprint}.der").write_bytes(certificate.public_bytes(Encoding.DER))
        return described

    def _store(self, name: str) -> Path:
        if name not in _STORES:
            raise OperationRefused(
                "bad-parameter", f"there is no store {name!r} here; Root and TrustedPublisher are"
            )
        return self._folder / name


@lru_cache
def signer_of(catalog: Path) -> str:
    """The common name of who signed a catalog; empty for one that is not signed, or no catalog.

    Only read, not verified: that is the harness's work, and no part of what the stand-in stands for.
    """
    try:
        certificates = pkcs7.load_der_pkcs7_certificates(catalog.read_bytes())
    except ValueError:
        return ""
    issuers = {one.issuer for one in certificates if one.issuer != one.subject}
    for certificate in certificates:
        if certificate.subject not in issuers:  # the end of the chain
            names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            return str(names[0].value) if names else ""
    return ""


def _load(data: bytes) -> x509.Certificate:
    return (x509.load_pem_x509_certificate if _PEM in data else x509.load_der_x509_certificate)(data)


def _describe(store: str, certificate: x509.Certificate) -> Certificate:
    thumbprint = hashlib.sha1(certificate.public_bytes(Encoding.DER)).hexdigest().upper()  # noqa: S324 - a name
    subject = ", ".join(rdn.rfc4514_string() for rdn in reversed(certificate.subject.rdns))
    return Certificate(store, thumbprint, subject)
