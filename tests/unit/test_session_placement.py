"""What runs where: templates by axes on pools of hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.lab import Lab
from harness.lab.load import parse_lab
from harness.lab.profile import Axis
from harness.session.placement import Selection, placements

_LAB = """
[host a]
kind = simulated
xen = 4.17
memory = 4g
[host b]
kind = simulated
xen = 4.14
memory = 4g
[host c]
kind = simulated
xen = 4.17
memory = 1g
[template big]
guest = simulated
os = Windows 10
arch = x64
memory = 2g
[template small]
guest = simulated
os = Windows 7
arch = x86
memory = 1g
"""


@pytest.fixture
def lab() -> Lab:
    return parse_lab(_LAB, Path("hosts.ini"))


def test_without_axes_all_hosts_that_can_carry_a_template_are_one_pool(lab: Lab) -> None:
    big, small = placements(lab, (), Selection())

    assert (big.id, set(big.hosts)) == ("big", {"a", "b"})
    assert (small.id, set(small.hosts)) == ("small", {"a", "b", "c"})


def test_templates_start_on_different_hosts(lab: Lab) -> None:
    big, small = placements(lab, (), Selection())

    assert big.hosts[0] != small.hosts[0]


def test_each_value_of_an_axis_has_a_placement_of_its_own(lab: Lab) -> None:
    found = {place.id: set(place.hosts) for place in placements(lab, (Axis.XEN,), Selection())}

    assert found == {
        "big-4.14": {"b"},
        "big-4.17": {"a"},
        "small-4.14": {"b"},
        "small-4.17": {"a", "c"},
    }


def test_a_template_that_no_host_can_carry_says_why(lab: Lab) -> None:
    (place,) = placements(lab, (), Selection(hosts=("c",), templates=("big",)))

    assert place.hosts == ()
    assert "needs 2048 MiB" in place.reasons[0]


def test_a_host_the_lab_does_not_know_is_named_with_what_is_known(lab: Lab) -> None:
    with pytest.raises(ConfigurationError, match=r"no host 'x'.*known: a, b, c"):
        placements(lab, (), Selection(hosts=("x",)))
