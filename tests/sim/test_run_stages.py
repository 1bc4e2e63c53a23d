"""Every switch at every stage it can strike, seen by ``pvhck run``: it struck, the test ended otherwise
than without it, whose fault it was, evidence, nothing left. ``-rP`` shows the table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_runs import FaultRun, Runs
from fault_table import PAIRS
from stage_runs import StageSpec
from stage_table import ENDURED, STRIKES, Strike, spec_of, table

from harness.model import Outcome
from harness.results import TestResult

pytestmark = pytest.mark.fault

_WELL = StageSpec(turn=0)
_DOCS = Path(__file__).parents[2] / "docs" / "outcomes-and-faults.md"
_AT_LEAST = 120

# Switches that are no matter of time: a driver's, a device's. fault_table.py has them, by scenario.
_STAGES = {
    "boot-hangs": "boot",
    "boot-hangs:xenvif": "reboot",
    "network-lost": "reboot",
    "services-missing": "verify",
    "version-mismatch": "verify",
}
_AT_INSTALL = ("device-code", "bugcheck-install", "upgrade-ignored", "removal-refused", "reboot-asked")
_ELSEWHERE = {strike.switch.partition(":")[0] for strike in STRIKES}


def _of_scenarios() -> list[tuple[str, str, str]]:
    pairs = []
    for pair in PAIRS:
        switch = pair.switch.partition(":")[0]
        if switch not in _ELSEWHERE:
            stage = "install" if switch.startswith(_AT_INSTALL) else _STAGES.get(pair.switch, "scenario")
            pairs.append((switch, stage, f"{pair.outcome}, {pair.kind}" if pair.kind else "broken"))
    return pairs


_ALL = [*((s.switch.partition(":")[0], s.stage, s.told) for s in STRIKES), *_of_scenarios()]


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Runs begin all at once, and the tests look at them one by one."""
    with Runs(tmp_path_factory.mktemp("runs")) as found:
        for item in request.session.items:
            strike = item.callspec.params.get("strike") if hasattr(item, "callspec") else None
            if item.path == request.path and isinstance(strike, Strike):
                found.begin(spec_of(strike.switch, strike.text))
        yield found


def _test_of(run: FaultRun, spec: StageSpec, text: str) -> TestResult:
    if not spec.switches:
        (test,) = run.results.tests
        return test
    template = f"win{spec.switches.index(text)}"
    return next(test for test in run.results.tests if f"[{template}]" in test.id)


@pytest.mark.parametrize("strike", STRIKES, ids=lambda strike: strike.text)
def test_a_switch_at_a_stage_is_named_for_what_it_is(runs: Runs, strike: Strike) -> None:
    spec = spec_of(strike.switch, strike.text)
    run = runs.of(spec)
    test = _test_of(run, spec, strike.text)
    first = test.attempts[0]

    assert strike.text in run.struck, "nobody met the switch"
    assert (first.outcome, first.kind) == (strike.outcome, strike.kind), first.reason
    assert re.search(strike.words, first.reason), first.reason
    assert strike.evidence <= {path.rpartition("/")[2] for path in first.evidence}
    assert first.evidence, "there is always something to say"
    assert len(test.attempts) == (2 if strike.outcome is Outcome.BROKEN else 1)
    assert "Traceback" not in run.said
    assert "fault of the harness" not in run.said
    if strike.of_host:
        assert (test.outcome, test.attempts[1].host, run.exit_code) == (Outcome.PASSED, "sim-b", 0)
    _left_nothing(run, strike)


def _left_nothing(run: FaultRun, strike: Strike) -> None:
    """What cannot be taken away from a host that does not answer is said to be there."""
    of_others = [item for item in run.left if not item.startswith("sim-a: ")]
    assert of_others == []
    if run.left:
        assert strike.of_host
        warned = [text for text in run.results.run.warnings if "could not tidy up host sim-a" in text]
        assert warned, run.left


@pytest.mark.parametrize("text", ENDURED)
def test_what_a_client_can_get_over_fails_no_test_at_any_stage(runs: Runs, text: str) -> None:
    spec = spec_of("shell-lost", text)
    run = runs.of(spec)
    test = _test_of(run, spec, text)

    assert text in run.struck
    assert (test.outcome, len(test.attempts)) == (Outcome.PASSED, 1), test.reason
    assert run.left == ()


def test_without_a_switch_the_scenario_passes(runs: Runs) -> None:
    run = runs.of(_WELL)

    assert [(test.outcome, len(test.attempts)) for test in run.results.tests] == [(Outcome.PASSED, 1)]
    assert (run.exit_code, run.struck, run.left) == (0, frozenset(), ())
    assert run.results.run.warnings == ()


def test_the_table_of_the_docs_is_what_is_struck_here() -> None:
    shown = table(_ALL)
    print(shown)  # noqa: T201  # pytest -rP shows it
    assert shown in _DOCS.read_text(), "put the table that this test prints into it"
    assert len({(switch, stage) for switch, stage, _ in _ALL}) >= _AT_LEAST
