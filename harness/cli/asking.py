"""Questions to a person at a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from harness.errors import ConfigurationError
from harness.lab.keys import Key
from harness.lab.readers import Unfit

__all__ = ["agreed", "ask_for", "somebody_is_there"]


def somebody_is_there() -> bool:
    """Whether answers can come."""
    return sys.stdin.isatty()


def ask_for(key: Key[Any], default: str, base: Path) -> str:
    """The value of a key of hosts.ini, asked for until it is one that is allowed; empty: left out.

    Raises:
        ConfigurationError: the answers have come to their end.
    """
    print(f"\n{key.meaning}")
    while True:
        answer = _line(f"{key.name} [{default or 'none'}]: ") or default
        try:
            if answer:
                key.reader.parse(answer, base)
        except Unfit:
            # what was given is not shown again: it may be a password
            print(f"That cannot be: {key.reader.allowed}")
        else:
            return answer


def agreed(question: str, *, mend: str) -> bool:
    """Whether somebody says yes; nothing said is no.

    Raises:
        ConfigurationError: nobody is there to be asked.
    """
    if not somebody_is_there():
        raise ConfigurationError("nobody is there to be asked", mend=mend)
    return _line(f"{question} [y/N] ").lower() in {"y", "yes"}


def _line(prompt: str) -> str:
    try:
        return input(prompt).strip()
    except EOFError as error:
        raise ConfigurationError("no answer came", mend="nothing was written; begin anew") from error
