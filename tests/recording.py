"""``--pv-record FOLDER``: what real programs of a host said, as fixtures for the parsers.

The suites on real Xen run as ever; of each kind of command the longest answer is kept, and the longest that
is a failure. The layout is that of the other recordings: the command, its exit code, stdout, stderr.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.host.rights import right_of
from harness.host.ssh import SshShell
from harness.model import CommandResult

__all__ = ["recorded_into"]

_WANTED = {"xl", "xenstore-read", "xenstore-list", "xenstore-ls", "xen-lsevtchn", "losetup", "ip", "brctl"}
_WANTED |= {"ps", "ls", "df", "dmesg", "qemu-img", "virsh"}  # of the system
_MOST = 1 << 16  # characters of a recording


@contextmanager
def recorded_into(folder: Path) -> Iterator[None]:
    """Keep what hosts answer from now on."""
    folder.mkdir(parents=True, exist_ok=True)
    run_once = SshShell._run_once

    def kept(shell: SshShell, argv: tuple[str, ...], *rest: Any) -> CommandResult:
        result = run_once(shell, argv, *rest)
        _keep(folder, shell.spec.storage, result)
        return result

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(SshShell, "_run_once", kept)
        yield


def _keep(folder: Path, storage: str, result: CommandResult) -> None:
    right = right_of(result.argv, storage)
    if right is None or right.program not in _WANTED:
        return
    path = folder / f"{_name(right.words, result.argv)}{'' if result.ok else '-fails'}.txt"
    text = f"{shlex.join(result.argv)}\nrc={result.rc}\n{result.stdout}"
    text += f"--- stderr\n{result.stderr}" if result.stderr else ""
    if len(text) <= _MOST and (not path.exists() or len(text) > len(path.read_text(encoding="utf-8"))):
        path.write_text(text, encoding="utf-8")


def _name(pattern: Sequence[str], argv: Sequence[str]) -> str:
    """Of the words that make the kind, and of the options."""
    fixed = [word for word in pattern if re.fullmatch(r"-{0,2}[a-zA-Z][\w-]*", word) and word != "STORAGE"]
    options = [word for word in argv if re.fullmatch(r"-{1,2}[a-zA-Z]\w*", word) and word not in fixed]
    return "-".join(word.strip("-") for word in (*fixed, *options))
