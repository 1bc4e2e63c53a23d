"""What runs where: tests by template by axis, each with the hosts that can carry it. Pure.

A test runs once per template and per value of each axis its profile names; the
hosts that no axis tells apart are a pool, of which any one will do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from harness.lab import HostSpec, Lab
from harness.lab.match import Pair, pairs
from harness.lab.profile import Axis

__all__ = ["Placement", "Selection", "placements"]


@dataclass(frozen=True)
class Selection:
    """What the person narrowed the lab down to; empty means everything."""

    hosts: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Placement:
    """A template on one pool of hosts. ``hosts`` are names in order of preference."""

    template: str
    axes: Mapping[Axis, str]
    hosts: tuple[str, ...]
    reasons: tuple[str, ...] = ()  # why no host can carry it

    @property
    def id(self) -> str:
        """As it stands in brackets behind a test's name."""
        return "-".join([self.template, *self.axes.values()])


def placements(lab: Lab, axes: Sequence[Axis], selection: Selection) -> tuple[Placement, ...]:
    """All placements of a lab, in the order of its file; one that no host can carry says why.

    Templates start on different hosts of their pool, so that a small lab is used evenly.

    Raises:
        ConfigurationError: the selection names a host or a template the lab does not know.
    """
    found = []
    by_template: dict[str, list[Pair]] = {}
    for pair in pairs(lab, hosts=selection.hosts, templates=selection.templates):
        by_template.setdefault(pair.template.name, []).append(pair)
    for number, (template, candidates) in enumerate(by_template.items()):
        carriers = [pair.host for pair in candidates if not pair.reasons]
        if not carriers:
            reasons = tuple(reason for pair in candidates for reason in pair.reasons)
            found.append(Placement(template, {}, (), reasons))
        for values in _axis_values(carriers, axes) if carriers else ():
            pool = [host.name for host in carriers if _on_axes(host, values)]
            start = number % len(pool) if pool else 0
            if pool:
                found.append(Placement(template, values, (*pool[start:], *pool[:start])))
    return tuple(found)


def _axis_values(hosts: Sequence[HostSpec], axes: Sequence[Axis]) -> list[dict[Axis, str]]:
    values = [sorted({_axis(host, axis) for host in hosts}) for axis in axes]
    return [dict(zip(axes, combination, strict=True)) for combination in product(*values)]


def _axis(host: HostSpec, axis: Axis) -> str:
    match axis:
        case Axis.HOST:
            return host.name
        case Axis.TOOLSTACK:
            return host.toolstack.value if host.toolstack else "auto"
        case Axis.XEN:
            return str(host.xen) if host.xen else "unknown"


def _on_axes(host: HostSpec, values: Mapping[Axis, str]) -> bool:
    return all(_axis(host, axis) == value for axis, value in values.items())
