"""xm's configuration: Python that is executed. The simulator takes assignments of literals, and no code."""

from __future__ import annotations

import ast
import uuid
from collections.abc import Mapping

from harness.simlab.xl.config import DomainConfig, NicConfig, parse_legacy_disk

__all__ = ["XmConfigError", "parse_xm_config", "parse_xm_nic"]


class XmConfigError(Exception):
    """What xm says about a configuration that it cannot take."""


def parse_xm_config(text: str, random_bytes: bytes) -> DomainConfig:
    """A configuration file. ``random_bytes`` (16 and 3) make what it leaves out: UUID and MACs.

    Raises:
        XmConfigError: it is no Python, or more than assignments of literals.
        CfgSyntaxError: a disk cannot be read.
    """
    keys = _assignments(text)
    memory = _number(keys, "memory", 128)
    return DomainConfig(
        name=str(keys.get("name", "unnamed")),
        uuid=str(keys.get("uuid", uuid.UUID(bytes=random_bytes[:16], version=4))),
        memory=memory,
        maxmem=_number(keys, "maxmem", memory),
        vcpus=_number(keys, "vcpus", 1),
        disks=tuple(parse_legacy_disk(word) for word in _words(keys, "disk")),
        nics=tuple(parse_xm_nic(word.split(","), random_bytes[16:19]) for word in _words(keys, "vif")),
        videoram=4,  # qemu-dm's cirrus; with stdvga 8 (xm/create.py): nothing here depends on it
        keys={
            key: value if isinstance(value, (int, str)) else [str(item) for item in value]
            for key, value in keys.items()
        },
    )


def parse_xm_nic(words: list[str], random_bytes: bytes) -> NicConfig:
    """An interface from words ``key=value``: anything but type=ioemu, which is the default, has no twin.

    Raises:
        XmConfigError: a word that xm does not know (xm/create.py, configure_vifs).
    """
    named = {}
    for word in words:
        key, equals, value = word.strip().partition("=")
        known = {"backend", "bridge", "ip", "mac", "script", "type", "vifname", "rate", "model", "accel"}
        if not equals or not value or key not in known:
            raise XmConfigError(f"Invalid argument: {word}")
        named[key] = value
    mac = named.get("mac", "00:16:3e:" + ":".join(f"{byte:02x}" for byte in random_bytes))
    model = named.get("model", "rtl8139") if named.get("type", "ioemu") == "ioemu" else None
    return NicConfig(mac.lower(), named.get("bridge", "xenbr0"), model, model_given="model" in named)


def _assignments(text: str) -> dict[str, int | str | list[str]]:
    try:
        module = ast.parse(text)
    except SyntaxError as error:
        raise XmConfigError(f"Errors were found at line {error.lineno} while processing") from error
    except (ValueError, MemoryError, RecursionError) as error:  # a NUL, or nested too deeply
        raise XmConfigError(f"Errors were found while processing: {error}") from error
    keys: dict[str, int | str | list[str]] = {}
    for line in module.body:
        match line:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                keys[name] = _literal(value)
            case _:
                raise XmConfigError(f"not played by the simulated host: {ast.unparse(line)}")
    return keys


def _literal(value: ast.expr) -> int | str | list[str]:
    try:
        found = ast.literal_eval(value)
    except (ValueError, TypeError, MemoryError, RecursionError) as error:
        line = value.lineno
        raise XmConfigError(f"not played by the simulated host: the value on line {line}") from error
    if isinstance(found, list):
        return [_bytes_as_text(str(item)) for item in found]
    return found if isinstance(found, int) else _bytes_as_text(str(found))


def _bytes_as_text(text: str) -> str:
    """Python 2's texts are bytes: what was escaped byte by byte is UTF-8 here."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _number(keys: Mapping[str, int | str | list[str]], key: str, default: int) -> int:
    value = keys.get(key, default)
    return value if isinstance(value, int) else default


def _words(keys: Mapping[str, int | str | list[str]], key: str) -> list[str]:
    value = keys.get(key, [])
    return value if isinstance(value, list) else [str(value)]
