"""Catalog files: their members and signers, and whether their own signature holds. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from asn1crypto import cms  # type: ignore[import-untyped]  # no type information
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from harness.package import ctl
from harness.package.trust import SignerFacts, odd_serial_numbers_allowed, signer_facts

__all__ = ["CatalogFacts", "CatalogMember", "NotACatalog", "flat_digests", "read_catalog"]

_TIMESTAMPS = {
    "1.2.840.113549.1.9.6",  # a PKCS #9 countersignature
    "1.3.6.1.4.1.311.3.3.1",  # szOID_RFC3161_counterSign
    "counter_signature",
    "microsoft_time_stamp_token",
}
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303  # what old catalogs are signed with
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
# What the libraries raise on bytes that are not what they claim.
_ASN1_DAMAGE = (ValueError, TypeError, KeyError, AttributeError, IndexError)
_CERTIFICATE_DAMAGE = (
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)


class NotACatalog(Exception):
    """The file is no catalog, or a damaged one."""


@dataclass(frozen=True)
class CatalogMember:
    """A listed file: its digest in lower case hexadecimal, its name where the catalog has one."""

    digest: str
    name: str


@dataclass(frozen=True)
class CatalogFacts:
    """A catalog. ``damage`` says why its own signature does not hold, empty when it does."""

    members: tuple[CatalogMember, ...]
    signers: tuple[SignerFacts, ...]
    damage: str

    def lists(self, digests: Iterable[str]) -> bool:
        """Whether a file with one of these digests is a member."""
        return not {member.digest for member in self.members}.isdisjoint(digests)


def flat_digests(data: bytes) -> frozenset[str]:
    """SHA-1 and SHA-256 of a file that is listed as it is, such as an INF."""
    return frozenset(
        hashlib.new(algorithm, data, usedforsecurity=False).hexdigest() for algorithm in ("sha1", "sha256")
    )


def read_catalog(data: bytes, extra: Iterable[x509.Certificate] = ()) -> CatalogFacts:
    """A catalog's facts; ``extra`` certificates help to follow the signers' chains.

    Raises:
        NotACatalog: it is none.
    """
    try:
        with odd_serial_numbers_allowed():
            return _read(data, tuple(extra))
    except (*_ASN1_DAMAGE, *_CERTIFICATE_DAMAGE) as error:
        raise NotACatalog(str(error).splitlines()[0]) from error


def _read(data: bytes, extra: tuple[x509.Certificate, ...]) -> CatalogFacts:
    catalog = ctl.CatalogFile.load(data, strict=True)
    if catalog["content_type"].native != ctl.SIGNED_DATA:
        raise NotACatalog("it is no PKCS #7 signed data")
    signed = catalog["content"]
    if signed["list"]["content_type"].native != ctl.CTL:
        raise NotACatalog("it holds no certificate trust list")
    trust_list = signed["list"]["content"]
    if ctl.CATALOG_LIST not in trust_list["usage"].native:
        raise NotACatalog("its trust list is not that of a catalog")
    certificates = _certificates(signed)
    signers, damage = [], ""
    for signer in signed["signer_infos"]:
        certificate = _find(certificates, signer["sid"])
        if certificate is None:
            damage = damage or "its signer's certificate is not in it"
            continue
        damage = damage or _damage(signer, certificate, trust_list.contents)
        signers.append(signer_facts(certificate, (*certificates, *extra), timestamped=_timestamped(signer)))
    return CatalogFacts(tuple(_members(trust_list)), tuple(signers), damage)


def _certificates(signed: ctl.SignedList) -> tuple[x509.Certificate, ...]:
    return tuple(
        x509.load_der_x509_certificate(choice.chosen.dump())
        for choice in signed["certificates"] or ()
        if choice.name == "certificate"
    )


def _find(certificates: Iterable[x509.Certificate], sid: cms.SignerIdentifier) -> x509.Certificate | None:
    for certificate in certificates:
        if sid.name == "issuer_and_serial_number":
            wanted = sid.chosen
            same_issuer = certificate.issuer.public_bytes() == wanted["issuer"].dump()
            if same_issuer and certificate.serial_number == wanted["serial_number"].native:
                return certificate
        elif _key_identifier(certificate) == sid.chosen.native:
            return certificate
    return None


def _key_identifier(certificate: x509.Certificate) -> bytes | None:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    return extension.value.digest


def _members(trust_list: ctl.TrustList) -> Iterator[CatalogMember]:
    for subject in trust_list["subjects"] or ():
        digest, name = "", ""
        for attribute in subject["attributes"] or ():
            kind = attribute["type"].native
            raw = attribute["values"][0].dump()
            if kind == ctl.INDIRECT_DATA:
                digest = ctl.IndirectData.load(raw)["message_digest"]["digest"].native.hex()
            elif kind == ctl.NAME_VALUE:
                pair = ctl.NameValue.load(raw)
                if pair["tag"].native.lower() == "file":
                    name = pair["value"].native.decode("utf-16-le", errors="replace").rstrip("\0")
        yield CatalogMember(digest or _tag(subject["identifier"].native), name)


def _tag(identifier: bytes) -> str:
    """A member's own name, its digest: bytes, or hexadecimal text in UTF-16."""
    text = identifier.decode("utf-16-le", errors="replace").rstrip("\0")
    is_text = bool(text) and all(character in "0123456789abcdefABCDEF" for character in text)
    return text.lower() if is_text else identifier.hex()


def _timestamped(signer: cms.SignerInfo) -> bool:
    attributes = signer["unsigned_attrs"]
    if not attributes:
        return False
    return any({attribute["type"].dotted, attribute["type"].native} & _TIMESTAMPS for attribute in attributes)


def _damage(signer: cms.SignerInfo, certificate: x509.Certificate, content: bytes) -> str:
    """Why a signature does not hold, empty when it does.

    ``content`` is the list without its tag and length: so PKCS #7 hashes it.
    """
    algorithm = signer["digest_algorithm"]["algorithm"].native
    if algorithm not in _HASHES:
        return f"it is signed with {algorithm}, which cannot be checked here"
    attributes = signer["signed_attrs"]
    if attributes:
        digests = [
            attribute["values"][0].native
            for attribute in attributes
            if attribute["type"].native == "message_digest"
        ]
        if digests != [hashlib.new(algorithm, content, usedforsecurity=False).digest()]:
            return "its list was changed after it was signed"
        content = attributes.untag().dump()
    if not _verifies(certificate, signer["signature"].native, content, _HASHES[algorithm]):
        return "its signature does not fit its signer's certificate"
    return ""


def _verifies(
    certificate: x509.Certificate, signature: bytes, content: bytes, algorithm: hashes.HashAlgorithm
) -> bool:
    try:
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, content, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, content, ec.ECDSA(algorithm))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
