"""A new section for ``hosts.ini``: checked as the loader does, and put behind all that is there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.errors import ConfigurationError
from harness.lab.ini import read_ini
from harness.lab.keys import HOST_KEYS
from harness.lab.load import parse_lab
from harness.lab.spec import HostSpec

__all__ = ["host_section", "host_spec", "with_host"]

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
    newline = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text.removeprefix(_BOM) else newline if text.endswith("\n") else 2 * newline
    changed = text + gap + host_section(name, values).replace("\n", newline)
    parse_lab(changed.removeprefix(_BOM), source)
    return changed
