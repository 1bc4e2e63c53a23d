"""Executables: what is read of them, and the digest a catalog lists them by."""

import functools
import hashlib
import struct

import pefile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model import Arch
from harness.package.pe import NotAnExecutable, authenticode_digests, read_pe
from harness.package.pewriter import ImageTexts, make_pe

TEXTS = ImageTexts("xen.sys", "9.1.0.42", "a driver (synthetic)", "nobody")


@functools.cache
def image(arch: Arch = Arch.X64) -> bytes:
    return make_pe(arch, TEXTS, timestamp=1_767_225_600)


@pytest.mark.parametrize("arch", list(Arch))
def test_architecture_version_texts_and_symbols_are_read(arch: Arch) -> None:
    facts = read_pe(image(arch))

    assert facts.arch is arch
    assert facts.file_version == "9.1.0.42"
    assert (facts.description, facts.company) == ("a driver (synthetic)", "nobody")
    assert facts.pdb == "xen.pdb"
    assert facts.symbols.endswith("1"), "the age follows the GUID"
    assert len(facts.symbols) == 33
    assert not facts.embedded_signature


def test_the_two_architectures_have_symbols_of_their_own() -> None:
    assert read_pe(image(Arch.X86)).symbols != read_pe(image(Arch.X64)).symbols


@pytest.mark.parametrize("arch", list(Arch))
def test_written_images_have_the_checksum_windows_compares(arch: Arch) -> None:
    written = pefile.PE(data=image(arch))

    assert written.OPTIONAL_HEADER.CheckSum == written.generate_checksum()
    # that most of a tiny image is padding is no fault of its tables
    assert [text for text in written.get_warnings() if "Byte 0x00 makes up" not in text] == []


def test_the_digest_leaves_out_checksum_and_signature_and_nothing_else() -> None:
    plain = image()
    digests = authenticode_digests(plain)
    other_checksum = plain[:0x98] + b"\1\2\3\4" + plain[0x9C:]
    entry = 0x40 + 24 + 112 + 8 * 4
    signature = b"\x10\0\0\0\0\2\2\0" + b"signature bytes."
    signed = bytearray(plain + signature)
    struct.pack_into("<II", signed, entry, len(plain), len(signature))

    assert authenticode_digests(other_checksum) == digests
    assert authenticode_digests(bytes(signed)) == digests
    assert read_pe(bytes(signed)).embedded_signature
    assert authenticode_digests(plain[:0x400] + b"\x90" + plain[0x401:]) != digests
    assert digests == {hashlib.new(name, _covered(plain)).hexdigest() for name in ("sha1", "sha256")}


def _covered(plain: bytes) -> bytes:
    entry = 0x40 + 24 + 112 + 8 * 4
    return plain[:0x98] + plain[0x9C:entry] + plain[entry + 8 :]


@given(st.integers(0, 3072), st.binary(max_size=40))
def test_a_damaged_image_is_refused_or_read_but_never_more(cut: int, rest: bytes) -> None:
    try:
        facts = read_pe(image()[:cut] + rest)
    except NotAnExecutable:
        return
    assert facts.digests


def test_a_text_file_is_no_image() -> None:
    with pytest.raises(NotAnExecutable):
        read_pe(b"MZ is what this text begins with, and then it goes on for a while without an end")
