"""Exit codes of ``pvhck``; 0 is all well, and 1 means that tests failed."""

from __future__ import annotations

__all__ = ["EXIT_BROKEN", "EXIT_INTERRUPTED", "EXIT_NOTHING", "EXIT_USAGE"]

EXIT_USAGE = 2
EXIT_BROKEN = 3
EXIT_NOTHING = 4
EXIT_INTERRUPTED = 130
