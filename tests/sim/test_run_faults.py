"""Every fault switch of the simulated lab, seen by ``pvhck run``: outcome, kind, reason, evidence.

And the other way round: every scenario is shown failing for its own reason by one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fault_runs import FaultRun, Runs, RunSpec
from fault_table import (
    HOST_PAIRS,
    IN_BUILDS,
    NEVER_SHOWN,
    PAIRS,
    SURVIVED,
    WARNED,
    WITHOUT_BUILD,
    HostPair,
    Pair,
    controls,
    spec_of,
    spec_of_host,
    spec_of_survived,
)
from stage_table import STRIKES

from harness.model import GuestKind, Outcome
from harness.results import SheetVerdict, TestResult, timeless
from harness.simlab.faults import FAULT_TABLE, FaultScope

_NO_BUILD = RunSpec("network and (is_the_pv_one or connected_to_the_pv)", build=False)
_FAILING = next(pair for pair in PAIRS if pair.switch == "device-code-10:xennet")
_REPEATED = [replace(spec, turn=2) for spec in (spec_of(_FAILING), controls()[1])]


def _id(pair: Pair | HostPair) -> str:
    scenario = f"-{pair.scenario.removeprefix('test_')}" if isinstance(pair, Pair) else ""
    return f"{pair.switch}{scenario}"


def _spec(item: pytest.Item) -> list[RunSpec]:
    """What a test of this file looks at."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    match next(iter(params.values()), None):
        case HostPair(switch=switch):
            return [spec_of_host(switch)]
        case Pair(switch=""):
            return [_NO_BUILD]
        case Pair() as pair:
            return [spec_of(pair)]
        case RunSpec() as spec:
            return [spec]
        case str() as switch:
            return [spec_of_survived(switch)]
    return []


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Runs begin all at once, those that wait longest first, and the tests look at them one by one."""
    with Runs(tmp_path_factory.mktemp("runs")) as found:
        for item in request.session.items:
            if item.path == request.path:
                for spec in _spec(item):
                    found.begin(spec)
        yield found


def _is_told_well(run: FaultRun) -> None:
    """Whatever went wrong: nothing is left behind, nobody has to read a traceback, all is on record."""
    assert run.left == ()
    assert "Traceback" not in run.said
    assert "fault of the harness" not in run.said
    assert run.results.run.not_run == ()
    home = run.folder / "reports" / run.results.run.id
    assert {"events.jsonl", "results.json", "junit.xml", "index.html"} <= {p.name for p in home.iterdir()}
    assert {test.guest.kind for test in run.results.tests if test.guest} == {GuestKind.SIMULATED}


def _attempts_with_evidence(test: TestResult) -> list[frozenset[str]]:
    return [
        frozenset(path.rpartition("/")[2] for path in attempt.evidence)
        for attempt in test.attempts
        if attempt.outcome in {Outcome.FAILED, Outcome.BROKEN}
    ]


@pytest.mark.parametrize("pair", HOST_PAIRS, ids=_id)
def test_a_host_at_fault_breaks_a_test_which_passes_on_another_host(runs: Runs, pair: HostPair) -> None:
    run = runs.of(spec_of_host(pair.switch))
    test = run.test("test_xenbus_works")

    broken, passed = test.attempts
    assert (broken.outcome, broken.kind, broken.host) == (Outcome.BROKEN, None, "sim-a")
    assert re.search(pair.words, broken.reason), broken.reason
    assert broken.reason.startswith("host sim-a: ")
    assert (passed.outcome, passed.host) == (Outcome.PASSED, "sim-b")
    assert (test.outcome, run.exit_code) == (Outcome.PASSED, 0)
    assert pair.evidence <= set(run.evidence(test))
    _is_told_well(run)


@pytest.mark.parametrize("pair", [*PAIRS, *WITHOUT_BUILD], ids=_id)
def test_a_switch_shows_a_scenario_failing_for_its_own_reason(runs: Runs, pair: Pair) -> None:
    run = runs.of(spec_of(pair) if pair.switch else _NO_BUILD)
    test = run.test(pair.scenario)

    assert (test.outcome, test.kind) == (pair.outcome, pair.kind), test.reason
    assert re.search(pair.words, test.reason), test.reason
    assert run.exit_code == (3 if pair.kind is None else 1)
    for names in _attempts_with_evidence(test):
        assert pair.evidence <= names
    assert run.evidence(test)
    attempts = 2 if test.outcome is Outcome.BROKEN else 1
    assert len(test.attempts) == attempts, "what is broken runs again, what failed does not"
    failed = {str(s.name) for s in run.results.verdict.drivers if s.verdict is SheetVerdict.FAILED}
    assert failed >= set(pair.drivers)
    _is_told_well(run)


@pytest.mark.parametrize("switch", SURVIVED)
def test_what_a_client_can_get_over_does_not_fail_a_test(runs: Runs, switch: str) -> None:
    run = runs.of(spec_of_survived(switch))

    assert [(test.outcome, len(test.attempts)) for test in run.results.tests] == [(Outcome.PASSED, 1)]
    assert run.exit_code == 0
    _is_told_well(run)


@pytest.mark.parametrize("control", controls(), ids=lambda spec: spec.select.replace(" or ", "-"))
def test_without_a_switch_every_scenario_passes(runs: Runs, control: RunSpec) -> None:
    run = runs.of(control)

    wrong = [f"{test.id}: {test.outcome}: {test.reason}" for test in run.results.tests if not _passed(test)]
    assert wrong == []
    assert run.exit_code == 0
    _is_told_well(run)


@pytest.mark.parametrize("spec", _REPEATED, ids=["failing", "passing"])
def test_the_same_seed_gives_the_same_results(runs: Runs, spec: RunSpec) -> None:
    first, second = runs.of(replace(spec, turn=1)), runs.of(spec)

    assert timeless(first.results) == timeless(second.results)


def test_every_switch_is_played() -> None:
    pairs = (pair.switch for pair in (*PAIRS, *HOST_PAIRS, *STRIKES))
    played = {switch.partition(":")[0] for switch in (*SURVIVED, *WARNED, *IN_BUILDS, *pairs)}

    assert {kind.value for kind in FAULT_TABLE} - played == set()
    hosts = {kind.value for kind, entry in FAULT_TABLE.items() if entry.scope is FaultScope.HOST}
    struck = {strike.switch for strike in STRIKES if strike.of_host}
    of_hosts = {switch.partition(":")[0] for switch in {pair.switch for pair in HOST_PAIRS} | struck}
    assert hosts == of_hosts | {*WARNED, *IN_BUILDS}


def test_every_scenario_is_shown_failing_or_it_is_said_why_not(runs: Runs) -> None:
    scenarios = {
        test.id.rpartition("::")[2].partition("[")[0]
        for control in controls()
        for test in runs.of(control).results.tests
    }
    shown = {pair.scenario: pair for pair in (*WITHOUT_BUILD, *PAIRS)}

    for name in sorted(scenarios):
        pair = shown.get(name)
        how = f"{pair.switch or 'no build'}: {pair.kind or 'broken'}" if pair else NEVER_SHOWN.get(name)
        print(f"{name:<62} {how}")  # noqa: T201  # the table: pytest -rP shows it
    assert scenarios == shown.keys() | NEVER_SHOWN.keys()
    assert not shown.keys() & NEVER_SHOWN.keys(), "it is shown: take it from the list"


def _passed(test: TestResult) -> bool:
    return test.outcome is Outcome.PASSED and len(test.attempts) == 1
