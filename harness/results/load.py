"""Reading a run back, whole or killed."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

from harness.errors import ConfigurationError
from harness.results.events import read_events
from harness.results.model import SCHEMA, RunResults
from harness.results.plain import NotReadable, structured
from harness.results.recorder import EVENTS, RESULTS
from harness.results.replay import NoRun, results_of

__all__ = ["NotARun", "load_results"]


class NotARun(ConfigurationError):
    """A folder that holds no run, or one that cannot be read."""


def load_results(folder: Path) -> RunResults:
    """The results of a run's folder: results.json, or made from events.jsonl if there is none.

    Raises:
        NotARun: neither is there, or what is there cannot be read.
    """
    try:
        if (folder / RESULTS).exists():
            return _parse((folder / RESULTS).read_bytes(), folder / RESULTS)
        with (folder / EVENTS).open(encoding="utf-8", errors="replace") as lines:
            return results_of(read_events(lines), alive=_held(lines.fileno()))
    except FileNotFoundError:
        raise NotARun(f"{folder} holds no run: neither {RESULTS} nor {EVENTS} is there") from None
    except OSError as error:
        raise NotARun(f"cannot read the run in {folder}: {error.strerror}") from error
    except NoRun as error:
        raise NotARun(f"{folder / EVENTS} tells of no run") from error


def _parse(text: bytes, path: Path) -> RunResults:
    try:
        fields = json.loads(text.decode())
        schema = fields["schema"]
        if schema == SCHEMA:
            return structured(fields, RunResults)
    except (ValueError, KeyError, TypeError, NotReadable, RecursionError) as error:
        raise NotARun(f"{path} cannot be read: {error}"[:400]) from error
    raise NotARun(f"{path} has schema {schema!r}, this version reads {SCHEMA}")


def _held(file: int) -> bool:
    """Whether the run that writes this file still lives: it holds a lock on it."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False
