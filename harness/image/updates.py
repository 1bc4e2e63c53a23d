"""Updates that go onto the disk before anything else: what a Windows 7 cannot do without. Pure.

WMF 5.1 needs .NET 4.5.2 or later and Windows 7 with Service Pack 1 (learn.microsoft.com, "Install and
Configure WMF 5.1"). Files signed by SHA-2 alone, as all of Microsoft's and test-signed drivers are today,
need KB4474419, and that KB4490628 before it (support.microsoft.com, "2019 SHA-2 Code Signing Support
requirement for Windows and WSUS"). None of them is shipped here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigurationError
from harness.image.oses import WindowsOs
from harness.model import Arch

__all__ = ["NEEDED", "NeededUpdate", "ordered_updates"]

# cmd.exe gives some other characters a meaning, and Joliet ends at 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,55}\.(?:msu|exe)", re.IGNORECASE)
_ARCH = re.compile(r"(?<![A-Za-z0-9])(?:(?P<x64>x64|amd64)|(?P<x86>x86))(?![A-Za-z0-9])", re.IGNORECASE)


@dataclass(frozen=True)
class NeededUpdate:
    """An update, known by its file's name as Microsoft gives it. ``both`` fits either architecture."""

    title: str
    pattern: re.Pattern[str]
    both: bool = False


# In the order in which they install.
NEEDED: tuple[NeededUpdate, ...] = (
    NeededUpdate("KB4490628, the servicing stack", re.compile(r"kb4490628", re.IGNORECASE)),
    NeededUpdate("KB4474419, SHA-2 signatures", re.compile(r"kb4474419", re.IGNORECASE)),
    NeededUpdate(
        ".NET Framework 4.5.2 or later (NDP48-x86-x64-AllOS-ENU.exe)",
        re.compile(r"ndp4(?:52|6|7|8)", re.IGNORECASE),
        both=True,
    ),
    NeededUpdate("KB3191566, Windows Management Framework 5.1", re.compile(r"kb3191566", re.IGNORECASE)),
)


def ordered_updates(os: WindowsOs, arch: Arch, given: Sequence[Path]) -> tuple[Path, ...]:
    """The files in the order in which they are to be installed; what no rule knows comes last, as given.

    Raises:
        ConfigurationError: a Windows 7 lacks some (all are named), or a file does not fit.
    """
    for path in given:
        _check(path)
    rest = list(given)
    needed = [(update, _take(update, rest, arch)) for update in (NEEDED if os.legacy else ())]
    missing = [update.title for update, path in needed if path is None]
    if missing:
        raise ConfigurationError(
            f"{os.title} ({arch}) cannot be set up without updates that are not given: {'; '.join(missing)}",
            mend="get them from the Microsoft Update Catalog, and give each by --update PATH",
        )
    return (*(path for _, path in needed if path is not None), *rest)


def _check(path: Path) -> None:
    if not _NAME.fullmatch(path.name):
        raise ConfigurationError(
            f"{path.name!r} cannot be installed", mend="an .msu or .exe file, named by A-Z a-z 0-9 . _ -"
        )
    if not path.is_file():
        raise ConfigurationError(f"there is no file {path}")


def _take(update: NeededUpdate, rest: list[Path], arch: Arch) -> Path | None:
    """The file for an update, out of those that are left."""
    for path in rest:
        if update.pattern.search(path.name) and (update.both or _fits(path.name, arch)):
            rest.remove(path)
            return path
    return None


def _fits(name: str, arch: Arch) -> bool:
    """Whether a name tells no other architecture."""
    match = _ARCH.search(name)
    return match is None or match.lastgroup == arch.value
