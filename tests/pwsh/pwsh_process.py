"""The module in a process of the real engine, spoken to as the channel does."""

from __future__ import annotations

import base64
import os
import select
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from harness import wire
from harness.guest import agent

__all__ = ["AgentProcess", "ask_once", "start_command"]

_PATIENCE_S = 60


def start_command(engine: Path, prelude: Path) -> list[str]:
    """The module's own command line, with the stubs loaded before its bootstrap."""
    *switches, _ = agent.command_line().split()[1:]
    script = f". '{prelude}'\n{agent.bootstrap()}"
    return [str(engine), *switches, base64.b64encode(script.encode("utf-16-le")).decode("ascii")]


class AgentProcess:
    """A kept process. ``first`` is what it announced."""

    def __init__(
        self, engine: Path, prelude: Path, env: Mapping[str, str], *, module: str | None = None
    ) -> None:
        self._process = subprocess.Popen(
            start_command(engine, prelude),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ) | dict(env),
        )
        self._unread = b""
        self._last_id = 0
        self.send(wire.encode_module(module or agent.module_text()))
        self.first = self.message()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def send(self, line: str, end: str = "\n") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write((line + end).encode("ascii"))
        self._process.stdin.flush()

    def message(self) -> wire.Ready | wire.Answer | wire.Refusal:
        """The next message; what is none of ours is passed over."""
        while True:
            message = wire.decode_message(self.line())
            if message is not None:
                return message

    def line(self) -> str:
        assert self._process.stdout is not None
        deadline = time.monotonic() + _PATIENCE_S
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise AssertionError(f"no line in {_PATIENCE_S} s; have {self._unread[:200]!r}")
            data = os.read(self._process.stdout.fileno(), 1 << 16)
            if not data:
                raise EOFError(self.end()[1])
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode("ascii").rstrip("\r")

    def ask(self, op: str, **params: Any) -> wire.Answer | wire.Refusal:
        self._last_id += 1
        self.send(wire.encode_request(wire.Request(self._last_id, op, params)))
        message = self.message()
        assert isinstance(message, wire.Answer | wire.Refusal)
        assert message.id == self._last_id
        return message

    def end(self) -> tuple[int, str]:
        """Close its stdin; its exit code and stderr."""
        if self._process.poll() is None or (self._process.stdin and not self._process.stdin.closed):
            try:
                _, stderr = self._process.communicate(timeout=_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                _, stderr = self._process.communicate()
                raise AssertionError(f"did not end with its stdin: {stderr!r}") from None
            return self._process.returncode, stderr.decode(errors="replace")
        return self._process.returncode, ""


def ask_once(
    engine: Path, prelude: Path, env: Mapping[str, str], lines: Iterable[str]
) -> tuple[list[wire.Ready | wire.Answer | wire.Refusal], int]:
    """A process that gets its whole stdin at once: its messages and exit code."""
    stdin = "".join(f"{line}\r\n" for line in [wire.encode_module(agent.module_text()), *lines])
    done = subprocess.run(
        start_command(engine, prelude),
        input=stdin.encode("ascii"),
        capture_output=True,
        env=dict(os.environ) | dict(env),
        timeout=_PATIENCE_S,
        check=False,
    )
    found = (wire.decode_message(line) for line in done.stdout.decode("ascii").splitlines())
    return [message for message in found if message is not None], done.returncode
