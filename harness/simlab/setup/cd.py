"""CDs as firmware and Windows Setup find them."""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Self
from xml.etree import ElementTree as ET

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from harness.lab import Firmware
from harness.model import Arch

__all__ = ["Cd", "Loader", "WindowsImage"]

_EFI = 0xEF
_NO_PROMPT = "efi/microsoft/boot/efisys_noprompt.bin"
_WIMS = ("sources/install.wim", "sources/install.esd")
_XML_PLACE = struct.Struct("<7sBQQ")  # rhXmlData in the header of a WIM, at byte 72
_ARCHES = {"0": Arch.X86, "9": Arch.X64}


class Loader(Enum):
    """What a firmware finds on a CD."""

    NONE = "none"
    ASKS = "asks for a key press"
    STARTS = "starts at once"


@dataclass(frozen=True)
class WindowsImage:
    """One Windows of the medium, as far as Setup's behaviour depends on it."""

    name: str
    edition: str
    arch: Arch | None
    build: int
    server: bool


class Cd:
    """An ISO image that is open. Use it as a context."""

    def __init__(self, path: Path) -> None:
        self._iso = pycdlib.PyCdlib()
        self._iso.open(str(path))

    @classmethod
    def opened(cls, path: Path) -> Cd | None:
        """A CD, None where the file is none."""
        try:
            return cls(path)
        except (PyCdlibException, OSError, struct.error, IndexError):
            return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._iso.close()

    def loader(self, firmware: Firmware) -> Loader:
        """What a firmware would start. A BIOS is asked for no key as long as no disk is bootable."""
        catalogue = self._iso.eltorito_boot_catalog
        if catalogue is None:
            return Loader.NONE
        if firmware is Firmware.BIOS:
            return Loader.STARTS
        places = [
            entry.get_rba()
            for section in catalogue.sections
            if section.platform_id == _EFI
            for entry in section.section_entries
        ]
        if not places:
            return Loader.NONE
        silent = self._record(_NO_PROMPT)
        starts = silent is not None and silent.inode.extent_location() == places[0]
        return Loader.STARTS if starts else Loader.ASKS

    def read(self, name: str) -> bytes | None:
        """A file by its path, whatever its letters' case; None if it is not there."""
        record = self._record(name)
        if record is None:
            return None
        target = io.BytesIO()
        self._iso.get_file_from_iso_fp(target, **{self._view: self._path(name)})
        return target.getvalue()

    def images(self) -> dict[str, WindowsImage]:
        """The Windows on the medium, by their number."""
        for name in _WIMS:
            data = self.read(name)
            if data is not None:
                size, _, offset, _ = _XML_PLACE.unpack_from(data, 72)
                root = ET.fromstring(data[offset : offset + int.from_bytes(size, "little")].decode("utf-16"))  # noqa: S314  # a test's own
                return {one.get("INDEX", ""): _image(one) for one in root.iterfind("IMAGE")}
        return {}

    # -- inner parts

    @property
    def _view(self) -> str:
        if self._iso.has_udf():
            return "udf_path"
        return "joliet_path" if self._iso.has_joliet() else "iso_path"

    def _record(self, name: str) -> Any:
        path = self._path(name)
        return self._iso.get_record(**{self._view: path}) if path else None

    def _path(self, name: str) -> str:
        """The path as it is written there, "" for none."""
        path = ""
        for word in re.split(r"[/\\]", name):
            try:
                children = list(self._iso.list_children(**{self._view: path or "/"}))
            except PyCdlibException:
                return ""
            encoding = "utf-16-be" if self._view == "joliet_path" else "utf-8"
            names = [
                child.file_identifier().decode(encoding)
                for child in children
                if child is not None and not child.is_dot() and not child.is_dotdot()
            ]
            found = next((one for one in names if one.partition(";")[0].lower() == word.lower()), None)
            if found is None:
                return ""
            path = f"{path}/{found}"
        return path


def _image(element: ET.Element) -> WindowsImage:
    return WindowsImage(
        name=element.findtext("NAME", ""),
        edition=element.findtext("WINDOWS/EDITIONID", ""),
        arch=_ARCHES.get(element.findtext("WINDOWS/ARCH", "")),
        build=int(element.findtext("WINDOWS/VERSION/BUILD", "0")),
        server=element.findtext("WINDOWS/INSTALLATIONTYPE", "").startswith("Server"),
    )
