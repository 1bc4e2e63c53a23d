"""Catalogs: members, signers, chains, damage."""

import datetime as dt
import hashlib
import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from harness.package.catalog import NotACatalog, flat_digests, read_catalog
from harness.package.catalogwriter import ListedFile, TestSigner, make_catalog
from harness.package.trust import TrustKind, load_certificates, signer_facts

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
SIGNER = TestSigner("somebody's test", now=NOW)
INF = b"[Version]\r\n"
FILES = [
    ListedFile("a.inf", hashlib.sha256(INF).digest(), image=False),
    ListedFile("a.sys", bytes(range(32)), image=True),
]
CATALOG = make_catalog(FILES, SIGNER, now=NOW)


def test_members_and_signer_are_read() -> None:
    catalog = read_catalog(CATALOG)

    assert {(member.name, member.digest) for member in catalog.members} == {
        (file.name, file.digest.hex()) for file in FILES
    }
    (signer,) = catalog.signers
    assert signer.subject == "CN=somebody's test"
    assert signer.thumbprint == SIGNER.certificate.fingerprint(hashes.SHA1()).hex().upper()
    assert signer.trust is TrustKind.TEST
    assert signer.root == SIGNER.der, "it is its own root"
    assert catalog.damage == ""


def test_membership_is_by_digest() -> None:
    catalog = read_catalog(CATALOG)

    assert catalog.lists(flat_digests(INF))
    assert not catalog.lists(flat_digests(INF + b" "))


def test_a_catalog_nobody_signed_has_no_signer() -> None:
    assert read_catalog(make_catalog(FILES, None, now=NOW)).signers == ()


@pytest.mark.parametrize("where", ["a member's name", "a digest", "the signature"])
def test_a_change_after_signing_is_seen(where: str) -> None:
    place = {
        "a member's name": CATALOG.index("sys".encode("utf-16-le")),
        "a digest": CATALOG.index(bytes(range(32))),
        "the signature": len(CATALOG) - 1,
    }[where]
    changed = CATALOG[:place] + bytes([CATALOG[place] ^ 1]) + CATALOG[place + 1 :]

    assert read_catalog(changed).damage != ""


def test_a_signature_of_somebody_else_is_seen() -> None:
    forger = TestSigner("a forger", now=NOW)
    forger.certificate = SIGNER.certificate

    assert read_catalog(make_catalog(FILES, forger, now=NOW)).damage != ""


@pytest.mark.parametrize(
    "data", [b"", b"MZ", b"0" * 100, SIGNER.der], ids=["empty", "short", "text", "certificate"]
)
def test_what_is_no_catalog_is_refused(data: bytes) -> None:
    with pytest.raises(NotACatalog):
        read_catalog(data)


def test_a_certificate_of_an_unknown_version_is_refused() -> None:
    version_3 = b"\xa0\x03\x02\x01\x02"  # [0] EXPLICIT INTEGER 2 (RFC 5280, 4.1)
    assert version_3 in CATALOG
    with pytest.raises(NotACatalog, match="version"):
        read_catalog(CATALOG.replace(version_3, b"\xa0\x03\x02\x01\x03"))


def test_a_certificate_with_a_negative_serial_number_is_no_damage_to_the_list() -> None:
    version_and_serial = re.search(rb"\xa0\x03\x02\x01\x02\x02.", CATALOG)
    assert version_and_serial is not None
    first = version_and_serial.end()
    changed = CATALOG[:first] + bytes([CATALOG[first] | 0x80]) + CATALOG[first + 1 :]
    assert read_catalog(changed).members == read_catalog(CATALOG).members


@given(st.integers(0, len(CATALOG) - 1), st.integers(1, 255))
def test_a_changed_byte_anywhere_never_reads_as_another_good_catalog(place: int, flip: int) -> None:
    changed = CATALOG[:place] + bytes([CATALOG[place] ^ flip]) + CATALOG[place + 1 :]
    try:
        catalog = read_catalog(changed)
    except NotACatalog:
        return
    good = catalog.damage == "" and catalog.signers != ()
    assert not good or catalog.members == read_catalog(CATALOG).members


@given(st.integers(0, len(CATALOG) - 1))
def test_a_cut_catalog_is_refused(length: int) -> None:
    with pytest.raises(NotACatalog):
        read_catalog(CATALOG[:length])


# -- chains


class Authority:
    """A certificate with a key, for making chains."""

    def __init__(self, common: str, organisation: str = "Somebody", *, of: "Authority | None" = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name(
            [
                x509.NameAttribute(x509.NameOID.COMMON_NAME, common),
                x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organisation),
            ]
        )
        self.certificate = (
            self.certify(self.key, self.name) if of is None else of.certify(self.key, self.name)
        )

    def certify(self, key: ec.EllipticCurvePrivateKey, name: x509.Name) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - dt.timedelta(days=1))
            .not_valid_after(NOW + dt.timedelta(days=1))
            .sign(self.key, hashes.SHA256())
        )


def test_a_chain_that_ends_at_microsoft_needs_nothing() -> None:
    root = Authority("Microsoft Root Certificate Authority 2010", "Microsoft Corporation")
    middle = Authority("Microsoft Windows Third Party Component CA 2014", "Microsoft Corporation", of=root)
    publisher = Authority(
        "Microsoft Windows Hardware Compatibility Publisher", "Microsoft Corporation", of=middle
    )

    # the root itself is never in the catalog
    facts = signer_facts(publisher.certificate, [middle.certificate], timestamped=True)

    assert facts.trust is TrustKind.MICROSOFT
    assert facts.root is None
    assert "Microsoft Root Certificate Authority 2010" in facts.top


def test_a_cross_certificate_is_preferred_to_the_same_roots_own() -> None:
    cross_root = Authority("Microsoft Code Verification Root", "Microsoft Corporation")
    root = Authority("Commercial Root", "Commercial")
    publisher = Authority("A vendor", "A vendor", of=root)
    cross = cross_root.certify(root.key, root.name)

    facts = signer_facts(publisher.certificate, [root.certificate, cross], timestamped=True)

    assert facts.trust is TrustKind.CROSS_SIGNED


def test_a_commercial_chain_without_cross_certificate_is_a_test_signature_to_the_kernel() -> None:
    root = Authority("Commercial Root", "Commercial")
    publisher = Authority("A vendor", "A vendor", of=root)

    facts = signer_facts(publisher.certificate, [root.certificate], timestamped=False)

    assert facts.trust is TrustKind.TEST
    assert load_certificates(facts.root or b"") == (root.certificate,)


def test_an_issuer_of_the_right_name_and_the_wrong_key_is_no_issuer() -> None:
    publisher = Authority("A vendor", of=Authority("Root"))

    facts = signer_facts(publisher.certificate, [Authority("Root").certificate], timestamped=False)

    assert facts.root is None


def test_certificates_that_sign_each_other_do_not_go_round_for_ever() -> None:
    first, second = Authority("One"), Authority("Two")
    one_by_two = second.certify(first.key, first.name)
    two_by_one = first.certify(second.key, second.name)

    facts = signer_facts(one_by_two, [two_by_one, one_by_two], timestamped=False)

    assert facts.root is None


def test_a_timestamp_outlives_the_certificate() -> None:
    publisher = Authority("A vendor")
    later = NOW + dt.timedelta(days=400)

    assert signer_facts(publisher.certificate, [], timestamped=True).valid_at(later)
    assert not signer_facts(publisher.certificate, [], timestamped=False).valid_at(later)
    assert not signer_facts(publisher.certificate, [], timestamped=True).valid_at(NOW - dt.timedelta(days=2))
