"""Evidence made ready for the page: screens as PNG, texts as excerpts, the rest by name."""

from __future__ import annotations

import base64
import re
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.report.images import as_png
from harness.report.words import many, plain_text, size

__all__ = ["Exhibit", "Exhibits"]

_FIRST_LINES, _LAST_LINES = 25, 60
_LONGEST_LINE = 400
_MOST_READ = 4 * 1024 * 1024
_MOST_FILES = 60
# What is read from its beginning; all else are logs.
_STATE = re.compile(r"(domains|domain-config|xenstore|notes)\b|.*\.json$")
_WHOLE_PAGE = 12 * 1024 * 1024


@dataclass(frozen=True)
class Exhibit:
    """One file of evidence. ``content`` is an excerpt of a text, or the data URI of an image.

    ``from_end``: a log, whose last lines matter most.
    """

    path: str
    href: str
    kind: Literal["image", "text", "file", "missing"]
    note: str
    content: str = ""
    from_end: bool = False


class Exhibits:
    """Reads the evidence of a run's folder, and nothing outside it, up to a size that a browser likes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._left = _WHOLE_PAGE

    def of(self, paths: Iterable[str]) -> tuple[Exhibit, ...]:
        """The files at these paths, those of folders among them; screens first."""
        found = [self._exhibit(path) for path in self._files(paths)]
        order = ("image", "text", "file", "missing")
        return tuple(sorted(found, key=lambda exhibit: order.index(exhibit.kind)))

    def _files(self, paths: Iterable[str]) -> Iterator[str]:
        for path in dict.fromkeys(paths):
            whole = self._folder / path
            if self._inside(whole) and whole.is_dir():
                files = sorted(file for file in whole.rglob("*") if file.is_file())
                yield from (str(file.relative_to(self._folder)) for file in files[:_MOST_FILES])
            else:
                yield path

    def _inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self._folder)

    def _exhibit(self, path: str) -> Exhibit:
        whole, href = self._folder / path, urllib.parse.quote(path)
        if not self._inside(whole):
            return Exhibit(path, "", "missing", "lies outside the run's folder: not read")
        try:
            length = whole.stat().st_size
            with whole.open("rb") as file:
                data = file.read(_MOST_READ)
        except OSError as error:
            return Exhibit(path, "", "missing", f"cannot be read: {error.strerror}")
        image = as_png(data) if length <= _MOST_READ else None
        if image is not None:
            return self._image(path, href, image)
        text = _text_of(data)
        if text is None:
            return Exhibit(path, href, "file", size(length))
        return self._text(path, href, text, length)

    def _image(self, path: str, href: str, png: bytes) -> Exhibit:
        uri = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
        if not self._take(len(uri)):
            return Exhibit(path, href, "file", f"{size(len(png))}, not shown: the page is full")
        return Exhibit(path, href, "image", size(len(png)), uri)

    def _text(self, path: str, href: str, text: str, length: int) -> Exhibit:
        shown, left_out = _excerpt(text)
        if not self._take(len(shown)):
            return Exhibit(path, href, "file", f"{size(length)}, not shown: the page is full")
        note = size(length) + (f", {many(left_out, 'line')} left out" if left_out else "")
        if length > _MOST_READ:
            note = f"{size(length)}, shown from its first {size(_MOST_READ)}"
        return Exhibit(path, href, "text", note, shown, from_end=_STATE.match(Path(path).name) is None)

    def _take(self, length: int) -> bool:
        if length > self._left:
            return False
        self._left -= length
        return True


def _text_of(data: bytes) -> str | None:
    """UTF-8, or UTF-16 with its mark as Windows tools write it; None for what is no text."""
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return data.decode("utf-16", errors="replace")
    return None if b"\0" in data else data.decode("utf-8-sig", errors="replace")


def _excerpt(text: str) -> tuple[str, int]:
    """Beginning and end of a text, and how many lines lie between: what killed a guest stands last."""
    lines = [_cut(line) for line in text.replace("\r\n", "\n").removesuffix("\n").split("\n")]
    left_out = len(lines) - _FIRST_LINES - _LAST_LINES
    if left_out > 0:
        gap = f"  ⋯ {many(left_out, 'line')} left out ⋯"
        lines = [*lines[:_FIRST_LINES], "", gap, "", *lines[-_LAST_LINES:]]
    return plain_text("\n".join(lines)), max(0, left_out)


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} ⋯"
