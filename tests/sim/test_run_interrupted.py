"""Ctrl-C, SIGTERM and SIGKILL at every stage of a run: what was found is kept, and nothing stays on the host.

SIGINT and SIGTERM are one to the run, so the stages take turns.
"""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_lab import PVHCK, Command, KeptLab, Said, begin, kept_lab, pvhck

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.model import Arch, Outcome
from harness.package.synthetic import make_build
from harness.results import RunEnd, RunResults, load_results
from harness.results.recorder import EVENTS, RESULTS

SIGINT, SIGTERM, SIGKILL = signal.SIGINT, signal.SIGTERM, signal.SIGKILL

SCENARIOS = '''
import threading
from pathlib import Path

import pytest

MARKS = Path(__file__).parents[2]


def hold(name):
    """Say how far we have come, and stay there until a signal comes."""
    (MARKS / name).touch()
    threading.Event().wait(120)


def test_first(guest):
    pass


def test_work(guest, data_disks, traffic, payloads, bare_guest):
    data_disks.attach_blocks(4, 4, seconds=30)
    hold("body")


@pytest.fixture
def careful(guest):
    yield
    (MARKS / "seen").write_text(str(guest.host.toolstack.find(guest.name)))


@pytest.fixture
def slow(guest):
    yield
    hold("teardown")


def test_careful(careful):
    hold("body")


def test_slow(slow):
    pass


def test_stubborn(slow):
    hold("body")


def test_failing(guest):
    raise AssertionError("the guest has no such key")
'''


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptLab]:
    with kept_lab(tmp_path_factory.mktemp("kept")) as kept:
        yield kept


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("build") / "new", version="9.1.0.2", arches=[Arch.X64])


class Run:
    """A ``pvhck run`` of the scenarios above in a folder of its own, and how far it has come."""

    def __init__(self, folder: Path, lab: KeptLab, *words: str | Path) -> None:
        self.folder = folder
        scenarios = folder / "scenarios" / "power"
        scenarios.mkdir(parents=True)
        (scenarios / "test_hold.py").write_text(SCENARIOS)
        options = ("--hosts", lab.hosts_ini(), "--scenarios", "scenarios", "-j", "1", *words)
        self.command: Command = begin(folder, "run", *options)

    @property
    def home(self) -> Path:
        """The run's folder."""
        return self.folder / "reports" / "latest"

    def told(self, text: str) -> Callable[[], bool]:
        """Whether its events tell of something."""
        return lambda: text in ((self.home / EVENTS).read_text() if self.home.exists() else "")

    def said(self, text: str) -> Callable[[], bool]:
        """Whether it said something on its terminal."""
        return lambda: any(text in (self.folder / name).read_text() for name in ("out", "err"))

    def at(self, mark: str) -> Callable[[], bool]:
        """Whether a scenario came so far."""
        return (self.folder / mark).exists

    def stop(self, reached: Callable[[], bool], number: signal.Signals) -> Said:
        """Send the signal when a stage is reached, and wait for the end."""
        with self.command as command:
            command.wait_for(reached, "the stage")
            command.signal(number)
            return command.end()


def outcomes(results: RunResults) -> dict[str, Outcome]:
    return {test.id.rpartition("::")[2].partition("[")[0]: test.outcome for test in results.tests}


def ended_well(run: Run, ended: Said, lab: KeptLab) -> RunResults:
    """Interrupted, all reports are there, and nothing is left, neither there nor here."""
    ended.demand(130, "Interrupted with")
    assert lab.lying == ()
    assert list((run.folder / "tmp").iterdir()) == []
    results = load_results(run.home)
    assert results.run.end is RunEnd.INTERRUPTED
    assert json.loads((run.home / RESULTS).read_text())["run"]["end"] == "interrupted"
    assert "the run was ended" in (run.home / "junit.xml").read_text() or not results.run.not_run
    assert (run.home / "index.html").read_text().rstrip().endswith("</html>")
    return results


# -- Ctrl-C and SIGTERM


@pytest.mark.parametrize(
    ("stage", "number"),
    [("cloning ", SIGINT), ("starting ", SIGTERM), (": install xeniface", SIGINT)],
    ids=["clone", "boot", "install"],
)
def test_while_a_guest_is_made_nothing_of_it_stays(
    tmp_path: Path, lab: KeptLab, build: Path, stage: str, number: signal.Signals
) -> None:
    run = Run(tmp_path, lab, "-k", "first or work", "--build", build)
    results = ended_well(run, run.stop(run.told(stage), number), lab)
    assert outcomes(results) == {"test_first": Outcome.BROKEN}
    assert [name.partition("[")[0].rpartition("::")[2] for name in results.run.not_run] == ["test_work"]


