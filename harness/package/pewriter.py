"""Writing minimal PE images for synthetic builds: headers, a version resource, a PDB record.

The image is well formed and does nothing: its entry point returns STATUS_NOT_IMPLEMENTED, so a
Windows that were made to load it would refuse it. Layout: "PE Format" (learn.microsoft.com,
windows/win32/debug/pe-format); version resource: "VS_VERSIONINFO" (win32/menurc).
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass

from harness.model import Arch

__all__ = ["AGE", "ImageTexts", "make_pe", "pdb_guid", "pdb_name"]

_FILE_ALIGNMENT = 0x200
_PAGE = 0x1000
_HEADERS = 0x400
_MACHINES = {Arch.X86: 0x014C, Arch.X64: 0x8664}
_CODE = b"\xb8\x02\x00\x00\xc0\xc3"  # mov eax, 0xC0000002 (STATUS_NOT_IMPLEMENTED); ret
_EXECUTABLE, _LARGE_ADDRESS, _BITS_32 = 0x0002, 0x0020, 0x0100
_NATIVE = 1
_RESOURCE, _DEBUG = 2, 6  # data directories
AGE = 1  # of every PDB of ours
_VERSION_TYPE, _VERSION_NAME, _LANGUAGE = 16, 1, 0x0409


@dataclass(frozen=True)
class ImageTexts:
    """What the version resource says. ``version`` is four numbers with dots between them."""

    name: str  # the file's
    version: str
    description: str
    company: str


def make_pe(arch: Arch, texts: ImageTexts, *, timestamp: int) -> bytes:
    """An image. The same arguments give the same bytes; its PDB id comes from name and version."""
    code_at, data_at, resource_at = _PAGE, 2 * _PAGE, 3 * _PAGE
    pdb = _pdb_record(arch, texts)
    debug = _debug_directory(len(pdb), data_at, _HEADERS + _FILE_ALIGNMENT, timestamp)
    resource = _resource_tree(_version_info(texts), resource_at)
    sections = (
        (b".text", code_at, _CODE, 0x60000020),
        (b".rdata", data_at, debug + pdb, 0x40000040),
        (b".rsrc", resource_at, resource, 0x40000040),
    )
    directories = {_RESOURCE: (resource_at, len(resource)), _DEBUG: (data_at, len(debug))}
    image = _headers(arch, sections, directories, timestamp)
    for _, _, body, _ in sections:
        image += body + bytes(-len(body) % _FILE_ALIGNMENT)
    return _with_checksum(image)


def _headers(
    arch: Arch,
    sections: tuple[tuple[bytes, int, bytes, int], ...],
    directories: dict[int, tuple[int, int]],
    timestamp: int,
) -> bytes:
    wide = arch is Arch.X64
    image_size = max(place + _rounded(len(body), _PAGE) for _, place, body, _ in sections)
    dos = b"MZ" + bytes(58) + struct.pack("<I", 0x40)
    optional_size = 240 if wide else 224
    flags = _EXECUTABLE | (_LARGE_ADDRESS if wide else _BITS_32)
    coff = b"PE\0\0" + struct.pack(
        "<HHIIIHH", _MACHINES[arch], len(sections), timestamp, 0, 0, optional_size, flags
    )
    initialized = sum(_rounded(len(body), _FILE_ALIGNMENT) for _, _, body, _ in sections[1:])
    optional = struct.pack(
        "<HBBIIIII", 0x20B if wide else 0x10B, 14, 0, _FILE_ALIGNMENT, initialized, 0, _PAGE, _PAGE
    )
    optional += struct.pack("<Q", 0x140000000) if wide else struct.pack("<II", 2 * _PAGE, 0x10000)
    optional += struct.pack("<IIHHHHHHI", _PAGE, _FILE_ALIGNMENT, 10, 0, 0, 0, 6, 1, 0)
    optional += struct.pack("<IIIHH", image_size, _HEADERS, 0, _NATIVE, 0x0140)
    optional += struct.pack("<QQQQ" if wide else "<IIII", 0x40000, 0x1000, 0x100000, 0x1000)
    optional += struct.pack("<II", 0, 16)
    for index in range(16):
        optional += struct.pack("<II", *directories.get(index, (0, 0)))
    table, offset = b"", _HEADERS
    for name, place, body, kind in sections:
        size = _rounded(len(body), _FILE_ALIGNMENT)
        table += struct.pack("<8sIIIIIIHHI", name, len(body), place, size, offset, 0, 0, 0, 0, kind)
        offset += size
    headers = dos + coff + optional + table
    return headers + bytes(_HEADERS - len(headers))


def _rounded(size: int, unit: int) -> int:
    return size + -size % unit


def pdb_guid(arch: Arch, texts: ImageTexts) -> uuid.UUID:
    """The GUID by which an image and its PDB belong together."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{arch}/{texts.name}/{texts.version}")


