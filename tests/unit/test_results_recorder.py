"""events.jsonl and results.json: what a kill, a full disk or a secret could spoil."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from results_examples import HOSTILE, attempt, facts_of, run_facts, ticking, write_run

from harness.errors import ConfigurationError
from harness.lab import Redactor, Secret
from harness.model import FailureKind, Measurement, Outcome
from harness.results import (
    NotARun,
    Overall,
    ReportsUnwritable,
    RunEnd,
    RunRecorder,
    RunResults,
    load_results,
    recorder,
    timeless,
)
from harness.results.events import read_events
from harness.results.plain import NotReadable, plain, structured, to_json

HERE = Path(__file__).parent


def start(reports: Path, redact: object = str, run_id: str = "run-1") -> RunRecorder:
    return RunRecorder(reports, run_facts(run_id), redact, clock=ticking())


def test_what_is_written_is_read_back_equal_field_by_field(tmp_path: Path) -> None:
    record = start(tmp_path)
    record.collected([facts_of("test_a"), facts_of("test_b"), facts_of("test_c")])
    record.test_started(facts_of("test_a").id, 1)
    measured = Measurement("m", 1.5, "s", "lower", {"z": 1, "a": "x", "f": 0.5}, (1.0, 2.0), "fio", "3.33")
    failed = attempt(Outcome.FAILED, kind=FailureKind.HANG, reason=HOSTILE, evidence=("evidence/a/x.txt",))
    record.attempt_finished(facts_of("test_a").id, failed, [measured])
    record.skipped(facts_of("test_b").id, "no tool")
    written = record.finish()

    assert load_results(tmp_path / "run-1") == written
    assert written.tests[0].measurements == (measured,)
    assert written.tests[0].reason == HOSTILE
    assert written.run.not_run == (facts_of("test_c").id,)


def test_results_json_has_the_fields_of_schema_1(tmp_path: Path) -> None:
    fields = json.loads((write_run(tmp_path) / "results.json").read_text())
    assert list(fields) == ["schema", "run", "tests", "verdict"]
    assert fields["schema"] == 1
    run = {"id", "started", "finished", "profile", "argv", "harness_version", "driver_build"}
    assert run <= set(fields["run"])
    assert {"path", "packages"} <= set(fields["run"]["driver_build"])
    assert {"name", "version", "sha256"} <= set(fields["run"]["driver_build"]["packages"][0])
    of_test = "id area drivers outcome kind reason duration_s host toolstack xen_version guest measurements"
    assert {*of_test.split(), "hck", "attempts", "evidence"} <= set(fields["tests"][0])
    assert {"template", "os", "arch", "kind", "adopted"} == set(fields["tests"][0]["guest"])
    (measured,) = [test for test in fields["tests"] if len(test["measurements"]) == 1][:1]
    assert {"metric", "value", "unit", "better", "params", "samples"} <= set(measured["measurements"][0])


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_run(tmp_path / name) / "results.json" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()


def test_two_runs_of_the_same_seed_differ_in_times_and_ids_alone(tmp_path: Path) -> None:
    first = load_results(write_run(tmp_path, "run-1"))
    second = load_results(write_run(tmp_path, "run-2", started="2026-02-01T22:00:00Z"))
    assert first != second
    assert timeless(first) == timeless(second)
    assert timeless(first) != timeless(load_results(write_run(tmp_path, "run-3", level=50.0)))


def test_addresses_made_for_a_run_and_what_it_timed_itself_are_times_and_ids_too(tmp_path: Path) -> None:
    results = load_results(write_run(tmp_path))

    def variant(mac: str, address: str, seconds: float, rate: float) -> RunResults:
        test = replace(
            results.tests[0],
            reason=f"{mac} at https://{address}/wsman is silent",
            measurements=(
                Measurement("reboot_to_ready", seconds, "s", "lower", {}, (seconds,)),
                Measurement("tcp_throughput", rate, "Mbit/s", "higher", tool="iperf3"),
            ),
        )
        return timeless(replace(results, tests=(test,)))

    first = variant("00:16:3e:01:02:03", "127.4.5.1:5986", 1.5, 9.0)
    assert first == variant("00:16:3e:0a:0b:0c", "127.0.0.1:40001", 1.7, 9.0)
    assert first != variant("00:16:3e:01:02:03", "127.4.5.1:5986", 1.5, 9.1), "tools go by the seed"


def test_latest_points_to_the_newest_run_and_moves(tmp_path: Path) -> None:
    for name in ("run-1", "run-2"):
        start(tmp_path, run_id=name).finish()
        assert (tmp_path / "latest").resolve() == tmp_path / name
    assert (tmp_path / "latest").readlink() == Path("run-2"), "relative, so that the folder can be moved"


def test_a_run_that_leaves_by_an_exception_was_interrupted(tmp_path: Path) -> None:
    record = start(tmp_path)
    record.collected([facts_of("test_a")])
    record.test_started(facts_of("test_a").id, 1)
    with pytest.raises(KeyboardInterrupt), record:
        raise KeyboardInterrupt
    results = load_results(tmp_path / "run-1")
    assert (results.run.end, results.verdict.overall) == (RunEnd.INTERRUPTED, Overall.INTERRUPTED)
    assert (results.tests[0].outcome, results.tests[0].reason) == (Outcome.BROKEN, "the run was ended")


KILLED = """
import os, signal, sys
from pathlib import Path
from results_examples import attempt, facts_of, run_facts
from harness.results import RunRecorder
record = RunRecorder(Path(sys.argv[1]), run_facts(), str)
record.collected([facts_of(f"test_{number}") for number in range(3)])
record.test_started(facts_of("test_0").id, 1)
record.attempt_finished(facts_of("test_0").id, attempt())
record.test_started(facts_of("test_1").id, 1)
os.write(record._file, b'{"at": "2026", "kind": "attempt-fin')
os.kill(os.getpid(), signal.SIGKILL)
"""


def run_python(script: str, *argv: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent.parent}"}
    command = [sys.executable, "-c", script, *argv]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_after_sigkill_the_results_so_far_are_there_and_the_test_under_way_is_broken(tmp_path: Path) -> None:
    assert run_python(KILLED, str(tmp_path)).returncode == -9
    results = load_results(tmp_path / "latest")
    assert [(test.outcome, test.reason) for test in results.tests] == [
        (Outcome.PASSED, ""),
        (Outcome.BROKEN, "the run was ended"),
    ]
    assert results.run.end is RunEnd.KILLED
    assert results.run.not_run == (facts_of("test_2").id,)


def test_a_run_that_still_goes_on_is_not_taken_for_a_killed_one(tmp_path: Path) -> None:
    record = start(tmp_path)
    record.collected([facts_of("test_a")])
    record.test_started(facts_of("test_a").id, 1)
    live = load_results(record.folder)
    assert (live.run.end, live.tests) == (RunEnd.RUNNING, ())
    os.close(record._file)
    assert load_results(record.folder).run.end is RunEnd.KILLED


def test_a_result_of_a_test_that_was_never_collected_is_refused_not_lost(tmp_path: Path) -> None:
    record = start(tmp_path)
    with pytest.raises(ValueError, match="was not collected"):
        record.attempt_finished("scenarios/x.py::test_x", attempt())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_measurement_that_is_no_number_is_left_out_with_a_warning(tmp_path: Path, value: float) -> None:
    record = start(tmp_path)
    record.collected([facts_of("test_a")])
    good, bad = Measurement("good", 1.0, "s", "lower"), Measurement("bad", value, "s", "lower")
    record.attempt_finished(facts_of("test_a").id, attempt(), [good, bad])
    results = record.finish()
    assert [one.metric for one in results.tests[0].measurements] == ["good"]
    (warning,) = results.run.warnings
    assert "bad is not a number" in warning


def test_warnings_are_kept_in_order_and_survive_a_kill_messages_are_not_results(tmp_path: Path) -> None:
    record = start(tmp_path)
    record.warning("a certificate has expired")
    record.message("cloning")
    record.warning("kept: win1")
    os.close(record._file)  # as the kernel does for a killed run
    assert load_results(record.folder).run.warnings == ("a certificate has expired", "kept: win1")


def test_secrets_stand_in_no_file_also_those_learnt_later(tmp_path: Path) -> None:
    redactor = Redactor()
    record = start(tmp_path, redactor.clean)
    record.collected([facts_of("test_a")])
    redactor.add(Secret('Pa"ss<1>'))
    record.message('login with Pa"ss<1>')
    reason = 'refused Pa"ss<1>'
    measured = Measurement("m", 1.0, "s", "lower", {"user": 'Pa"ss<1>'})
    record.attempt_finished(facts_of("test_a").id, attempt(Outcome.BROKEN, reason=reason), [measured])
    record.finish()
    for name in ("events.jsonl", "results.json"):
        text = (record.folder / name).read_text()
        assert "ss<1>" not in text
        assert "refused ***" in text


def test_a_secret_that_is_one_of_our_own_words_leaves_the_file_readable(tmp_path: Path) -> None:
    redactor = Redactor()
    for word in ("higher", "passed", "simulated", "finished", "xenbus"):
        redactor.add(Secret(word))
    record = start(tmp_path, redactor.clean)
    record.collected([facts_of("test_a")])
    record.attempt_finished(facts_of("test_a").id, attempt(), [Measurement("m", 1.0, "s", "higher")])
    record.finish()
    assert load_results(record.folder).tests[0].outcome is Outcome.PASSED


def test_a_full_disk_is_a_short_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = start(tmp_path)

    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(recorder.os, "write", full)
    with pytest.raises(ReportsUnwritable) as caught:
        record.message("x")
    assert str(record.folder / "events.jsonl") in str(caught.value)
    assert "No space left on device" in str(caught.value)
    assert "free some space" in caught.value.mend


def test_after_the_end_messages_are_dropped_and_results_are_a_mistake(tmp_path: Path) -> None:
    record = start(tmp_path)
    record.collected([facts_of("test_a")])
    ended = record.finish()
    events = (record.folder / "events.jsonl").read_bytes()
    with (tmp_path / "other").open("wb"):  # gets the number that our file had
        record.message("late")
        record.warning("late")
        with pytest.raises(ValueError, match="after the end of the run"):
            record.attempt_finished(facts_of("test_a").id, attempt())
    assert (tmp_path / "other").read_bytes() == b""
    assert (record.folder / "events.jsonl").read_bytes() == events
    assert record.finish(RunEnd.INTERRUPTED) == ended


# The kernel itself cuts a write short here, as it does on a full disk.
CUT_SHORT = """
import resource, signal, sys
from pathlib import Path
from results_examples import attempt, facts_of, run_facts
from harness.results import ReportsUnwritable, RunRecorder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
record = RunRecorder(Path(sys.argv[1]), run_facts(), str)
record.collected([facts_of("test_0"), facts_of("test_1")])
record.attempt_finished(facts_of("test_0").id, attempt())
size = (record.folder / "events.jsonl").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, resource.RLIM_INFINITY))
try:
    record.message("x" * 1000)
