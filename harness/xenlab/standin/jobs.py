"""Jobs: programs that run on in sessions of their own; what happens to them stands in files."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

from harness.operations import JobStarted, JobStatus, OperationRefused

__all__ = ["Jobs"]

_OUTPUT_LIMIT = 65536
_KILLED = 137  # what a shell reports for a program ended by SIGKILL
_NAME = re.compile(r"[0-9a-f]{32}")
# $1 is the job's folder. The exit code gets its name when it is whole.
_WRAPPER = """
folder=$1
shift
"$@" >"$folder/stdout" 2>"$folder/stderr" </dev/null
echo $? >"$folder/exit.new"
mv "$folder/exit.new" "$folder/exit"
"""


class Jobs:
    """The jobs below ``folder``; they stay known after a reboot, as ended or lost."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(self, path: str, arguments: tuple[str, ...]) -> JobStarted:
        """Start a program. A name without a slash is looked up in PATH; one that is not there exits with 127.

        Raises:
            OperationRefused: there is no file of that path.
        """
        if "/" in path and not Path(path).is_file():
            raise OperationRefused("not-found", f"there is no program {path}")
        job, folder = self._new()
        process = subprocess.Popen(
            ["/bin/sh", "-c", _WRAPPER, "job", str(folder), path, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            start_new_session=True,
        )
        (folder / "process").write_text(f"{process.pid} {_birth(process.pid)}")
        threading.Thread(target=process.wait, name="job", daemon=True).start()  # reaps it
        return JobStarted(job)

    def do(self, work: Callable[[], tuple[int, str]]) -> JobStarted:
        """Do a piece of work of our own at once, and report it as a job; it gives exit code and words."""
        job, folder = self._new()
        code, words = work()
        (folder / "stdout").write_text(words)
        (folder / "exit").write_text(str(code))
        return JobStarted(job)

    def status(self, job: str) -> JobStatus:
        """See ``GuestOperations.job_status``."""
        folder = self._known(job)
        # asked in this order: a job that ends in between has its exit code by then
        alive = _alive(folder)
        code = _exit_code(folder)
        state = "ended" if code is not None else "running" if alive else "lost"
        return JobStatus(state, code, _tail(folder / "stdout"), _tail(folder / "stderr"))  # type: ignore[arg-type]

    def stop(self, job: str) -> JobStatus:
        """End all that runs in the job's session."""
        folder = self._known(job)
        if self.status(job).state != "running":
            return self.status(job)
        session = int((folder / "process").read_text().split()[0])
        for pid in _members(session):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if _exit_code(folder) is None:
            (folder / "exit").write_text(str(_KILLED))
        return self.status(job)

    def _new(self) -> tuple[str, Path]:
        job = uuid.uuid4().hex
        folder = self._folder / job
        folder.mkdir(parents=True)
        return job, folder

    def _known(self, job: str) -> Path:
        folder = self._folder / job
        if not _NAME.fullmatch(job) or not folder.is_dir():
            raise OperationRefused("not-found", f"there is no job {job}")
        return folder


def _alive(folder: Path) -> bool:
    try:
        pid, born = (folder / "process").read_text().split()
    except (FileNotFoundError, ValueError):
        return False
    return _birth(int(pid)) == born


def _birth(pid: int) -> str:
    """When a process was started, with the boot it was started in: numbers are used again."""
    fields = _stat(pid)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{fields[19]}" if fields and fields[0] != "Z" else ""  # field 22: proc(5)


def _members(session: int) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if (fields := _stat(pid)) and fields[3] == str(session)]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _exit_code(folder: Path) -> int | None:
    try:
        return int((folder / "exit").read_text())
    except FileNotFoundError:
        return None


def _tail(path: Path) -> str:
    """The last 64 KiB as text."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _OUTPUT_LIMIT))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
