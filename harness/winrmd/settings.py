"""How an endpoint is set up: who may log in, and the quotas of ``winrm get winrm/config``."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Credentials", "LongLine", "WinRmSettings"]


@dataclass(frozen=True)
class Credentials:
    """The one account that may log in. The user name's case and domain do not matter."""

    user: str
    password: str = field(repr=False)


class LongLine(StrEnum):
    """What becomes of a command line beyond the limit; both were seen (facts/winrm.md 1.4)."""

    ERROR_TEXT = "error-text"  # "The command line is too long." and exit code 1
    SILENCE = "silence"  # no output and exit code 0


@dataclass(frozen=True)
class WinRmSettings:
    """The service's configuration. Unlike stock Windows, Basic and plain text are allowed by default.

    ``product`` is what Identify answers with. ``stream_piece`` is the most bytes one Stream element
    carries; Windows splits output anywhere, so a small one finds clients that rely on lines.
    """

    basic: bool = True
    negotiate: bool = True
    allow_unencrypted: bool = True
    max_shells_per_user: int = 30
    max_concurrent_operations: int = 1500
    max_envelope_kib: int = 500
    max_timeout_s: float = 60.0
    idle_timeout_s: float = 7200.0
    command_line_limit: int = 8191
    long_line: LongLine = LongLine.ERROR_TEXT
    stream_piece: int = 32_768
    product: str = "OS: 10.0.17763 SP: 0.0 Stack: 3.0"
