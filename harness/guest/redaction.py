"""What a transcript of a Windows must not say: secrets, names of people and machines, product ids.

The same name is replaced by the same word everywhere, so that answers and raw objects still
agree. Network addresses and hardware ids stay: they are what is being recorded.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

__all__ = ["Hidden", "hidden_names"]

T = TypeVar("T")

_COMPUTER, _USER, _DOMAIN, _PERSON = "COMPUTER", "USER", "DOMAIN", "PERSON"
# Properties of Win32_ComputerSystem and Win32_OperatingSystem, as CLIXML has them.
_PROPERTIES = {
    "Domain": _DOMAIN,
    "Workgroup": _DOMAIN,
    "UserName": _USER,
    "PrimaryOwnerName": _PERSON,
    "PrimaryOwnerContact": _PERSON,
    "RegisteredUser": _PERSON,
    "Organization": _PERSON,
}
_PROPERTY = re.compile(r'<S N="(?P<name>' + "|".join(_PROPERTIES) + r')">(?P<value>[^<]+)</S>')
# Words that tell nothing, and would tear holes where they stand for something else.
_COMMON = {"administrator", "workgroup", "system", "user", "windows", "pvhck", "guest", "localhost"}
_FEWEST_LETTERS = 3
_PATTERNS = (
    # S-1-5-21-A-B-C-RID: A, B and C are the machine's or the domain's
    (re.compile(r"S-1-5-21-\d+-\d+-\d+"), "S-1-5-21-0-0-0"),
    (re.compile(r"\b\d{5}-(?:\d{5}|\d{3}|OEM)-\d{5,7}-[A-Z0-9]{5}\b"), "00000-00000-00000-AAAAA"),
)


def hidden_names(computer: str, user: str, clixml: Iterable[str]) -> Mapping[str, str]:
    """Names to be replaced, each with its word, from what is known and from what the objects say."""
    names = {computer: _COMPUTER, user.rpartition("\\")[2]: _USER}
    for text in clixml:
        for match in _PROPERTY.finditer(text):
            # DOMAIN\USER and COMPUTER\USER: both parts
            parts = match["value"].split("\\")
            word = _PROPERTIES[match["name"]]
            for part in parts:
                names.setdefault(part, word)
    return {
        name: word
        for name, word in names.items()
        if len(name) >= _FEWEST_LETTERS and name.lower() not in _COMMON
    }


class Hidden:
    """Replaces names, patterns and secrets in every text of a value."""

    kinds = (
        "secrets known to pvhck",
        "names of computer, user, domain, owner and organization",
        "product ids",
        "SIDs of accounts",
    )

    def __init__(self, names: Mapping[str, str], redact: Callable[[str], str]) -> None:
        self._words = {name.lower(): word for name, word in names.items()}
        self._redact = redact
        # the longest first: a name may be the beginning of another
        ordered = sorted(names, key=len, reverse=True)
        self._names = (
            re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, ordered)) + r")(?!\w)", re.IGNORECASE)
            if ordered
            else None
        )

    def clean(self, value: T) -> T:
        """The same value with other texts; keys and field names stay."""
        return self._clean(value)  # type: ignore[no-any-return]

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {key: self._clean(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._clean(one) for one in value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            changed = {one.name: self._clean(getattr(value, one.name)) for one in dataclasses.fields(value)}
            return dataclasses.replace(value, **changed)
        return value

    def _text(self, text: str) -> str:
        text = self._redact(text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        if self._names is not None:
            text = self._names.sub(lambda match: self._words[match[0].lower()], text)
        return text
