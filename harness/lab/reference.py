"""Writes the tables of ``docs/hosts-ini.md`` from the keys the loader knows.

``python -m harness.lab.reference docs/hosts-ini.md`` renews them between their marks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.lab.keys import HOST_KEYS, TEMPLATE_KEYS, Key

__all__ = ["renew"]


def _table(keys: Iterable[Key[Any]]) -> str:
    rows = ["| key | takes | default | meaning |", "|---|---|---|---|"]
    for key in keys:
        cells = (f"`{key.name}`", key.reader.allowed, _default(key), f"{key.meaning}{_kinds(key)}")
        rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(rows)


def _default(key: Key[Any]) -> str:
    if key.required:
        return "**required**"
    return key.shown or f"{key.default}"


def _kinds(key: Key[Any]) -> str:
    if key.only:
        return f" Only {' and '.join(key.only)}."
    if key.required and len(key.required) < len(type(key.required[0])):
        return f" Required for {' and '.join(key.required)}."
    return ""


def renew(page: str) -> str:
    """The page with fresh tables between ``<!-- keys: host -->`` (or ``template``) and ``<!-- end -->``."""
    for name, keys in (("host", HOST_KEYS), ("template", TEMPLATE_KEYS)):
        mark, end = f"<!-- keys: {name} -->", "<!-- end -->"
        before, found, rest = page.partition(mark)
        if found:
            page = f"{before}{mark}\n{_table(keys)}\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(renew(target.read_text(encoding="utf-8")), encoding="utf-8")
