"""Who signed a driver package, and whether Windows believes it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from asn1crypto import cms, pem, x509  # type: ignore[import-untyped]  # no type information

from harness.operations import Certificate

__all__ = ["Signature", "read_certificate", "read_signature"]

_SHORT = {
    "common_name": "CN",
    "organization_name": "O",
    "organizational_unit_name": "OU",
    "locality_name": "L",
    "state_or_province_name": "S",
    "country_name": "C",
    "email_address": "E",
    "domain_component": "DC",
}


@dataclass(frozen=True)
class Signature:
    """A catalog's signature. ``signer`` is empty for a package without one.

    ``chain`` are the thumbprints of all certificates in it, ``issuers`` their issuers' names;
    ``lists_inf`` says that the catalog holds the INF's hash.
    """

    signer: str = ""
    thumbprint: str = ""
    chain: tuple[str, ...] = ()
    issuers: tuple[str, ...] = ()
    lists_inf: bool = False

    @property
    def released(self) -> bool:
        """Whether Microsoft signed it, as far as the names say: nothing is verified here."""
        return any(issuer.startswith("CN=Microsoft ") for issuer in self.issuers)

    def believed(self, certificates: Iterable[Certificate]) -> bool:
        """Whether its root is trusted and its signer a trusted publisher."""
        stores: dict[str, list[Certificate]] = {"Root": [], "TrustedPublisher": []}
        for certificate in certificates:
            stores[certificate.store].append(certificate)
        rooted = any(root.thumbprint in self.chain or root.subject in self.issuers for root in stores["Root"])
        return rooted and any(one.thumbprint == self.thumbprint for one in stores["TrustedPublisher"])


def read_signature(catalog: bytes | None, inf: bytes) -> Signature:
    """The signature of a catalog file (PKCS #7), None for a package without one."""
    if catalog is None:
        return Signature()
    try:
        signed = cms.ContentInfo.load(catalog)["content"]
        certificates = [choice.chosen for choice in signed["certificates"]]
        wanted = signed["signer_infos"][0]["sid"].chosen
        signer = next(one for one in certificates if one.serial_number == wanted["serial_number"].native)
    except (ValueError, TypeError, KeyError, IndexError, StopIteration):
        return Signature()
    digests = (hashlib.sha1(inf, usedforsecurity=False).digest(), hashlib.sha256(inf).digest())
    return Signature(
        signer=_common_name(signer),
        thumbprint=_thumbprint(signer),
        chain=tuple(_thumbprint(one) for one in certificates),
        issuers=tuple(_name(one.issuer) for one in certificates),
        lists_inf=any(digest in catalog for digest in digests),
    )


def read_certificate(data: bytes, store: str) -> Certificate:
    """A certificate file, DER or PEM, as Windows lists it.

    Raises:
        ValueError: it is none.
    """
    if pem.detect(data):
        _, _, data = pem.unarmor(data)
    certificate = x509.Certificate.load(data)
    return Certificate(store, _thumbprint(certificate), _name(certificate.subject))


def _thumbprint(certificate: Any) -> str:
    return hashlib.sha1(certificate.dump(), usedforsecurity=False).hexdigest().upper()


def _name(name: Any) -> str:
    """As .NET writes a name: the last part first, joined by comma and blank."""
    parts = [part for group in name.chosen for part in group]
    return ", ".join(
        f"{_SHORT.get(part['type'].native, part['type'].dotted)}={part['value'].native}"
        for part in reversed(parts)
    )


def _common_name(certificate: Any) -> str:
    return str(certificate.subject.native.get("common_name", _name(certificate.subject)))
