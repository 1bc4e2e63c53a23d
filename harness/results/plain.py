"""From typed values to JSON and back: the one place that knows how either is written."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from cattrs.errors import CattrsError
from cattrs.preconf.json import make_converter

__all__ = ["NotReadable", "plain", "structured", "to_json"]

T = TypeVar("T")
# cattrs lets others through beside its own.
_UNFIT = (CattrsError, ValueError, TypeError, KeyError, AttributeError, OverflowError)
_CONVERTER = make_converter(detailed_validation=False, prefer_attrib_converters=False)

# Words of a closed list that are no enumeration: a password "higher" must not make the file unreadable.
_NEVER_REDACTED = frozenset({"better"})


class NotReadable(ValueError):
    """JSON that is not what it should be."""


def plain(value: Any, redact: Callable[[str], str] = str) -> Any:
    """The value as dictionaries, lists, texts and numbers; every free text has gone through ``redact``.

    Mappings are sorted by key, so that the same values always give the same text.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name), str if field.name in _NEVER_REDACTED else redact)
            for field in dataclasses.fields(value)
        }
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {plain(key, redact): plain(value[key], redact) for key in sorted(value)}
    if isinstance(value, tuple | list):
        return [plain(element, redact) for element in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    raise TypeError(f"cannot be written to results: {type(value).__name__}")


def structured(value: Any, kind: type[T]) -> T:
    """A typed value from what JSON gave.

    Raises:
        NotReadable: a field is missing or is not what it should be.
    """
    try:
        return _CONVERTER.structure(value, kind)
    except _UNFIT as error:
        raise NotReadable(f"{type(error).__name__}: {error}"[:300]) from error


def to_json(value: Any, *, indent: int | None = None) -> str:
    """JSON text; what is not a number is refused."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
