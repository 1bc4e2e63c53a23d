"""What went over a channel, for the evidence: never a password, never a parameter's value."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Exchange", "ExchangeLog"]


@dataclass(frozen=True)
class Exchange:
    """One operation asked: how long it took and how it ended. Never a parameter's value."""

    at: float
    op: str
    request_bytes: int
    answer_bytes: int
    duration_s: float
    ended: str


class ExchangeLog:
    """What went over a channel, kept in order for the evidence."""

    def __init__(self, limit: int = 2000) -> None:
        self._exchanges: deque[Exchange] = deque(maxlen=limit)

    def add(self, exchange: Exchange) -> None:
        """Keep one; the oldest goes when there are too many."""
        self._exchanges.append(exchange)

    def lines(self) -> str:
        """All of them as JSON lines."""
        return "".join(json.dumps(asdict(exchange)) + "\n" for exchange in tuple(self._exchanges))

    def write(self, path: Path) -> None:
        """All of them into a file."""
        path.write_text(self.lines(), encoding="utf-8")
