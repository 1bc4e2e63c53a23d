"""A new section for ``hosts.ini``: checked as the loader does, and put behind all that is there.

What was there stays as it is, byte for byte, and the file is replaced at once or not at all.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from harness.errors import ConfigurationError
from harness.lab.ini import read_ini
from harness.lab.keys import HOST_KEYS
from harness.lab.load import parse_lab
from harness.lab.spec import HostSpec

__all__ = [
    "append_section",
    "host_section",
    "host_spec",
    "read_hosts_file",
    "replace_hosts_file",
    "with_host",
]

_BOM = "\ufeff"


def host_section(name: str, values: Mapping[str, str]) -> str:
    """The section's text; keys in the order of the documented table."""
    known = [key.name for key in HOST_KEYS]
    ordered = sorted(values.items(), key=lambda item: known.index(item[0]))
    return f"[host {name}]\n" + "".join(f"{key} = {value}\n" for key, value in ordered)


def host_spec(name: str, values: Mapping[str, str], source: Path) -> HostSpec:
    """What a section with these values means in the file ``source``.

    Raises:
        LabFileError: with every value that is not allowed.
    """
    return parse_lab(host_section(name, values), source).hosts[name]


def with_host(text: str, name: str, values: Mapping[str, str], source: Path) -> str:
    """The file's text with one more host at its end; what was there stays as it is, byte for byte.

    Raises:
        ConfigurationError: there is a host of that name.
        LabFileError: the file would have mistakes, or has them now.
    """
    if any(section.name == f"host {name}" for section in read_ini(text.removeprefix(_BOM)).sections):
        raise ConfigurationError(f"{source} has a host {name!r} already", mend="take another name")
    return _with_section(text, host_section(name, values), source)


def append_section(file: Path, section: str) -> None:
    """Put a section's text behind what is in a file.

    Raises:
        ConfigurationError: the file cannot be read or written.
        LabFileError: it would have mistakes, or has them now.
    """
    replace_hosts_file(file, _with_section(read_hosts_file(file), section, file))


def read_hosts_file(file: Path) -> str:
    """All that is in a file, line ends as they are; empty where there is none.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        with file.open(encoding="utf-8", newline="") as read:
            return read.read()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error


def replace_hosts_file(file: Path, text: str) -> None:
    """At once or not at all; a link stays one, and whoever could read the file still can.

    Raises:
        ConfigurationError: it cannot be written.
    """
    real = file.resolve()
    passing = real.with_name(f".{real.name}.{secrets.token_hex(4)}")
    try:
        with passing.open("w", encoding="utf-8", newline="") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        if real.exists():
            passing.chmod(real.stat().st_mode & 0o7777)
        passing.replace(real)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error}") from error
    finally:
        passing.unlink(missing_ok=True)


def _with_section(text: str, section: str, source: Path) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text.removeprefix(_BOM) else newline if text.endswith("\n") else 2 * newline
    changed = text + gap + section.replace("\n", newline)
    parse_lab(changed.removeprefix(_BOM), source)
    return changed
