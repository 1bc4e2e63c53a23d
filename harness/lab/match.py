"""Requirement against capability: what can run where, and why not. Pure, knows no network."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from harness.errors import ConfigurationError
from harness.lab.findings import nearest
from harness.lab.spec import Firmware, GuestTemplate, HostKind, HostSpec, Lab, NicModel, ToolName
from harness.model import Arch, DriverName, GuestKind, ToolstackName, XenVersion

__all__ = ["HostFound", "Pair", "Requirement", "cannot_carry", "missing_packages", "pairs", "why_not"]

T = TypeVar("T")

# What the stand-in guest has on board (facts/nested-xen.md); a simulated guest plays every tool.
_STAND_IN_TOOLS = frozenset({ToolName.IPERF3, ToolName.FIO})


@dataclass(frozen=True)
class Requirement:
    """What a scenario needs. Empty collections ask for nothing."""

    drivers: tuple[DriverName, ...] = ()  # packages the build has to hold: see missing_packages
    guests: tuple[GuestKind, ...] = ()  # one of these
    arches: tuple[Arch, ...] = ()  # one of these
    toolstacks: tuple[ToolstackName, ...] = ()  # one of these
    min_xen: XenVersion | None = None
    min_memory_mib: int = 0
    min_vcpus: int = 0
    controller: bool = False  # the guest has to reach this machine
    emulated_nic: bool = False  # a network before the PV drivers work
    tools: tuple[ToolName, ...] = ()  # all of these
    any_tool: tuple[ToolName, ...] = ()  # one of these


@dataclass(frozen=True)
class HostFound:
    """What was found on a host; None is not known yet, and then nothing is refused for it."""

    toolstack: ToolstackName | None = None
    xen: XenVersion | None = None
    arches: tuple[Arch, ...] = field(default=tuple(Arch))  # HVM guests it can run (xen_caps)


@dataclass(frozen=True)
class Pair:
    """A host and a template; ``reasons`` say why the host cannot carry it, empty if it can."""

    host: HostSpec
    template: GuestTemplate
    reasons: tuple[str, ...]


def cannot_carry(
    host: HostSpec, template: GuestTemplate, *, found: HostFound | None = None
) -> tuple[str, ...]:
    """Why a host cannot run guests of a template, in words; empty if it can."""
    found = found or HostFound()
    toolstack = _toolstack(host, found)
    reasons = []
    if template.hosts and host.name not in template.hosts:
        reasons.append(f"template {template.name} names other hosts: {', '.join(template.hosts)}")
    if (host.kind is HostKind.SIMULATED) != (template.guest is GuestKind.SIMULATED):
        reasons.append(f"host {host.name} is of kind {host.kind}, the guest is {template.guest}")
    if template.memory_mib > host.memory_mib:
        reasons.append(
            f"the guest needs {template.memory_mib} MiB, host {host.name} gives runs {host.memory_mib} MiB"
        )
    if template.vcpus > host.vcpus:
        reasons.append(f"the guest needs {template.vcpus} vCPUs, host {host.name} gives runs {host.vcpus}")
    if host.disk_mib and template.disk_mib > host.disk_mib:
        reasons.append(
            f"the guest's disk may come to {template.disk_mib} MiB, host {host.name} gives runs "
            f"{host.disk_mib} MiB"
        )
    if template.arch not in found.arches:
        reasons.append(f"host {host.name} cannot run {template.arch} HVM guests")
    if template.firmware is Firmware.UEFI and toolstack is ToolstackName.XM:
        # guess: xend hands hvmloader no choice of firmware; OVMF came with xl.
        reasons.append(f"host {host.name} is driven by xm, which cannot boot UEFI guests")
    return tuple(reasons)


def why_not(
    requirement: Requirement,
    host: HostSpec,
    template: GuestTemplate,
    lab: Lab,
    *,
    found: HostFound | None = None,
) -> tuple[str, ...]:
    """Why a requirement is not met by a guest of this template on this host; empty if it can run.

    Without ``found`` only what hosts.ini says is judged: a toolstack or a Xen version
    that is still to be found out is no reason.
    """
    found = found or HostFound()
    there = why_not_there(requirement, host, template, lab, found=found)
    return (*cannot_carry(host, template, found=found), *there)


def why_not_there(
    requirement: Requirement,
    host: HostSpec,
    template: GuestTemplate,
    lab: Lab,
    *,
    found: HostFound | None = None,
) -> tuple[str, ...]:
    """The same for a guest that is on the host already, whatever the host's share for runs."""
    return (
        *_guest_reasons(requirement, template),
        *_host_reasons(requirement, host, found or HostFound()),
        *_tool_reasons(requirement, template, lab),
    )


