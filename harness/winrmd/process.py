"""Commands as real processes of this machine (Linux: sessions, pidfd)."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from harness.winrmd.commands import (
    CONTROL_C_EXIT,
    CommandRequest,
    Output,
    OutputBuffer,
    RunningCommand,
    Stream,
)

__all__ = ["ProcessRunner"]

_BLOCK = 65_536
_KILLED_S = 2.0
_SIGNALLED = 128  # added to a signal's number, as shells do


class ProcessRunner:
    """Runs what ``rewrite`` makes of a command, in a session of its own.

    The process gets this one's environment and the shell's on top, and the shell's working
    directory where that exists here. ``accepts`` says which commands are meant; all without it.
    """

    def __init__(
        self,
        rewrite: Callable[[CommandRequest], Sequence[str]],
        *,
        accepts: Callable[[CommandRequest], bool] | None = None,
    ) -> None:
        self._rewrite = rewrite
        self._accepts = accepts

    def accepts(self, request: CommandRequest) -> bool:
        """See ``CommandRunner.accepts``."""
        return self._accepts is None or self._accepts(request)

    def start(self, request: CommandRequest) -> RunningCommand:
        """See ``CommandRunner.start``."""
        folder = request.working_directory
        process = subprocess.Popen(
            list(self._rewrite(request)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder if folder and Path(folder).is_dir() else None,
            env={**os.environ, **request.environment},
            start_new_session=True,
        )
        return _Process(process)


class _Process:
    """``RunningCommand``. A thread moves its output.

    It ends when the process does, even if something it left behind still holds its pipes. Its
    process group stays reserved (the leader is not reaped) until ``terminate`` has ended the rest.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._output = OutputBuffer()
        self._stdin = threading.Lock()
        self._ending = threading.Lock()
        self._ended = False
        self._pump = threading.Thread(target=self._move_output, name="winrmd process", daemon=True)
        self._pump.start()

    def write_stdin(self, data: bytes) -> None:
        """See ``RunningCommand.write_stdin``. Waits while the process does not read."""
        stdin = _pipe(self._process.stdin)
        with self._stdin, contextlib.suppress(BrokenPipeError):
            if not stdin.closed:
                stdin.write(data)
                stdin.flush()

    def close_stdin(self) -> None:
        """See ``RunningCommand.close_stdin``."""
        with self._stdin, contextlib.suppress(BrokenPipeError):
            _pipe(self._process.stdin).close()

    def read_output(self, timeout_s: float, limit: int) -> Output:
        """See ``RunningCommand.read_output``."""
        return self._output.read(timeout_s, limit)

    @property
    def exit_code(self) -> int | None:
        """See ``RunningCommand.exit_code``; 128 + n for a process that signal n ended."""
        return self._output.exit_code

    def terminate(self) -> None:
        """See ``RunningCommand.terminate``: the whole process group is killed."""
        with self._ending:
            if self._ended:
                return
            self._ended = True
            self._output.end(CONTROL_C_EXIT)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._pump.join(_KILLED_S)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_KILLED_S)
        self.close_stdin()

    def _move_output(self) -> None:
        pipes = {
            _pipe(self._process.stdout): Stream.STDOUT,
            _pipe(self._process.stderr): Stream.STDERR,
        }
        watch = os.pidfd_open(self._process.pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(watch, selectors.EVENT_READ)
                for pipe, stream in pipes.items():
                    os.set_blocking(pipe.fileno(), False)
                    selector.register(pipe, selectors.EVENT_READ, stream)
                self._move_until_exit(selector, watch)
            for pipe, stream in pipes.items():
                while self._move(pipe.fileno(), stream):
                    pass
            self._output.end(self._read_exit_code())
        finally:
            os.close(watch)
            for pipe in pipes:
                pipe.close()

    def _move_until_exit(self, selector: selectors.BaseSelector, watch: int) -> None:
        while True:
            for key, _ in selector.select():
                if key.fd == watch:
                    return
                if not self._move(key.fd, key.data):
                    selector.unregister(key.fileobj)

    def _move(self, pipe: int, stream: Stream) -> bool:
        """Move a block; whether there was one."""
        try:
            data = os.read(pipe, _BLOCK)
        except BlockingIOError:
            return False
        self._output.write(stream, data)
        return bool(data)

    def _read_exit_code(self) -> int:
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        if ended is None:
            return CONTROL_C_EXIT
        return ended.si_status if ended.si_code == os.CLD_EXITED else _SIGNALLED + ended.si_status


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("the process was started without pipes")
    return pipe
