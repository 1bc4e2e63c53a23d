"""Which scenarios run where, and why the others do not: decided at collection, without any network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

import pytest

from harness.lab import GuestTemplate, Lab, Profile
from harness.lab.match import Requirement, missing_packages, why_not, why_not_there
from harness.model import Area, DriverName
from harness.package import DriverBuild
from harness.results import GuestFacts, TestFacts
from harness.session.adopting import refusals
from harness.session.options import Adoption
from harness.session.placement import Placement

__all__ = [
    "Planned",
    "area_of",
    "drivers_of",
    "hck_of",
    "in_order",
    "is_scenario",
    "plan",
    "test_facts",
    "wanted",
]


@dataclass(frozen=True)
class Planned:
    """A test at its placement; ``reasons`` say why it cannot run, empty if it can."""

    item: pytest.Item
    placement: Placement
    template: GuestTemplate
    hosts: tuple[str, ...]
    reasons: tuple[str, ...]
    adopted: str = ""  # the domain it runs on, if that is none of ours

    @property
    def name(self) -> str:
        """The test, without its placement."""
        return self.item.nodeid.partition("[")[0]


def is_scenario(item: pytest.Item) -> bool:
    """Whether a test was placed on hosts: the others are none of ours."""
    callspec = getattr(item, "callspec", None)
    return callspec is not None and isinstance(callspec.params.get("placement"), Placement)


def wanted(item: pytest.Item, profile: Profile) -> bool:
    """Whether the profile asks for this test."""
    if area_of(item) not in profile.areas:
        return False
    name = item.nodeid
    chosen = not profile.select or any(fnmatch(name, pattern) for pattern in profile.select)
    return chosen and not any(fnmatch(name, pattern) for pattern in profile.deselect)


def plan(item: pytest.Item, lab: Lab, build: DriverBuild | None, adoption: Adoption | None = None) -> Planned:
    """Match a test's requirement against its placement's hosts, and the build against its template.

    Without ``build`` the template's own drivers are judged.
    """
    placement = placement_of(item)
    requirement = _requirement(item)
    reasons = list(placement.reasons)
    template = lab.templates[placement.template]
    if build is not None:
        reasons += missing_packages(requirement, build.names)
        if template.arch not in build.arches:
            reasons.append(f"the driver build has nothing for {template.arch}")
    if adoption is not None:
        reasons += refusals(item, adoption)
    judge = why_not if adoption is None else why_not_there
    able = []
    for name in placement.hosts if not reasons else ():
        found = judge(requirement, lab.hosts[name], template, lab)
        if found:
            reasons += [f"{name}: {reason}" for reason in found]
        else:
            able.append(name)
    adopted = adoption.domain if adoption is not None else ""
    return Planned(item, placement, template, tuple(able), () if able else tuple(reasons), adopted)


def in_order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Grouped by placement; those that leave the guest as it was first; then the areas in their order."""
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        groups.setdefault(placement_of(item).id, []).append(item)
    return [item for group in groups.values() for item in sorted(group, key=_rank)]


def placement_of(item: pytest.Item) -> Placement:
    """Where a collected scenario runs."""
    callspec = getattr(item, "callspec", None)
    placement = callspec.params.get("placement") if callspec is not None else None
    assert isinstance(placement, Placement), f"{item.nodeid} asks for no guest and no host"
    return placement


def area_of(item: pytest.Item) -> Area:
    """The area: the folder below ``scenarios``."""
    return Area(item.path.parent.name)


def drivers_of(item: pytest.Item) -> tuple[DriverName, ...]:
    """The drivers whose sheets the test counts on."""
    return tuple(name for mark in item.iter_markers("pv_drivers") for name in mark.args)


def hck_of(item: pytest.Item) -> tuple[str, ...]:
    """The HCK/HLK tests a scenario stands for."""
    return tuple(name for mark in item.iter_markers("pv_hck") for name in mark.args)


def test_facts(planned: Planned) -> TestFacts:
    """A planned test as results know it."""
    template = planned.template
    return TestFacts(
        id=planned.item.nodeid,
        area=area_of(planned.item),
        drivers=drivers_of(planned.item),
        guest=GuestFacts(template.name, template.os, template.arch, template.guest, planned.adopted),
        hck=hck_of(planned.item),
    )


def _requirement(item: pytest.Item) -> Requirement:
    mark = item.get_closest_marker("pv_requires")
    asked = mark.args[0] if mark is not None else Requirement()
    assert isinstance(asked, Requirement)
    return asked


def _rank(item: pytest.Item) -> tuple[bool, int]:
    dirties = item.get_closest_marker("pv_dirties") is not None
    return dirties, list(Area).index(area_of(item))
