"""Runs over the two slots of one host that tests can stop in the middle."""

from __future__ import annotations

from pathlib import Path

from cli_lab import Command, KeptLab, begin

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.host.lease import FOLDER
from harness.model import Outcome
from harness.results import RunResults, load_results

__all__ = ["SlotRun", "ended", "nothing_lies_there", "outcomes", "runs"]

SCENARIOS = '''
import os
import threading
from pathlib import Path

import pytest

MARKS = Path(__file__).parents[2]


def hold(name):
    """Say how far we have come, and by which process; stay until somebody lets us go on."""
    (MARKS / name).write_text(str(os.getpid()))
    for _ in range(1200):
        if (MARKS / "go").exists():
            return
        threading.Event().wait(0.05)


def test_one(guest):
    hold(f"one-{guest.name[-4:-2]}")


def test_two(guest):
    hold(f"two-{guest.name[-4:-2]}")


@pytest.mark.pv_exclusive
def test_by_itself(guest):
    busy = [name for name in ("one", "two") if (MARKS / name).exists() and not (MARKS / "go").exists()]
    assert not busy


def test_fails(guest):
    raise AssertionError("the guest has no such key")
'''


class SlotRun:
    """A ``pvhck run`` of the scenarios above, over the two slots of one host."""

    def __init__(self, folder: Path, hosts_ini: Path, *words: str | Path, room: int | None = None) -> None:
        self.folder = folder
        scenarios = folder / "scenarios" / "power"
        scenarios.mkdir(parents=True)
        (scenarios / "test_hold.py").write_text(SCENARIOS)
        options = ("--hosts", hosts_ini, "--scenarios", "scenarios", *words)
        self.command: Command = begin(folder, "run", *options, limit=room)

    @property
    def home(self) -> Path:
        """The run's folder."""
        return self.folder / "reports" / "latest"

    def process_at(self, mark: str) -> int | None:
        """The worker that came so far; None if none did yet."""
        found = list(self.folder.glob(f"{mark}-*"))
        return int(found[0].read_text() or 0) or None if found else None

    def both_under_way(self) -> bool:
        """Whether both slots are in the middle of a test."""
        return None not in {self.process_at("one"), self.process_at("two")}

    def go(self) -> None:
        """Let the tests end."""
        (self.folder / "go").touch()

    def results(self) -> RunResults:
        """What was found."""
        return load_results(self.home)


def outcomes(results: RunResults) -> dict[str, list[Outcome]]:
    """Each test's attempts."""
    return {
        test.id.rpartition("::")[2].partition("[")[0]: [attempt.outcome for attempt in test.attempts]
        for test in results.tests
    }


def ended(process: int) -> None:
    """Wait for a worker's end."""
    wait_until(
        lambda: NotYet("it runs") if runs(process) else Done(None),
        subject=f"worker {process} ends",
        deadline=Deadline.after(60),
        interval_s=0.05,
    )


def nothing_lies_there(lab: KeptLab) -> None:
    """Neither a thing of a run nor a lease."""
    assert lab.lying == ()
    assert not lab.model.files.real(f"{FOLDER}/lease.json").exists()


def runs(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return "(zombie)" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False
