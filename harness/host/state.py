"""What is kept of a host from run to run: locks and notes here, by its address, and notes on it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.lab import HostSpec

__all__ = ["moment", "read_note", "state_path"]

_LAST_MOMENT = 253402300799.0  # the end of the year 9999: later times cannot be shown


def state_path(spec: HostSpec, ending: str, folder: Path | None = None) -> Path:
    """A file for a host, whatever name hosts.ini gives it. Each user's runs have their own."""
    where = folder or Path.home() / ".local" / "state" / "pvhck" / "hosts"
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", f"{spec.address}_{spec.port}")
    return where / f"{name}.{ending}"


def read_note(text: str) -> Mapping[str, Any]:
    """The fields of a note, one JSON object.

    Raises:
        ValueError: it is no JSON.
        TypeError: it is no object.
    """
    try:
        fields = json.loads(text)
    except RecursionError as error:
        raise ValueError("a note of endless brackets") from error
    if not isinstance(fields, dict):
        raise TypeError("a note is a JSON object")
    return fields


def moment(value: Any) -> float:
    """Seconds since 1970 that can be shown as a date.

    Raises:
        ValueError: they cannot.
        TypeError: it is no number.
    """
    if not isinstance(value, int | float):
        raise TypeError(f"no time: {value!r:.80}")
    if not 0 <= value <= _LAST_MOMENT:  # false for nan
        raise ValueError(f"no time: {value!r:.80}")
    return float(value)
