"""One run over a mixed lab: simulated hosts of each kind of toolstack, and a real Xen among them.

What passes on the simulated ones says nothing of any driver; that each result carries what it was seen on is
a part of what is tested. Two things go wrong on the simulated side, and are named for what they are.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from xen_runs import assert_free, run_pvhck

from harness.host.host import Host
from harness.model import GuestKind, Outcome
from harness.results import RunResults, TestResult
from harness.xenlab import RunningLab

pytestmark = [pytest.mark.xen, pytest.mark.slow]

# toolstack and version of Xen by the name of a simulated host
_SIMULATED = {
    "sim-xm34": ("xm", "3.4"),
    "sim-xl41": ("xl", "4.1"),
    "sim-xl414": ("xl", "4.14"),
    "sim-xl417": ("xl", "4.17"),
    "sim-xl420": ("xl", "4.20"),
    "sim-libvirt": ("libvirt", "4.17"),
}
_CUT, _CRASHES = "sim-cut", "win-crashes"
_REAL = "nested"
_SCENARIOS = (
    "test_xenvif_works",
    "test_the_adapter_is_the_pv_one",
    "test_a_payload_arrives_unchanged_both_ways",
    "test_a_disk_is_plugged_in_and_unplugged",
    "test_what_the_guest_writes_dom0_reads",
    "test_reboot_is_acknowledged_and_clean",
)


def _section(name: str, **keys: object) -> str:
    return f"\n[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


def _host(name: str, toolstack: str, xen: str, **more: object) -> str:
    keys = {"kind": "simulated", "toolstack": toolstack, "xen": xen, "memory": "2g", "max_guests": 1}
    return _section(f"host {name}", **keys, **more)


def _template(name: str, hosts: str, **more: object) -> str:
    keys = {"guest": "simulated", "os": "Windows 10 (simulated)", "arch": "x64", "memory": "1g"}
    return _section(f"template {name}", **keys, hosts=hosts, **more)


def _hosts_ini(real: str) -> str:
    """Each simulated host has an image of its own, as in a lab; the one that is cut shares one."""
    simulated = [_host(name, *row) for name, row in _SIMULATED.items()]
    simulated.append(_host(_CUT, "xl", "4.17", faults="power-cut@scenario"))
    simulated += [_template(f"win-{name}", name) for name in _SIMULATED if name != "sim-xl417"]
    simulated.append(_template("win-shared", f"sim-xl417 {_CUT}"))
    simulated.append(_template(_CRASHES, "sim-xl420", faults="bugcheck@scenario"))
    return real + "".join(simulated)


@pytest.fixture(scope="module")
def night(xen_lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> RunResults:
    """Its results."""
    folder = tmp_path_factory.mktemp("night")
    templates = [word for name in _templates() for word in ("--template", name)]
    words = ["run", "--build", "synthetic", *templates, "-k", " or ".join(_SCENARIOS)]
    return run_pvhck(folder, _hosts_ini(xen_lab.hosts_ini()), words, code=1)  # a guest crashes in it


def _templates() -> list[str]:
    return [
        "standin-all",
        *(f"win-{name}" for name in _SIMULATED if name != "sim-xl417"),
        "win-shared",
        _CRASHES,
    ]


def _of(night: RunResults, wanted: Callable[[TestResult], bool]) -> list[TestResult]:
    found = [test for test in night.tests if test.outcome is not Outcome.SKIPPED and wanted(test)]
    assert found
    return found


def _template_of(test: TestResult) -> str:
    return test.guest.template if test.guest is not None else ""


def test_every_host_had_its_part_with_the_toolstack_it_has(night: RunResults) -> None:
    attempts = [attempt for test in night.tests for attempt in test.attempts if attempt.host]
    assert {attempt.host for attempt in attempts} == {*_SIMULATED, _CUT, _REAL}
    drivers = {name: toolstack for name, (toolstack, _) in _SIMULATED.items()} | {_REAL: "xl"}
    for attempt in attempts:
        if attempt.host != _CUT:  # which may be gone before it was asked
            assert attempt.toolstack == drivers[attempt.host], attempt


def test_what_was_seen_on_the_real_one_and_what_on_the_simulator_is_told_apart(night: RunResults) -> None:
    for test in _of(night, lambda test: bool(test.host)):
        assert test.guest is not None
        real = test.host == _REAL
        assert test.guest.kind is (GuestKind.STAND_IN if real else GuestKind.SIMULATED), test.id
        assert test.nested is real, test.id


def test_on_the_real_one_and_on_each_healthy_host_all_passed(night: RunResults) -> None:
    healthy = _of(night, lambda test: _template_of(test) not in {_CRASHES, "win-shared"})
    assert {test.id: test.reason for test in healthy if test.outcome is not Outcome.PASSED} == {}
    assert len([test for test in healthy if test.host == _REAL]) >= len(_SCENARIOS) - 1


def test_a_host_whose_power_is_cut_is_the_labs_fault_and_its_tests_move(night: RunResults) -> None:
    struck = _of(night, lambda test: any(one.host == _CUT for one in test.attempts))
    assert {test.host for test in struck} == {"sim-xl417"}
    for test in struck:
        assert [one.outcome for one in test.attempts] == [Outcome.BROKEN, Outcome.PASSED], test.id
        assert f"host {_CUT}" in test.attempts[0].reason


def test_a_guest_that_crashes_fails_and_is_not_tried_into_green(night: RunResults) -> None:
    crashed = [test for test in night.tests if _template_of(test) == _CRASHES and test.kind is not None]
    assert crashed
    assert {str(test.kind) for test in crashed} == {"crash"}
    assert {len(test.attempts) for test in crashed} == {1}


@pytest.mark.usefixtures("night")
def test_the_real_host_is_free_again_and_nothing_is_left_there(xen_host: Host) -> None:
    assert_free(xen_host)
    assert [domain.name for domain in xen_host.toolstack.domains()] == ["Domain-0"]
