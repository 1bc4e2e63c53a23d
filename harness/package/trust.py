"""Who signed a catalog, and what a guest has to be told so that it takes the signature. Pure.

Windows is the judge; here only what a guest must be prepared for is decided, by the names in the
chain. Names can be forged: then the guest refuses the driver (problem 52), which is the truth.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning

__all__ = ["SignerFacts", "TrustKind", "load_certificates", "odd_serial_numbers_allowed", "signer_facts"]

# Kernel code has to chain to one of Microsoft's own roots, directly or by a cross-certificate
# (learn.microsoft.com, "Cross-Certificates for Kernel Mode Code Signing").
_MICROSOFT = "Microsoft Corporation"
_CROSS_ROOT = "Microsoft Code Verification Root"


class TrustKind(StrEnum):
    """What Windows needs to take a signature for a kernel driver."""

    MICROSOFT = "microsoft"  # nothing
    CROSS_SIGNED = "cross-signed"  # the publisher in TrustedPublisher; new Windows may refuse it
    TEST = "test"  # its root in Root, the publisher in TrustedPublisher, test signing on


@dataclass(frozen=True)
class SignerFacts:
    """A signer. Thumbprint: SHA-1 in upper case hexadecimal, as Windows names certificates.

    ``certificate`` and ``root`` are DER; ``root`` is None when the top of the chain is not at hand,
    ``top`` is then the name of the certificate that is missing.
    """

    subject: str
    issuer: str
    thumbprint: str
    not_before: dt.datetime
    not_after: dt.datetime
    trust: TrustKind
    top: str
    timestamped: bool
    certificate: bytes = field(repr=False)
    root: bytes | None = field(repr=False)

    def valid_at(self, when: dt.datetime) -> bool:
        """Whether the certificate is valid then; a timestamped signature outlives its certificate."""
        return self.not_before <= when and (self.timestamped or when <= self.not_after)


@contextlib.contextmanager
def odd_serial_numbers_allowed() -> Iterator[None]:
    """Windows takes certificates whose serial number is not positive; cryptography warns of each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*serial number", category=CryptographyDeprecationWarning)
        yield


def load_certificates(data: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates in a .cer file, DER or PEM; none when it holds something else."""
    try:
        with odd_serial_numbers_allowed():
            if b"-----BEGIN" in data:
                return tuple(x509.load_pem_x509_certificates(data))
            return (x509.load_der_x509_certificate(data),)
    except (ValueError, x509.InvalidVersion):
        return ()


def signer_facts(
    signer: x509.Certificate, others: Iterable[x509.Certificate], *, timestamped: bool
) -> SignerFacts:
    """Follow the chain from a signer as far as the certificates at hand go."""
    paths = list(_paths(signer, tuple(others), frozenset()))
    ranked = sorted(paths, key=lambda path: list(TrustKind).index(_trust(path)))
    path = ranked[0]
    top = path[-1]
    root = top if _self_signed(top) else None
    return SignerFacts(
        subject=signer.subject.rfc4514_string(),
        issuer=signer.issuer.rfc4514_string(),
        thumbprint=signer.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303  # Windows' own name for it
        not_before=signer.not_valid_before_utc,
        not_after=signer.not_valid_after_utc,
        trust=_trust(path),
        top=top.issuer.rfc4514_string(),
        timestamped=timestamped,
        certificate=signer.public_bytes(Encoding.DER),
        root=None if root is None else root.public_bytes(Encoding.DER),
    )


def _paths(
    certificate: x509.Certificate, others: tuple[x509.Certificate, ...], seen: frozenset[bytes]
) -> Iterator[tuple[x509.Certificate, ...]]:
    """Every chain upwards; there are two where a root is cross-signed as well."""
    seen |= {certificate.public_bytes(Encoding.DER)}
    issuers = [
        other
        for other in others
        if other.public_bytes(Encoding.DER) not in seen and _issued(other, certificate)
    ]
    if _self_signed(certificate) or not issuers:
        yield (certificate,)
        return
    for issuer in issuers:
        for path in _paths(issuer, others, seen):
            yield (certificate, *path)


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _self_signed(certificate: x509.Certificate) -> bool:
    return _issued(certificate, certificate)


def _trust(path: tuple[x509.Certificate, ...]) -> TrustKind:
    issuer = path[-1].issuer
    organisation = _attribute(issuer, x509.NameOID.ORGANIZATION_NAME)
    name = _attribute(issuer, x509.NameOID.COMMON_NAME)
    if organisation != _MICROSOFT:
        return TrustKind.TEST
    return TrustKind.CROSS_SIGNED if name == _CROSS_ROOT else TrustKind.MICROSOFT


def _attribute(name: x509.Name, kind: x509.ObjectIdentifier) -> str:
    found = name.get_attributes_for_oid(kind)
    return str(found[0].value) if found else ""
