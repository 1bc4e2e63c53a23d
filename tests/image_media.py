"""Media of Windows for tests, made to the public layouts of UDF, El Torito and WIM: no Windows in them.

The editions are those of real media; the "loaders" are a few bytes that say what they stand for, which is
what the simulated firmware looks at.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pycdlib

__all__ = ["Edition", "make_medium", "make_wim", "wim_xml", "win7_updates"]

PROMPT, NO_PROMPT = b"pvhck test loader: asks for a key", b"pvhck test loader: asks nobody"


@dataclass(frozen=True)
class Edition:
    """An image of a WIM. ``arch`` is PROCESSOR_ARCHITECTURE_*: 0, 9 or 12 (ARM64)."""

    name: str
    edition: str
    build: int = 19041
    arch: int = 9
    installation: str = "Client"
    version: str = "10.0"
    language: str = "en-US"


WIN10 = (Edition("Windows 10 Home", "Core"), Edition("Windows 10 Pro", "Professional"))
WIN11 = (Edition("Windows 11 Home", "Core", 22631), Edition("Windows 11 Pro", "Professional", 22631))
SERVER2022 = tuple(
    Edition(f"Windows Server 2022 {name} Evaluation{desktop}", f"Server{name}Eval", 20348, 9, kind)
    for name in ("Standard", "Datacenter")
    for desktop, kind in (("", "Server Core"), (" (Desktop Experience)", "Server"))
)
WIN7 = (
    Edition("Windows 7 HOMEPREMIUM", "HomePremium", 7601, 9, version="6.1"),
    Edition("Windows 7 PROFESSIONAL", "Professional", 7601, 9, version="6.1"),
)


def wim_xml(editions: Sequence[Edition]) -> bytes:
    """The XML of a WIM: UTF-16 with its mark."""
    images = "".join(
        f'<IMAGE INDEX="{index}"><DIRCOUNT>2</DIRCOUNT><NAME>{one.name}</NAME><WINDOWS>'
        f"<ARCH>{one.arch}</ARCH>"
        f"<EDITIONID>{one.edition}</EDITIONID><INSTALLATIONTYPE>{one.installation}</INSTALLATIONTYPE>"
        f"<LANGUAGES><LANGUAGE>{one.language}</LANGUAGE><DEFAULT>{one.language}</DEFAULT></LANGUAGES>"
        f"<VERSION><MAJOR>{one.version.partition('.')[0]}</MAJOR><MINOR>{one.version.partition('.')[2]}</MINOR>"
        f"<BUILD>{one.build}</BUILD></VERSION></WINDOWS></IMAGE>"
        for index, one in enumerate(editions, start=1)
    )
    return f"<WIM><TOTALBYTES>1</TOTALBYTES>{images}</WIM>".encode("utf-16")


def make_wim(
    editions: Sequence[Edition], *, xml: bytes | None = None, parts: int = 1, version: int = 0x10D00
) -> bytes:
    """A WIM of a header, some bytes where its images would be, and XML."""
    text = wim_xml(editions) if xml is None else xml
    at = 208 + 512
    resource = struct.pack("<7sBQQ", len(text).to_bytes(7, "little"), 2, at, len(text))
    header = struct.pack(
        "<8sIIII16sHHI24s24s24sI24s60x",
        b"MSWIM\0\0\0", 208, version, 0x20082, 32768, b"pvhck-test-wim!!", 1, parts, len(editions),
        bytes(24), resource, bytes(24), 0, bytes(24),
    )  # fmt: skip
    return header + bytes(512) + text


def make_medium(
    path: Path,
    editions: Sequence[Edition] = WIN10,
    *,
    wim: bytes | None = None,
    name: str = "install.wim",
    uefi: bool = True,
    no_prompt: bool = True,
    udf: bool = True,
) -> Path:
    """An ISO image laid out like Microsoft's: UDF beside an ISO 9660 that has little, two boot entries."""
    iso = pycdlib.PyCdlib()
    file_systems = {"udf": "2.60"} if udf else {"joliet": 3}
    iso.new(interchange_level=3, vol_ident="PVHCKTEST", **file_systems)
    content = make_wim(editions) if wim is None else wim
    files = {f"sources/{name}": content, "boot/etfsboot.com": b"bios loader"}
    if uefi:
        files["efi/microsoft/boot/efisys.bin"] = PROMPT
    if uefi and no_prompt:
        files["efi/microsoft/boot/efisys_noprompt.bin"] = NO_PROMPT
    folders: dict[str, str] = {"": ""}
    view = "udf_path" if udf else "joliet_path"
    for number, (file, content) in enumerate(files.items()):
        _folder(iso, folders, file.rpartition("/")[0], view)
        place = f"{folders[file.rpartition('/')[0]]}/F{number}.;1"
        iso.add_fp(io.BytesIO(content), len(content), place, **{view: f"/{file}"})
        if file.endswith("etfsboot.com"):
            bios = place
        elif file.endswith("efisys.bin"):
            efi = place
    iso.add_eltorito(bios, "/BOOT.CAT;1", boot_load_size=8)
    if uefi:
        iso.add_eltorito(efi, efi=True, platform_id=0xEF)
    iso.write(str(path))
    iso.close()
    return path


def win7_updates(folder: Path, arch: str = "x64") -> tuple[Path, ...]:
    """Files by the names that Microsoft gives the updates a Windows 7 needs; there is nothing in them."""
    names = (
        f"windows6.1-kb4490628-{arch}.msu",
        f"windows6.1-kb4474419-v3-{arch}.msu",
        "ndp48-x86-x64-allos-enu.exe",
        f"Win7AndW2K8R2-KB3191566-{arch}.msu" if arch == "x64" else "Win7-KB3191566-x86.msu",
    )
    for name in names:
        (folder / name).write_bytes(b"pvhck test: no update")
    return tuple(folder / name for name in names)


def _folder(iso: pycdlib.PyCdlib, folders: dict[str, str], name: str, view: str) -> None:
    if name in folders:
        return
    parent = name.rpartition("/")[0]
    _folder(iso, folders, parent, view)
    folders[name] = f"{folders[parent]}/D{len(folders)}"
    iso.add_directory(folders[name], **{view: f"/{name}"})
