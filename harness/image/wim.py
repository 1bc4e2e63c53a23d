"""What a WIM or ESD file says of the Windows in it: the header, and the XML behind it. Pure but for reading.

Layout: Microsoft, "Windows Imaging File Format (WIM)" (2007): ``WIMHEADER_V1_PACKED`` of 208 bytes, whose
``rhXmlData`` (a ``RESHDR_DISK_SHORT``: seven bytes of size, one of flags, offset, original size) leads to
UTF-16 text that is never compressed. An ESD has another version number and the same header.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol
from xml.etree import ElementTree as ET

from harness.errors import ConfigurationError, OutputNotUnderstood
from harness.model import Arch

__all__ = ["WimImage", "WimSource", "read_images"]

_MAGIC = b"MSWIM\0\0\0"
_HEADER = struct.Struct("<8sIIII16sHHI24s24s24sI24s60x")
_RESOURCE = struct.Struct("<7sBQQ")
_LARGEST_XML = 16 << 20  # it is some tens of KiB
# PROCESSOR_ARCHITECTURE_* of winnt.h
_ARCHES = {"0": Arch.X86, "9": Arch.X64}


class WimSource(Protocol):
    """Random access to the bytes of a file."""

    def read_at(self, offset: int, length: int) -> bytes:
        """That many bytes from there, fewer at the end."""


@dataclass(frozen=True)
class WimImage:
    """One Windows of a WIM. ``arch`` is None for one that no driver here is built for (ARM).

    ``installation`` is "Client", "Server" or "Server Core"; ``version`` is "10.0", ``build`` 19041.
    """

    index: int
    name: str
    edition: str
    installation: str
    arch: Arch | None
    version: str
    build: int
    languages: tuple[str, ...]

    def __str__(self) -> str:
        kind = f", {self.installation}" if self.installation else ""
        return f"{self.index}: {self.name} ({self.edition}{kind}, {self.arch or 'ARM'}, build {self.build})"


def read_images(source: WimSource) -> tuple[WimImage, ...]:
    """All images, in their order.

    Raises:
        ConfigurationError: it is no WIM, or only a part of one.
        OutputNotUnderstood: its XML is none, or says too little.
    """
    header = source.read_at(0, _HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(_MAGIC):
        raise ConfigurationError("install.wim is no WIM file", mend="is the ISO whole? compare its SHA-256")
    fields = _HEADER.unpack(header)
    part, parts = fields[6], fields[7]
    if parts != 1:
        raise ConfigurationError(
            f"install.wim is part {part} of {parts}", mend="take a medium with the whole image"
        )
    size, _, offset, original = _RESOURCE.unpack(fields[10])
    length = int.from_bytes(size, "little")
    if not 0 < length <= _LARGEST_XML or length != original:
        raise ConfigurationError(
            f"install.wim: its XML would have {length} bytes", mend="is the ISO whole? compare its SHA-256"
        )
    return _parse(_text(source.read_at(offset, length), length))


def _text(data: bytes, length: int) -> str:
    mend = "is the ISO whole? compare its SHA-256"
    if len(data) != length:
        raise ConfigurationError(
            f"install.wim is cut off: its XML has {len(data)} of {length} bytes", mend=mend
        )
    try:
        return data.decode("utf-16")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"install.wim is damaged: its XML is no text ({error.reason})", mend=mend
        ) from error


def _parse(text: str) -> tuple[WimImage, ...]:
    try:
        root = ET.fromstring(text)  # noqa: S314  # Python's expat stops entities that grow (2.4.1 and later)
        return tuple(_images(root.iterfind("IMAGE")))
    except (ET.ParseError, ValueError) as error:
        raise OutputNotUnderstood(f"the XML of install.wim: {error}", text=text) from error


def _images(elements: Iterable[ET.Element]) -> Iterable[WimImage]:
    for element in elements:
        windows = element.find("WINDOWS")
        if windows is None:
            continue  # Windows PE and Setup themselves, in an ESD
        yield WimImage(
            index=int(element.get("INDEX", "")),
            name=element.findtext("NAME", ""),
            edition=windows.findtext("EDITIONID", ""),
            installation=windows.findtext("INSTALLATIONTYPE", ""),
            arch=_ARCHES.get(windows.findtext("ARCH", "")),
            version=f"{windows.findtext('VERSION/MAJOR', '')}.{windows.findtext('VERSION/MINOR', '')}",
            build=int(windows.findtext("VERSION/BUILD", "")),
            languages=_languages(windows),
        )


def _languages(windows: ET.Element) -> tuple[str, ...]:
    """The default one first."""
    named = [one.text for one in windows.iterfind("LANGUAGES/LANGUAGE") if one.text]
    default = windows.findtext("LANGUAGES/DEFAULT", "")
    return tuple(dict.fromkeys(name for name in (default, *named) if name))
