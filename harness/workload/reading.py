"""Reading JSON whose shape nobody promises: a missing or odd figure is an error that shows the text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from harness.errors import OutputNotUnderstood

__all__ = ["Fields", "read_json", "to_number"]


class Fields:
    """A JSON object and the text it came from."""

    def __init__(self, values: Mapping[str, Any], text: str, where: str) -> None:
        self._values = values
        self._text = text
        self.where = where

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def fields(self, name: str) -> Fields:
        """An object inside."""
        value = self._values.get(name)
        if not isinstance(value, dict):
            raise self.wrong(f"no object {name!r}")
        return Fields(value, self._text, f"{self.where}.{name}")

    def items(self, name: str) -> list[Fields]:
        """A list of objects inside."""
        value = self._values.get(name)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(f"no list of objects {name!r}")
        return [
            Fields(item, self._text, f"{self.where}.{name}[{number}]") for number, item in enumerate(value)
        ]

    def number(self, name: str) -> float:
        """A finite number."""
        value = self._values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(f"no number {name!r}")
        try:
            number = float(value)
        except OverflowError:  # a whole number of hundreds of digits
            number = math.inf
        if not math.isfinite(number):
            raise self.wrong(f"no number {name!r}")
        return number

    def text(self, name: str) -> str:
        """A string, empty when it is not there."""
        value = self._values.get(name, "")
        return value if isinstance(value, str) else ""

    def wrong(self, what: str) -> OutputNotUnderstood:
        """The error for something that is not as it should be."""
        return OutputNotUnderstood(f"{self.where}: {what}", text=self._text)


def read_json(program: str, text: str) -> Fields:
    """The JSON object in a program's output; words before it are passed over.

    Raises:
        OutputNotUnderstood: there is none, as when the front of the output was cut off.
    """
    start = text.find("{")
    try:
        # "-nan" and the like, which old iperf3 writes, end here as well
        values, _ = json.JSONDecoder().raw_decode(text, max(start, 0))
    except (ValueError, RecursionError) as error:
        raise OutputNotUnderstood(f"{program} wrote no JSON", text=text) from error
    if not isinstance(values, dict):
        raise OutputNotUnderstood(f"{program} wrote no JSON object", text=text)
    return Fields(values, text, program)


def to_number(program: str, what: str, value: str | None, text: str) -> float:
    """A number written as text.

    Raises:
        OutputNotUnderstood: it is missing or no finite number.
    """
    try:
        number = float((value or "").strip())
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise OutputNotUnderstood(f"{program}: no number for {what}", text=text)
    return number
