"""Programs on this machine: one place that runs them and says what went wrong."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import CommandFailed, CommandTimedOut, ToolMissing

__all__ = ["run"]

_LAST_WORDS = 6  # lines of output an error shows


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    stdin: str | bytes | None = None,
    limit_s: float = 900.0,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and give its output (text, stderr mixed in).

    Raises:
        ToolMissing: there is no such program.
        CommandFailed: it ended with an exit code other than 0.
        CommandTimedOut: it was killed after ``limit_s`` seconds.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit_s,
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
            check=False,
        )
    except FileNotFoundError as error:
        raise ToolMissing(
            f"{words[0]} is not on this machine", mend="pvhck lab xen build, as root"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CommandTimedOut(f"{shlex.join(words)} had not ended after {limit_s:.0f} s") from error
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        words_said = " | ".join(output.strip().splitlines()[-_LAST_WORDS:])
        raise CommandFailed(f"{shlex.join(words)}: exit code {done.returncode}: {words_said or 'no output'}")
    return output