def pdb_name(image: str) -> str:
    """What an image's PDB is called."""
    return image.rpartition(".")[0] + ".pdb"


def _pdb_record(arch: Arch, texts: ImageTexts) -> bytes:
    identity = pdb_guid(arch, texts)
    return b"RSDS" + identity.bytes_le + struct.pack("<I", AGE) + pdb_name(texts.name).encode() + b"\0"


def _debug_directory(size: int, place: int, offset: int, timestamp: int) -> bytes:
    length = 28
    return struct.pack("<IIHHIIII", 0, timestamp, 0, 0, 2, size, place + length, offset + length)


def _resource_tree(version: bytes, place: int) -> bytes:
    """Three levels of directories (type, name, language) with one entry each, then the data."""
    tree = b""
    for level, identity in enumerate((_VERSION_TYPE, _VERSION_NAME, _LANGUAGE)):
        following = (level + 1) * 24
        pointer = following if level == 2 else following | 0x80000000  # noqa: PLR2004  # the last level
        tree += struct.pack("<IIHHHH", 0, 0, 0, 0, 0, 1) + struct.pack("<II", identity, pointer)
    data_at = len(tree) + 16
    tree += struct.pack("<IIII", place + data_at, len(version), 0, 0)
    return tree + version


def _version_info(texts: ImageTexts) -> bytes:
    major, minor, micro, build = (int(number) for number in texts.version.split("."))
    high, low = major << 16 | minor, micro << 16 | build
    fixed = struct.pack(
        "<13I", 0xFEEF04BD, 0x10000, high, low, high, low, 0x3F, 0, 0x00040004, 3, 7, 0, 0
    )  # NT, driver, system driver
    strings = {
        "CompanyName": texts.company,
        "FileDescription": texts.description,
        "FileVersion": texts.version,
        "InternalName": texts.name,
        "OriginalFilename": texts.name,
        "ProductName": texts.description,
        "ProductVersion": texts.version,
    }
    entries = [_block(key, f"{value}\0".encode("utf-16-le"), text=True) for key, value in strings.items()]
    table = _block("StringFileInfo", b"", [_block("040904b0", b"", entries, text=True)], text=True)
    translation = _block("Translation", struct.pack("<HH", _LANGUAGE, 0x04B0))
    variables = _block("VarFileInfo", b"", [translation], text=True)
    return _block("VS_VERSION_INFO", fixed, [table, variables])


def _block(key: str, value: bytes, children: list[bytes] | None = None, *, text: bool = False) -> bytes:
    """Length, value length (in characters for text), type, key, value, children; all on 4 bytes."""
    count = len(value) // 2 if text else len(value)
    body = bytearray(struct.pack("<HHH", 0, count, int(text)) + f"{key}\0".encode("utf-16-le"))
    body += bytes(-len(body) % 4) + value
    for child in children or ():
        body += bytes(-len(body) % 4) + child
    struct.pack_into("<H", body, 0, len(body))
    return bytes(body)


def _with_checksum(image: bytes) -> bytes:
    """The checksum Windows compares for drivers: 16-bit words with carry, plus the length."""
    words = struct.unpack(f"<{len(image) // 2}H", image)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    at = 0x40 + 24 + 64
    return image[:at] + struct.pack("<I", total + len(image)) + image[at + 4 :]