def missing_packages(requirement: Requirement, packages: Collection[DriverName]) -> tuple[str, ...]:
    """Why a driver build with these packages does not serve a requirement; empty if it does."""
    return tuple(
        f"the driver build has no package {driver}"
        for driver in requirement.drivers
        if driver not in packages
    )


def pairs(lab: Lab, *, hosts: Iterable[str] = (), templates: Iterable[str] = ()) -> tuple[Pair, ...]:
    """Every host with every template, or those that are named, and why a pair cannot be.

    Raises:
        ConfigurationError: a name the lab does not know.
    """
    chosen_hosts = _chosen("host", lab.hosts, tuple(hosts), lab)
    chosen_templates = _chosen("template", lab.templates, tuple(templates), lab)
    return tuple(
        Pair(host, template, cannot_carry(host, template))
        for host in chosen_hosts
        for template in chosen_templates
    )


def _chosen(what: str, there: Mapping[str, T], names: tuple[str, ...], lab: Lab) -> tuple[T, ...]:
    for name in names:
        if name not in there:
            known = ", ".join(there) or "none"
            found = f"no {what} {name!r} in {lab.source}"
            raise ConfigurationError(found, mend=f"{nearest(name, there)}known: {known}")
    return tuple(value for name, value in there.items() if not names or name in names)


def _guest_reasons(requirement: Requirement, template: GuestTemplate) -> tuple[str, ...]:
    reasons = []
    if requirement.guests and template.guest not in requirement.guests:
        reasons.append(f"for {_or(requirement.guests)} guests, not {template.guest}")
    if requirement.arches and template.arch not in requirement.arches:
        reasons.append(f"for {_or(requirement.arches)}, not {template.arch}")
    if template.memory_mib < requirement.min_memory_mib:
        reasons.append(
            f"needs {requirement.min_memory_mib} MiB, template {template.name} has {template.memory_mib} MiB"
        )
    if template.vcpus < requirement.min_vcpus:
        reasons.append(f"needs {requirement.min_vcpus} vCPUs, template {template.name} has {template.vcpus}")
    if requirement.emulated_nic and template.nic is NicModel.NONE:
        reasons.append(f"needs an emulated NIC, template {template.name} has none")
    return tuple(reasons)


def _host_reasons(requirement: Requirement, host: HostSpec, found: HostFound) -> tuple[str, ...]:
    toolstack, xen = _toolstack(host, found), _xen(host, found)
    reasons = []
    if requirement.toolstacks and toolstack is not None and toolstack not in requirement.toolstacks:
        reasons.append(f"for toolstack {_or(requirement.toolstacks)}, host {host.name} has {toolstack}")
    if requirement.min_xen is not None and xen is not None and xen < requirement.min_xen:
        reasons.append(f"needs Xen {requirement.min_xen} or later, host {host.name} has {xen}")
    if requirement.controller and not host.controller and host.kind is HostKind.SSH:
        reasons.append(
            f"guests have to reach this machine: hosts.ini names no controller for host {host.name}"
        )
    return tuple(reasons)


def _tool_reasons(requirement: Requirement, template: GuestTemplate, lab: Lab) -> tuple[str, ...]:
    there = _tools_of(template, lab)
    reasons = [
        f"no {tool} for {template.arch} {template.guest} guests"
        for tool in requirement.tools
        if tool not in there
    ]
    if requirement.any_tool and not there.intersection(requirement.any_tool):
        reasons.append(f"no {_or(requirement.any_tool)} for {template.arch} {template.guest} guests")
    mend = "; [tools] of hosts.ini names them" if template.guest is GuestKind.WINDOWS else ""
    return tuple(f"{reason}{mend}" for reason in reasons)


def _tools_of(template: GuestTemplate, lab: Lab) -> frozenset[ToolName]:
    match template.guest:
        case GuestKind.SIMULATED:
            return frozenset(ToolName)
        case GuestKind.STAND_IN:
            return _STAND_IN_TOOLS
        case GuestKind.WINDOWS:
            return frozenset(tool.name for tool in lab.tools if tool.arch is template.arch)


def _toolstack(host: HostSpec, found: HostFound) -> ToolstackName | None:
    return host.toolstack or found.toolstack or _only_toolstack(_xen(host, found))


def _xen(host: HostSpec, found: HostFound) -> XenVersion | None:
    return found.xen or host.xen


def _only_toolstack(xen: XenVersion | None) -> ToolstackName | None:
    """Xen before 4.1 has no usable toolstack but xm (facts/pv-drivers.md 8.1)."""
    return ToolstackName.XM if xen is not None and xen < XenVersion(4, 1) else None


def _or(words: Iterable[str]) -> str:
    return " or ".join(words)
