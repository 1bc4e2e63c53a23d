"""xl.cfg(5) as far as the simulator reads it: ``key = value`` with numbers, strings and lists."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from harness.model import XenVersion

__all__ = [
    "CfgSyntaxError",
    "DiskConfig",
    "DomainConfig",
    "NicConfig",
    "parse_cfg",
    "parse_disk",
    "parse_legacy_disk",
    "parse_nic",
    "read_disk",
]

Value = str | int | list[str]

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|\#[^\n]*)|(?P<line>[\n;])|(?P<number>0x[0-9a-fA-F]+|-?[0-9]+(?:\.[0-9]+)?)
    |(?P<name>[A-Za-z_]\w*)|"(?P<double>[^"\n]*)"|'(?P<single>[^'\n]*)'|(?P<sign>\+=|[=\[\],])""",
    re.VERBOSE,
)
_DISK_KEYS = {"format", "vdev", "access", "target", "devtype", "backendtype", "script", "direct-io-safe"}
_KEY_SINCE = {"type": XenVersion(4, 10), "vga": XenVersion(4, 3)}
_DISK_WORDS = XenVersion(4, 2)
_FORMATS = {"raw", "qcow", "qcow2", "vhd", "qed", "empty"}


class CfgSyntaxError(Exception):
    """What xl says about a configuration that it cannot read."""


@dataclass(frozen=True)
class DiskConfig:
    """One entry of ``disk``; ``path`` is empty for an empty CD drive."""

    path: str
    vdev: str
    image_format: str = "raw"
    read_only: bool = False
    cdrom: bool = False


@dataclass(frozen=True)
class NicConfig:
    """One entry of ``vif``; ``model`` is None for a PV interface alone."""

    mac: str
    bridge: str = "xenbr0"
    model: str | None = "rtl8139"  # xl-network-configuration(5)
    model_given: bool = False


@dataclass(frozen=True)
class DomainConfig:
    """What a domain is made from. Memory in MiB, ``videoram`` too."""

    name: str
    uuid: str
    memory: int
    maxmem: int
    vcpus: int
    disks: tuple[DiskConfig, ...]
    nics: tuple[NicConfig, ...]
    videoram: int
    keys: Mapping[str, Value] = field(default_factory=dict)

    def text(self, key: str, default: str = "") -> str:
        """A key as text."""
        value = self.keys.get(key, default)
        return value if isinstance(value, str) else str(value)

    @property
    def hvm(self) -> bool:
        """Whether it is a full virtual machine."""
        return self.text("type", self.text("builder")) == "hvm"

    @property
    def serial_file(self) -> str:
        """The file the serial port is written to, "" if it is none."""
        serial = self.text("serial")
        return serial.removeprefix("file:") if serial.startswith("file:") else ""

    @property
    def has_screen(self) -> bool:
        """Whether there is a display adapter to take a picture of."""
        return self.text("vga", "cirrus") != "none"


def parse_cfg(text: str, path: str, random_bytes: bytes, version: XenVersion) -> DomainConfig:
    """A configuration file. ``random_bytes`` (16 and 3) make what it leaves out: UUID and MACs.

    Keys that xl of that version does not know yet mean nothing to it.

    Raises:
        CfgSyntaxError: with xl's words on stderr (recorded: xen-4.17/err-create-syntax.txt).
    """
    keys = {
        key: value
        for key, value in _parse_keys(text, path).items()
        if version >= _KEY_SINCE.get(key, version)
    }
    memory = _number(keys, "memory", 128)
    videoram = 0 if keys.get("vga") == "none" else 16  # xl.cfg(5): default of stdvga with upstream QEMU
    nics = _words(keys, "vif")
    return DomainConfig(
        name=str(keys.get("name", "unnamed")),
        uuid=str(keys.get("uuid", uuid.UUID(bytes=random_bytes[:16], version=4))),
        memory=memory,
        maxmem=_number(keys, "maxmem", memory),
        vcpus=_number(keys, "vcpus", 1),
        disks=tuple(read_disk(word, version) for word in _words(keys, "disk")),
        nics=tuple(parse_nic(word.split(","), random_bytes[16:19]) for word in nics),
        videoram=videoram,
        keys=keys,
    )


def read_disk(text: str, version: XenVersion) -> DiskConfig:
    """A disk as xl of that version reads it."""
    return parse_disk(text) if version >= _DISK_WORDS else parse_legacy_disk(text)


def parse_legacy_disk(text: str) -> DiskConfig:
    """A disk as xend and xl 4.1 read it: TYPE:PATH,NAME[:cdrom],r or w; without a type an empty drive.

    Raises:
        CfgSyntaxError: with the words of xl 4.1 (libxl/xl_cmdimpl.c, parse_disk_config).
    """
    behind, _, rest = text.partition(",")
    vdev, _, mode = rest.partition(",")
    kind, colon, path = behind.partition(":")
    if behind and (not colon or kind not in {"phy", "file", "tap", "tap2"}):
        raise CfgSyntaxError(f"Unknown disk type: {kind}")
    image_format = "raw"
    if kind in {"tap", "tap2"}:
        image_format, _, path = path.partition(":")
    name, _, device_type = vdev.partition(":")
    return DiskConfig(
        path=path,
        vdev=name.removeprefix("ioemu:"),
        image_format="raw" if image_format == "aio" else image_format,
        read_only=device_type == "cdrom" or not mode.startswith("w"),
        cdrom=device_type == "cdrom",
    )


