"""XML in a program's output. The programs are ours to choose, the text comes from a guest under test."""

from __future__ import annotations

import re
from collections.abc import Collection
from xml.etree import ElementTree as ET

from harness.errors import OutputNotUnderstood

__all__ = ["read_xml"]

_DOCTYPE = re.compile(r"<!(DOCTYPE|ENTITY)", re.IGNORECASE)


def read_xml(program: str, text: str, roots: Collection[str]) -> ET.Element:
    """The XML element in a program's output, one of ``roots``; words before and after it are passed over.

    Raises:
        OutputNotUnderstood: there is none, or it is damaged or declares entities, which could be bombs.
    """
    for root in roots:
        start, end = text.find(f"<{root}"), text.rfind(f"</{root}>")
        if start < 0 or end < start:
            continue
        part = text[start : end + len(root) + 3]
        if _DOCTYPE.search(part):
            break
        try:
            return ET.fromstring(part)  # noqa: S314  # without entities, which are refused above
        except ET.ParseError as error:
            raise OutputNotUnderstood(f"{program} wrote damaged XML: {error}", text=text) from error
    raise OutputNotUnderstood(f"{program} wrote no XML", text=text)
