"""Windows executables: version, architecture, symbols, Authenticode digest. Pure."""

from __future__ import annotations

import hashlib
import struct
import uuid
from dataclasses import dataclass

import pefile  # type: ignore[import-untyped]  # the library has no type information

from harness.model import Arch

__all__ = ["NotAnExecutable", "PeFacts", "authenticode_digests", "read_pe"]

_MACHINES = {0x014C: Arch.X86, 0x8664: Arch.X64}  # IMAGE_FILE_MACHINE_I386, _AMD64
_SECURITY = 4  # index of the data directory that holds embedded signatures
_DIRECTORIES = ("IMAGE_DIRECTORY_ENTRY_DEBUG", "IMAGE_DIRECTORY_ENTRY_RESOURCE")
_CODEVIEW = 2
_CHECKSUM_AT = 64  # in the optional header, in both of its forms


class NotAnExecutable(Exception):
    """The file is no PE image, or a damaged one."""


@dataclass(frozen=True)
class PeFacts:
    """An executable's facts; texts are empty where it says nothing.

    ``symbols`` is what a symbol server files the PDB under: its GUID in upper case hexadecimal
    followed by its age in hexadecimal. ``digests`` are the Authenticode digests, in lower case.
    """

    arch: Arch | None
    file_version: str
    description: str
    company: str
    pdb: str
    symbols: str
    embedded_signature: bool
    digests: frozenset[str]


def read_pe(data: bytes) -> PeFacts:
    """An executable's facts.

    Raises:
        NotAnExecutable: it is none.
    """
    try:
        image = pefile.PE(data=data, fast_load=True)
        image.parse_data_directories([pefile.DIRECTORY_ENTRY[name] for name in _DIRECTORIES])
        digests = authenticode_digests(data)
    except (pefile.PEFormatError, struct.error, IndexError, ValueError, AttributeError) as error:
        # pefile raises more than its own error on damaged tables
        raise NotAnExecutable(str(error)) from error
    texts = _version_texts(image)
    pdb, symbols = _codeview(image)
    return PeFacts(
        arch=_MACHINES.get(image.FILE_HEADER.Machine),
        file_version=_file_version(image),
        description=texts.get("FileDescription", ""),
        company=texts.get("CompanyName", ""),
        pdb=pdb,
        symbols=symbols,
        embedded_signature=_signature_size(image) > 0,
        digests=digests,
    )


def authenticode_digests(data: bytes) -> frozenset[str]:
    """SHA-1 and SHA-256 of an image as catalogs list it: all but checksum and signatures.

    Source: "Windows Authenticode Portable Executable Signature Format" (Microsoft, 2008),
    "Calculating the PE Image Hash". An image whose length is no multiple of 8 is listed with or
    without zeros behind it, depending on the tool: both are given.

    Raises:
        NotAnExecutable: the headers are not those of an image.
    """
    if len(data) < 0x40 or data[:2] != b"MZ":  # noqa: PLR2004  # the length of a DOS header
        raise NotAnExecutable("it does not begin like an executable")
    (header,) = struct.unpack_from("<I", data, 0x3C)
    optional = header + 24
    if data[header : header + 4] != b"PE\0\0":
        raise NotAnExecutable("it has no PE header")
    (magic,) = struct.unpack_from("<H", data, optional)
    directories = optional + (112 if magic == 0x20B else 96)  # noqa: PLR2004  # PE32+
    entry = directories + 8 * _SECURITY
    place, size = struct.unpack_from("<II", data, entry)
    checksum = optional + _CHECKSUM_AT
    end = place if place and size else len(data)
    pieces = (
        data[:checksum],
        data[checksum + 4 : entry],
        data[entry + 8 : end],
        data[end + size :] if size else b"",
    )
    body = b"".join(pieces)
    padded = body + bytes(-len(data[:end]) % 8)
    return frozenset(
        hashlib.new(algorithm, text, usedforsecurity=False).hexdigest()
        for algorithm in ("sha1", "sha256")
        for text in (body, padded)
    )


def _signature_size(image: pefile.PE) -> int:
    directories = image.OPTIONAL_HEADER.DATA_DIRECTORY
    return int(directories[_SECURITY].Size) if len(directories) > _SECURITY else 0


def _file_version(image: pefile.PE) -> str:
    fixed = getattr(image, "VS_FIXEDFILEINFO", None)
    if not fixed:
        return ""
    high, low = fixed[0].FileVersionMS, fixed[0].FileVersionLS
    return f"{high >> 16}.{high & 0xFFFF}.{low >> 16}.{low & 0xFFFF}"


def _version_texts(image: pefile.PE) -> dict[str, str]:
    texts: dict[str, str] = {}
    for block in getattr(image, "FileInfo", ()):
        for entry in block:
            for table in getattr(entry, "StringTable", ()):
                for key, value in table.entries.items():
                    texts.setdefault(_text(key), _text(value))
    return texts


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")


def _codeview(image: pefile.PE) -> tuple[str, str]:
    """Name and symbol server id of the PDB."""
    for entry in getattr(image, "DIRECTORY_ENTRY_DEBUG", ()):
        if entry.struct.Type != _CODEVIEW or entry.entry is None:
            continue
        start = entry.struct.PointerToRawData
        record = image.__data__[start : start + entry.struct.SizeOfData]
        if record[:4] == b"RSDS" and len(record) > 24:  # noqa: PLR2004  # signature, GUID, age
            guid = uuid.UUID(bytes_le=bytes(record[4:20]))
            (age,) = struct.unpack_from("<I", record, 20)
            name = _text(bytes(record[24:]).split(b"\0")[0]).replace("/", "\\").rpartition("\\")[2]
            return name, f"{guid.hex.upper()}{age:X}"
    return "", ""