def parse_disk(text: str) -> DiskConfig:
    """A disk in the syntax of xl-disk-configuration(5): named words, or target,format,vdev,access."""
    target = ""
    if "target=" in text:  # it comes last and may hold commas
        text, _, target = text.partition("target=")
    words = [word.strip() for word in text.rstrip(",").split(",") if word.strip()]
    named = {
        key: value for key, _, value in (word.partition("=") for word in words) if key in _DISK_KEYS and value
    }
    plain = [word for word in words if "=" not in word]
    cdrom = "cdrom" in plain or named.get("devtype") == "cdrom"
    plain = [word for word in plain if word != "cdrom"]
    positions = ("target", "format", "vdev", "access")
    if plain and not target and not named:
        named |= dict(zip(positions, plain, strict=False))
        target = named.get("target", "")
    image_format = named.get("format", "raw")
    return DiskConfig(
        path=target,
        vdev=named.get("vdev", "xvda"),
        image_format=image_format if image_format in _FORMATS else "raw",
        read_only=cdrom or named.get("access", "rw") in {"ro", "r"},
        cdrom=cdrom,
    )


def parse_nic(words: Sequence[str], random_bytes: bytes) -> NicConfig:
    """An interface from words ``key=value``."""
    named = dict(word.strip().split("=", 1) for word in words if "=" in word)
    mac = named.get("mac", "00:16:3e:" + ":".join(f"{byte:02x}" for byte in random_bytes))
    model = None if named.get("type") == "vif" else named.get("model", "rtl8139")
    return NicConfig(mac.lower(), named.get("bridge", "xenbr0"), model, model_given="model" in named)


def _number(keys: Mapping[str, Value], key: str, default: int) -> int:
    value = keys.get(key, default)
    return value if isinstance(value, int) else default


def _words(keys: Mapping[str, Value], key: str) -> list[str]:
    value = keys.get(key, [])
    return value if isinstance(value, list) else [str(value)]


def _parse_keys(text: str, path: str) -> dict[str, Value]:
    tokens = _Tokens(text, path)
    keys: dict[str, Value] = {}
    while tokens.kind:
        if tokens.kind == "line":
            tokens.step()
            continue
        if tokens.kind != "name":
            tokens.fail("expecting IDENT or NEWLINE or ;")
        key = tokens.step()
        if tokens.value not in {"=", "+="}:
            tokens.fail("expecting += or '='")
        tokens.step()
        keys[key] = _parse_value(tokens)
        if tokens.kind not in {"line", ""}:
            tokens.fail("expecting NEWLINE or ;")
    return keys


def _parse_value(tokens: _Tokens) -> Value:
    if tokens.kind == "number":
        return _parse_number(tokens)
    if tokens.kind in {"double", "single"}:
        return tokens.step()
    if tokens.value != "[":
        tokens.fail("expecting STRING or NUMBER or '['")
    tokens.step()
    items: list[str] = []
    while tokens.value != "]" or tokens.kind != "sign":
        if tokens.kind == "line" or (tokens.kind == "sign" and tokens.value == ","):
            tokens.step()
        elif tokens.kind in {"double", "single", "number"}:
            items.append(tokens.step())
        else:
            tokens.fail("expecting STRING or NUMBER or '['")
    tokens.step()
    return items


def _parse_number(tokens: _Tokens) -> int:
    text = tokens.value
    try:
        number = int(float(text)) if "." in text else int(text, 0)
    except (ValueError, OverflowError):  # octal, or hundreds of digits: not played
        tokens.fail("expecting another number")
    tokens.step()
    return number


class _Tokens:
    """One token of look-ahead; ``kind`` is empty at the end."""

    def __init__(self, text: str, path: str) -> None:
        self._text = text
        self._path = path
        self._at = 0
        self.line = 1
        self.kind = ""
        self.value = ""
        self.step()

    def step(self) -> str:
        """Go to the next token; gives the value of the one left."""
        left, left_kind = self.value, self.kind
        if left_kind == "line" and left == "\n":
            self.line += 1
        while True:
            match = _TOKEN.match(self._text, self._at)
            if match is None:
                self.kind, self.value = (
                    ("bad", self._text[self._at]) if self._at < len(self._text) else ("", "")
                )
                return left
            self._at = match.end()
            if match.lastgroup != "space":
                self.kind, self.value = match.lastgroup or "", match[match.lastgroup or 0]
                return left

    def fail(self, expected: str) -> NoReturn:
        """Raise what xl prints (recorded: xen-4.17/err-create-syntax.txt)."""
        names = {
            "name": "IDENT",
            "number": "NUMBER",
            "double": "STRING",
            "single": "STRING",
            "line": "NEWLINE",
        }
        found = names.get(self.kind, f"'{self.value}'")
        raise CfgSyntaxError(
            f"{self._path}:{self.line}: config parsing error near `{self.value}': "
            f"syntax error, unexpected {found}, {expected}"
        )
