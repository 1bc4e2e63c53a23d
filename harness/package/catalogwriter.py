"""Writing catalogs for synthetic builds: a trust list signed by a throw-away test certificate."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from asn1crypto import cms, core  # type: ignore[import-untyped]  # no type information
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from harness.package import ctl

__all__ = ["ListedFile", "TestSigner", "make_catalog"]

_PE_GUID = "{C689AAB8-8E78-11D0-8C47-00C04FC295EE}"  # the subject interface package of PE images
_FLAT_GUID = "{DE351A42-8E59-11D0-8C47-00C04FC295EE}"  # of files that are hashed as they are
_MEMBER_VERSION = 0x200
_NAME_FLAGS = 0x00010000 | 0x00001000 | 0x00000001  # text, authenticated, replaced
_OBSOLETE = "<<<Obsolete>>>"  # what every catalog has for a member's path
_VALID = dt.timedelta(days=90)


@dataclass(frozen=True)
class ListedFile:
    """A file to be listed; ``digest`` is its SHA-256, of an image the Authenticode one."""

    name: str
    digest: bytes
    image: bool


class TestSigner:
    """A self-signed code signing certificate whose key never leaves this object."""

    __test__ = False  # no test class, whatever pytest makes of its name

    def __init__(self, name: str, *, now: dt.datetime) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())  # made in a millisecond, RSA in a second
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + _VALID)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.DER)

    def sign(self, content: bytes) -> bytes:
        """A signature with SHA-256."""
        return self._key.sign(content, ec.ECDSA(hashes.SHA256()))


def make_catalog(files: Iterable[ListedFile], signer: TestSigner | None, *, now: dt.datetime) -> bytes:
    """A catalog in its second version (SHA-256); without a signer as inf2cat leaves it."""
    trust_list = _fixed(
        ctl.TrustList(
            {
                "usage": [ctl.CATALOG_LIST],
                "identifier": secrets.token_bytes(16),
                "this_update": asn1_x509.UTCTime(now.replace(microsecond=0)),
                "algorithm": {"algorithm": ctl.CATALOG_MEMBER_V2, "parameters": core.Any(core.Null())},
                "subjects": [_subject(file) for file in sorted(files, key=lambda file: file.digest)],
            }
        )
    )
    signed = {
        "version": "v1",
        "digest_algorithms": [{"algorithm": "sha256"}] if signer else [],
        "list": {"content_type": ctl.CTL, "content": trust_list},
        "signer_infos": [_signer_info(signer, trust_list.dump(), now)] if signer else [],
    }
    if signer:
        signed["certificates"] = [cms.CertificateChoices.load(signer.der)]
    return bytes(ctl.CatalogFile({"content_type": ctl.SIGNED_DATA, "content": signed}).dump())


def _fixed(value: Any) -> Any:
    """The same, encoded once: asn1crypto encodes what it was not given as bytes anew at every level above."""
    return type(value).load(value.dump())


def _subject(file: ListedFile) -> ctl.TrustedSubject:
    link = ctl.SpcLink(name="file", value=ctl.SpcString(name="unicode", value=_OBSOLETE))
    if file.image:
        kind, value = ctl.PE_IMAGE_DATA, ctl.PeImageData({"flags": (0,), "file": link})
    else:
        kind, value = ctl.SPC_CAB_DATA, link
    digest = {"algorithm": {"algorithm": "sha256"}, "digest": file.digest}
    data = ctl.IndirectData({"data": {"type": kind, "value": core.Any(value)}, "message_digest": digest})
    name = ctl.NameValue({"tag": "File", "flags": _NAME_FLAGS, "value": f"{file.name}\0".encode("utf-16-le")})
    reader = ctl.MemberInfo({"guid": _PE_GUID if file.image else _FLAT_GUID, "version": _MEMBER_VERSION})
    pairs = ((ctl.NAME_VALUE, name), (ctl.MEMBER_INFO, reader), (ctl.INDIRECT_DATA, data))
    attributes = [{"type": kind, "values": [core.Any(value)]} for kind, value in pairs]
    subject: ctl.TrustedSubject = _fixed(
        ctl.TrustedSubject({"identifier": file.digest, "attributes": attributes})
    )
    return subject


def _signer_info(signer: TestSigner, trust_list: bytes, now: dt.datetime) -> cms.SignerInfo:
    certificate = asn1_x509.Certificate.load(signer.der)
    # PKCS #7 hashes the content without its tag and length
    digest = hashlib.sha256(core.Any.load(trust_list).contents).digest()
    attributes = cms.CMSAttributes(
        [
            {"type": "content_type", "values": [ctl.CTL]},
            {"type": "signing_time", "values": [asn1_x509.UTCTime(now.replace(microsecond=0))]},
            {"type": "message_digest", "values": [digest]},
        ]
    )
    return cms.SignerInfo(
        {
            "version": "v1",
            "sid": {
                "issuer_and_serial_number": {
                    "issuer": certificate.issuer,
                    "serial_number": certificate.serial_number,
                }
            },
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "sha256_ecdsa"},
            "signature": signer.sign(attributes.dump()),
        }
    )
