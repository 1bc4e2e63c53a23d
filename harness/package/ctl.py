"""ASN.1 of catalog files: a certificate trust list inside PKCS #7 signed data.

Sources: [MS-CAESO] and wincrypt.h, mscat.h, wintrust.h of the Windows SDK (object identifiers and
structures of CTL_INFO, CRYPTCAT and SPC_INDIRECT_DATA); "Windows Authenticode Portable Executable
Signature Format" (SpcIndirectDataContent).
"""

# mypy: no-disallow-subclassing-any
# asn1crypto has no type information; its structures are made by deriving from its classes.
# ruff: noqa: RUF012  # the lists below are class declarations of asn1crypto, which completes them itself

from __future__ import annotations

from asn1crypto import algos, cms, core, x509  # type: ignore[import-untyped]

__all__ = [
    "CATALOG_LIST",
    "CATALOG_MEMBER",
    "CATALOG_MEMBER_V2",
    "CTL",
    "INDIRECT_DATA",
    "MEMBER_INFO",
    "NAME_VALUE",
    "PE_IMAGE_DATA",
    "SIGNED_DATA",
    "SPC_CAB_DATA",
    "Attribute",
    "Attributes",
    "CatalogFile",
    "IndirectData",
    "MemberInfo",
    "NameValue",
    "PeImageData",
    "SpcLink",
    "SpcString",
    "SpcValue",
    "TrustList",
    "TrustedSubject",
]

SIGNED_DATA = "1.2.840.113549.1.7.2"
CTL = "1.3.6.1.4.1.311.10.1"  # szOID_CTL
CATALOG_LIST = "1.3.6.1.4.1.311.12.1.1"  # szOID_CATALOG_LIST
CATALOG_MEMBER = "1.3.6.1.4.1.311.12.1.2"  # members by SHA-1, as text
CATALOG_MEMBER_V2 = "1.3.6.1.4.1.311.12.1.3"  # members by SHA-256, as bytes
NAME_VALUE = "1.3.6.1.4.1.311.12.2.1"  # CAT_NAMEVALUE_OBJID
MEMBER_INFO = "1.3.6.1.4.1.311.12.2.2"  # CAT_MEMBERINFO_OBJID
INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"  # SPC_INDIRECT_DATA_OBJID
PE_IMAGE_DATA = "1.3.6.1.4.1.311.2.1.15"  # SPC_PE_IMAGE_DATA_OBJID
SPC_CAB_DATA = "1.3.6.1.4.1.311.2.1.25"  # SPC_CAB_DATA_OBJID, of flat files too


class SpcString(core.Choice):
    """A text in one of two alphabets."""

    _alternatives = [
        ("unicode", core.BMPString, {"implicit": 0}),
        ("ascii", core.IA5String, {"implicit": 1}),
    ]


class SpcLink(core.Choice):
    """Where a file came from; catalogs hold a placeholder."""

    _alternatives = [
        ("url", core.IA5String, {"implicit": 0}),
        ("moniker", core.Any, {"implicit": 1}),
        ("file", SpcString, {"explicit": 2}),
    ]


class PeImageData(core.Sequence):
    """SPC_PE_IMAGE_DATA."""

    _fields = [
        ("flags", core.BitString, {"optional": True}),
        ("file", SpcLink, {"explicit": 0, "optional": True}),
    ]


class SpcValue(core.Sequence):
    """What kind of file the digest is of."""

    _fields = [("type", core.ObjectIdentifier), ("value", core.Any, {"optional": True})]


class DigestInfo(core.Sequence):
    """A digest and its algorithm."""

    _fields = [("algorithm", algos.DigestAlgorithm), ("digest", core.OctetString)]


class IndirectData(core.Sequence):
    """SPC_INDIRECT_DATA_CONTENT: a member's digest."""

    _fields = [("data", SpcValue), ("message_digest", DigestInfo)]


class NameValue(core.Sequence):
    """CAT_NAMEVALUE: ``value`` is UTF-16 text with a zero at its end."""

    _fields = [("tag", core.BMPString), ("flags", core.Integer), ("value", core.OctetString)]


class MemberInfo(core.Sequence):
    """CAT_MEMBERINFO: which subject interface package reads the file, as a GUID."""

    _fields = [("guid", core.BMPString), ("version", core.Integer)]


class AttributeValues(core.SetOf):
    """Values of an attribute, of any type."""

    _child_spec = core.Any


class Attribute(core.Sequence):
    """An attribute of a member."""

    _fields = [("type", core.ObjectIdentifier), ("values", AttributeValues)]


class Attributes(core.SetOf):
    """A member's attributes."""

    _child_spec = Attribute


class TrustedSubject(core.Sequence):
    """A member; its identifier is its digest, as UTF-16 text (SHA-1) or as bytes."""

    _fields = [("identifier", core.OctetString), ("attributes", Attributes, {"optional": True})]


class TrustedSubjects(core.SequenceOf):
    """The members."""

    _child_spec = TrustedSubject


class Usages(core.SequenceOf):
    """What the list is for."""

    _child_spec = core.ObjectIdentifier


class ListAlgorithm(core.Sequence):
    """How members are named: CATALOG_MEMBER or its second version."""

    _fields = [("algorithm", core.ObjectIdentifier), ("parameters", core.Any, {"optional": True})]


class TrustList(core.Sequence):
    """CertificateTrustList."""

    _fields = [
        ("version", core.Integer, {"default": 0}),
        ("usage", Usages),
        ("identifier", core.OctetString, {"optional": True}),
        ("sequence_number", core.Integer, {"optional": True}),
        ("this_update", x509.Time),
        ("next_update", x509.Time, {"optional": True}),
        ("algorithm", ListAlgorithm),
        ("subjects", TrustedSubjects, {"optional": True}),
        ("extensions", x509.Extensions, {"explicit": 0, "optional": True}),
    ]


class ListContent(core.Sequence):
    """PKCS #7 content: the list itself, not an octet string around it as in CMS."""

    _fields = [("content_type", core.ObjectIdentifier), ("content", TrustList, {"explicit": 0})]


class SignedList(core.Sequence):
    """PKCS #7 SignedData with a trust list in it."""

    _fields = [
        ("version", cms.CMSVersion),
        ("digest_algorithms", cms.DigestAlgorithms),
        ("list", ListContent),
        ("certificates", cms.CertificateSet, {"implicit": 0, "optional": True}),
        ("crls", cms.RevocationInfoChoices, {"implicit": 1, "optional": True}),
        ("signer_infos", cms.SignerInfos),
    ]


class CatalogFile(core.Sequence):
    """A whole .cat file."""

    _fields = [("content_type", core.ObjectIdentifier), ("content", SignedList, {"explicit": 0})]