def test_while_the_host_is_locked_nothing_stays(tmp_path: Path, lab: KeptLab) -> None:
    run = Run(tmp_path, lab, "-k", "first")
    ended_well(run, run.stop(lambda: lab.lying != (), SIGINT), lab)


def test_while_a_scenario_has_disks_and_traffic_under_way_nothing_stays(
    tmp_path: Path, lab: KeptLab, build: Path
) -> None:
    run = Run(tmp_path, lab, "-k", "first or work", "--build", build)
    results = ended_well(run, run.stop(run.at("body"), SIGTERM), lab)
    assert outcomes(results) == {"test_first": Outcome.PASSED, "test_work": Outcome.BROKEN}
    assert lab.model.ports.in_use() == set(), "the other end of the traffic listens on"


def test_what_a_scenario_made_is_taken_back_while_its_guest_is_still_there(
    tmp_path: Path, lab: KeptLab
) -> None:
    run = Run(tmp_path, lab, "-k", "careful")
    ended_well(run, run.stop(run.at("body"), SIGINT), lab)
    assert "pvhck-" in (tmp_path / "seen").read_text()


def test_while_a_scenario_is_taken_back_nothing_stays(tmp_path: Path, lab: KeptLab) -> None:
    run = Run(tmp_path, lab, "-k", "slow")
    ended_well(run, run.stop(run.at("teardown"), SIGTERM), lab)


def test_while_evidence_is_gathered_the_failure_it_is_of_is_kept(tmp_path: Path, lab: KeptLab) -> None:
    run = Run(tmp_path, lab, "-k", "failing")
    results = ended_well(run, run.stop(run.told("gathering evidence of"), SIGINT), lab)
    assert [(test.outcome, test.reason) for test in results.tests] == [
        (Outcome.FAILED, "the guest has no such key")
    ]


def test_while_the_hosts_are_tidied_up_that_goes_on_to_its_end(tmp_path: Path, lab: KeptLab) -> None:
    run = Run(tmp_path, lab, "-k", "first")
    results = ended_well(run, run.stop(run.told("attempt-finished"), SIGTERM), lab)
    assert outcomes(results) == {"test_first": Outcome.PASSED}


def test_while_the_reports_are_written_they_are_written_to_their_end(tmp_path: Path, lab: KeptLab) -> None:
    run = Run(tmp_path, lab, "-k", "first")
    ended = run.stop(run.told("run-finished"), SIGINT)
    ended.demand(0)
    assert load_results(run.home).run.end is RunEnd.FINISHED
    assert (run.home / RESULTS).exists()
    assert (run.home / "index.html").read_text().rstrip().endswith("</html>")
    assert lab.lying == ()


def test_a_second_ctrl_c_is_only_told_that_it_is_tidied_up(tmp_path: Path, lab: KeptLab) -> None:
    run = Run(tmp_path, lab, "-k", "careful")
    with run.command as command:
        command.wait_for(run.at("body"), "the scenario")
        command.signal(SIGINT)
        command.wait_for(run.at("seen"), "tidying up")
        command.signal(SIGINT)
        ended = command.end()
    ended.demand(130, "pvhck: tidying up")
    ended_well(run, ended, lab)


def test_a_third_ctrl_c_leaves_the_rest_to_the_sweep_and_keeps_the_results(
    tmp_path: Path, lab: KeptLab
) -> None:
    run = Run(tmp_path, lab, "-k", "first or stubborn")
    with run.command as command:
        for reached in (run.at("body"), run.at("teardown"), run.said("pvhck: tidying up")):
            command.wait_for(reached, "the next Ctrl-C")
            command.signal(SIGINT)
        ended = command.end()
    ended.demand(130, "Interrupted with", "pvhck lab sweep")
    assert outcomes(load_results(run.home)) == {"test_first": Outcome.PASSED, "test_stubborn": Outcome.BROKEN}
    assert lab.guests != ()
    sweep(tmp_path, lab)


def test_ctrl_c_while_pvhck_starts_shows_no_traceback(tmp_path: Path, lab: KeptLab) -> None:
    with _as_people_call_it(tmp_path, "plan", "--hosts", lab.hosts_ini()) as process:
        maps = Path(f"/proc/{process.pid}/maps")
        ended = _interrupt(process, lambda: "cryptography" in maps.read_text())
    assert ended == (-SIGINT, "", "")  # 130 to a shell