except ReportsUnwritable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
record.attempt_finished(facts_of("test_1").id, attempt())
"""


def test_a_line_cut_short_by_a_full_disk_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    ended = run_python(CUT_SHORT, str(tmp_path))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "events.jsonl: File too large" in ended.stdout
    assert [test.outcome for test in load_results(tmp_path / "run-1").tests] == [Outcome.PASSED] * 2


def test_a_reports_folder_that_cannot_be_made_is_the_persons_mistake(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    with pytest.raises(ConfigurationError, match=r"cannot make the run's folder .*run-1"):
        start(tmp_path / "reports")


def test_a_run_never_writes_into_the_folder_of_another(tmp_path: Path) -> None:
    start(tmp_path).finish()
    with pytest.raises(ConfigurationError, match="File exists"):
        start(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("[]", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ('{"schema": 2}', "has schema 2, this version reads 1"),
        ('{"schema": 1, "run": {}}', "cannot be read"),
    ],
)
def test_a_results_file_that_is_none_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(NotARun, match=said) as caught:
        load_results(tmp_path)
    assert "results.json" in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotARun, match="holds no run"):
        load_results(tmp_path)
    (tmp_path / "events.jsonl").write_text('{"kind": "message", "at": "", "text": ""}\n')
    with pytest.raises(NotARun, match="tells of no run"):
        load_results(tmp_path)


@pytest.mark.parametrize(
    "line", ['{"kind": []}', '{"kind": {}}', "[" * 100_000, '{"kind": "message", "at": 1e400, "text": []}']
)
def test_a_line_of_another_shape_costs_itself_alone(line: str) -> None:
    assert [event.kind for event in read_events([line, '{"kind": "run-resumed", "at": ""}'])][
        -1
    ] == "run-resumed"


def test_a_measurement_in_a_word_of_another_version_is_not_readable() -> None:
    one = plain(Measurement("m", 1.0, "s", "lower", {}, ()))
    with pytest.raises(NotReadable):
        structured(one | {"better": "bigger"}, Measurement)


def test_a_results_file_with_bytes_that_are_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_bytes(b'{"schema": 1, "run": "\xff"}')
    with pytest.raises(NotARun, match="cannot be read"):
        load_results(tmp_path)


@given(st.lists(st.text(max_size=60), max_size=8))
def test_reading_events_never_stumbles_over_what_is_in_the_file(lines: list[str]) -> None:
    assert list(read_events(lines)) == []


@given(st.text(), st.floats(allow_nan=False, allow_infinity=False), st.lists(st.floats(0, 1e9), max_size=4))
def test_measurements_come_back_from_json_as_they_were(text: str, value: float, samples: list[float]) -> None:
    one = Measurement(text, value, "s", "lower", {text: text, "n": 1}, tuple(samples))
    assert structured(json.loads(to_json(plain(one))), Measurement) == one