def test_ctrl_c_while_pvhck_ends_shows_no_traceback(tmp_path: Path, lab: KeptLab) -> None:
    (tmp_path / "scenarios" / "power").mkdir(parents=True)
    (tmp_path / "scenarios" / "power" / "test_end.py").write_text(
        f"import atexit\n{SCENARIOS}\natexit.register(hold, 'end')\n"
    )
    words = ("plan", "--hosts", lab.hosts_ini(), "--scenarios", "scenarios", "-k", "first")
    with _as_people_call_it(tmp_path, *words) as process:
        code, out, err = _interrupt(process, (tmp_path / "end").exists)
    assert (code, err) == (-SIGINT, "")
    assert "1 can run" in out


def test_an_interrupted_doctor_takes_its_clone_away(tmp_path: Path, lab: KeptLab) -> None:
    with begin(tmp_path, "doctor", "--hosts", lab.hosts_ini()) as command:
        command.wait_for(lambda: lab.guests != (), "the clone")
        command.signal(SIGINT)
        command.end().demand(130, "pvhck: interrupted")
    assert lab.lying == ()


# -- SIGKILL


def test_after_a_kill_the_run_is_told_from_its_events_and_a_sweep_removes_the_rest(
    tmp_path: Path, lab: KeptLab, build: Path
) -> None:
    run = Run(tmp_path, lab, "-k", "first or work", "--build", build)
    assert run.stop(run.at("body"), SIGKILL).code == -SIGKILL
    _lock_is_free(lab)
    run_id = run.home.resolve().name
    assert {f"pvhck-{run_id}-1", f"pvhck-{run_id}-2"} <= set(lab.lying)

    hosts = lab.hosts_ini()
    status = pvhck(tmp_path, "lab", "status", "--hosts", hosts)
    status.demand(0, f"run {run_id}: dead, left over", f"pvhck-{run_id}-1: running", "-> pvhck lab sweep far")
    assert not (run.home / RESULTS).exists()
    pvhck(tmp_path, "report").demand(0, "Killed with 2 of 2 tests done", "1 passed", "1 broken")
    results = load_results(run.home)
    assert results.run.end is RunEnd.KILLED
    assert outcomes(results) == {"test_first": Outcome.PASSED, "test_work": Outcome.BROKEN}
    assert (run.home / "index.html").exists()

    sweep(tmp_path, lab, f"far: removing domain pvhck-{run_id}-1", "far: removing loop device")
    assert run_id not in pvhck(tmp_path, "lab", "status", "--hosts", hosts).out


def test_after_a_kill_while_a_guest_is_made_the_next_run_sweeps(tmp_path: Path, lab: KeptLab) -> None:
    killed = Run(tmp_path / "killed", lab, "-k", "first")
    killed.stop(killed.told("starting "), SIGKILL)
    _lock_is_free(lab)
    run_id = killed.home.resolve().name
    assert any(run_id in thing for thing in lab.lying)
    with Run(tmp_path / "next", lab, "-k", "first").command as command:
        command.end().demand(0, f"far: removing file /var/lib/pvhck/runs/{run_id}/pvhck-{run_id}-1.img")
    assert lab.lying == ()


def test_after_a_kill_while_reports_are_written_they_are_made_again(tmp_path: Path, lab: KeptLab) -> None:
    run = Run(tmp_path, lab, "-k", "first")
    run.stop(run.told("run-finished"), SIGKILL)
    assert lab.lying == ()
    pvhck(tmp_path, "report").demand(0, "1 passed")
    assert load_results(run.home).run.end is RunEnd.FINISHED
    assert (run.home / "index.html").read_text().rstrip().endswith("</html>")


def sweep(folder: Path, lab: KeptLab, *words: str) -> None:
    """Sweep the host, and look that nothing is left."""
    pvhck(folder, "lab", "sweep", "--hosts", lab.hosts_ini()).demand(0, "1 dead run(s) swept", *words)
    assert lab.lying == ()


def _lock_is_free(lab: KeptLab) -> None:
    """The host has noticed that the run is gone."""
    locks = list(lab.model.files.real(f"{lab.spec.storage}/runs").glob("*/alive"))

    def probe() -> Done[None] | NotYet:
        for path in locks:
            with path.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return NotYet(f"{path} is held")
        return Done(None)

    wait_until(probe, subject="the locks are free", deadline=Deadline.after(30), interval_s=0.05)


def _as_people_call_it(folder: Path, *words: str | Path) -> subprocess.Popen[str]:
    # a shell that runs the tests in the background has them ignore Ctrl-C
    argv = ["env", "--default-signal=INT", PVHCK, *words]
    return subprocess.Popen(argv, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _interrupt(process: subprocess.Popen[str], reached: Callable[[], bool]) -> tuple[int, str, str]:
    wait_until(
        lambda: Done(None) if reached() else NotYet("not there yet"),
        subject="the stage",
        deadline=Deadline.after(60),
        interval_s=0.01,
    )
    process.send_signal(SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err
