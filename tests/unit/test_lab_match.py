"""Requirement against capability: what cannot run says why, what can says nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.lab import Firmware, GuestTemplate, HostKind, HostSpec, Lab, NicModel, Tool, ToolName
from harness.lab.match import HostFound, Requirement, cannot_carry, missing_packages, pairs, why_not
from harness.model import Arch, DriverName, GuestKind, ToolstackName, XenVersion

HOST = HostSpec("h", HostKind.SSH, "h.example", controller="192.0.2.1")
TEMPLATE = GuestTemplate("t", GuestKind.WINDOWS, "t.qcow2", "W", Arch.X64, vcpus=2, memory_mib=2048)
LAB = Lab(
    Path("hosts.ini"), {"h": HOST}, {"t": TEMPLATE}, (Tool(ToolName.FIO, Arch.X64, Path("fio"), "0" * 64),)
)
EVERYTHING = Requirement(
    drivers=tuple(DriverName),
    guests=(GuestKind.WINDOWS,),
    arches=(Arch.X64,),
    toolstacks=(ToolstackName.XL,),
    min_xen=XenVersion(4, 17),
    min_memory_mib=2048,
    min_vcpus=2,
    controller=True,
    emulated_nic=True,
    tools=(ToolName.FIO,),
    any_tool=(ToolName.DISKSPD, ToolName.FIO),
)
FOUND = HostFound(ToolstackName.XL, XenVersion(4, 17))


def test_a_requirement_that_is_met_to_the_last_has_no_reasons() -> None:
    assert why_not(EVERYTHING, HOST, TEMPLATE, LAB, found=FOUND) == ()


@pytest.mark.parametrize(
    ("requirement", "reason"),
    [
        (Requirement(guests=(GuestKind.STAND_IN, GuestKind.SIMULATED)), "for stand-in or simulated guests"),
        (Requirement(arches=(Arch.X86,)), "for x86, not x64"),
        (Requirement(toolstacks=(ToolstackName.XM,)), "for toolstack xm, host h has xl"),
        (Requirement(min_xen=XenVersion(4, 18)), "needs Xen 4.18 or later, host h has 4.17"),
        (Requirement(min_memory_mib=2049), "needs 2049 MiB, template t has 2048 MiB"),
        (Requirement(min_vcpus=3), "needs 3 vCPUs, template t has 2"),
        (Requirement(tools=(ToolName.FIO, ToolName.IPERF3)), "no iperf3 for x64 windows guests; [tools]"),
        (Requirement(any_tool=(ToolName.NTTTCP, ToolName.IPERF3)), "no ntttcp or iperf3 for x64 windows"),
    ],
)
def test_each_unmet_requirement_gives_one_reason_in_words(requirement: Requirement, reason: str) -> None:
    (said,) = why_not(requirement, HOST, TEMPLATE, LAB, found=FOUND)
    assert said.startswith(reason)


def test_a_host_without_controller_address_and_a_template_without_emulated_nic_say_so() -> None:
    reasons = why_not(EVERYTHING, replace(HOST, controller=""), replace(TEMPLATE, nic=NicModel.NONE), LAB)
    assert [reason.split(",")[0] for reason in reasons] == [
        "needs an emulated NIC",
        "guests have to reach this machine: hosts.ini names no controller for host h",
    ]


def test_what_is_not_known_yet_refuses_nothing() -> None:
    requirement = Requirement(toolstacks=(ToolstackName.XM,), min_xen=XenVersion(9, 9))
    assert why_not(requirement, HOST, TEMPLATE, LAB) == ()
    assert len(why_not(requirement, HOST, TEMPLATE, LAB, found=FOUND)) == 2


def test_what_was_found_on_the_host_counts_more_than_the_declared_version() -> None:
    declared = replace(HOST, xen=XenVersion(4, 20))
    requirement = Requirement(min_xen=XenVersion(4, 18))
    assert why_not(requirement, declared, TEMPLATE, LAB) == ()
    assert why_not(requirement, declared, TEMPLATE, LAB, found=FOUND) != ()


def test_simulated_and_stand_in_guests_bring_their_own_tools() -> None:
    lab = replace(LAB, tools=())
    simulated = replace(HOST, kind=HostKind.SIMULATED), replace(TEMPLATE, guest=GuestKind.SIMULATED)
    assert why_not(Requirement(tools=tuple(ToolName)), *simulated, lab) == ()
    stand_in = replace(TEMPLATE, guest=GuestKind.STAND_IN)
    assert why_not(Requirement(tools=(ToolName.FIO,)), HOST, stand_in, lab) == ()
    assert why_not(Requirement(tools=(ToolName.DISKSPD,)), HOST, stand_in, lab) == (
        "no diskspd for x64 stand-in guests",
    )


def test_tools_of_the_other_architecture_do_not_count() -> None:
    assert why_not(Requirement(tools=(ToolName.FIO,)), HOST, replace(TEMPLATE, arch=Arch.X86), LAB) != ()


@pytest.mark.parametrize(
    ("host", "template", "found", "reason"),
    [
        ({}, {"hosts": ("x", "y")}, None, "template t names other hosts: x, y"),
        ({"kind": HostKind.SIMULATED}, {}, None, "host h is of kind simulated, the guest is windows"),
        ({}, {"guest": GuestKind.SIMULATED}, None, "host h is of kind ssh, the guest is simulated"),
        ({"memory_mib": 1024}, {}, None, "the guest needs 2048 MiB, host h gives runs 1024 MiB"),
        ({"vcpus": 1}, {}, None, "the guest needs 2 vCPUs, host h gives runs 1"),
        ({}, {}, HostFound(arches=(Arch.X86,)), "host h cannot run x64 HVM guests"),
        ({"toolstack": ToolstackName.XM}, {"firmware": Firmware.UEFI}, None, "host h is driven by xm"),
        ({"xen": XenVersion(3, 4)}, {"firmware": Firmware.UEFI}, None, "host h is driven by xm"),
    ],
)
def test_a_host_that_cannot_carry_a_template_says_why(host, template, found, reason: str) -> None:
    (said,) = cannot_carry(replace(HOST, **host), replace(TEMPLATE, **template), found=found)
    assert said.startswith(reason)


def test_a_host_that_can_carry_a_template_says_nothing() -> None:
    exact = replace(HOST, memory_mib=TEMPLATE.memory_mib, vcpus=TEMPLATE.vcpus)
    assert cannot_carry(exact, replace(TEMPLATE, hosts=("x", "h"))) == ()
    assert (
        cannot_carry(replace(HOST, toolstack=ToolstackName.XL), replace(TEMPLATE, firmware=Firmware.UEFI))
        == ()
    )


def test_missing_packages_are_named_in_the_order_of_the_requirement() -> None:
    requirement = Requirement(drivers=(DriverName.XENVBD, DriverName.XENBUS, DriverName.XENVIF))
    assert missing_packages(requirement, {DriverName.XENBUS}) == (
        "the driver build has no package xenvbd",
        "the driver build has no package xenvif",
    )
    assert missing_packages(requirement, set(DriverName)) == ()


def lab_of_two() -> Lab:
    simulated = HostSpec("sim", HostKind.SIMULATED, "127.0.0.1")
    return replace(
        LAB,
        hosts={"h": HOST, "sim": simulated},
        templates={"t": TEMPLATE, "s": replace(TEMPLATE, name="s", guest=GuestKind.SIMULATED)},
    )


def test_pairs_are_all_hosts_by_all_templates_and_say_which_fit() -> None:
    found = {(pair.host.name, pair.template.name): not pair.reasons for pair in pairs(lab_of_two())}
    assert found == {("h", "t"): True, ("h", "s"): False, ("sim", "t"): False, ("sim", "s"): True}


def test_pairs_can_be_narrowed_by_name_in_the_order_of_the_lab() -> None:
    chosen = pairs(lab_of_two(), hosts=["sim", "h"], templates=["s"])
    assert [(pair.host.name, pair.template.name) for pair in chosen] == [("h", "s"), ("sim", "s")]


@pytest.mark.parametrize(
    ("narrow", "what"), [({"hosts": ["simm"]}, "host"), ({"templates": ["tt"]}, "template")]
)
def test_an_unknown_name_is_the_persons_mistake_with_the_nearest_name(narrow, what: str) -> None:
    with pytest.raises(ConfigurationError, match=f"no {what} .*known: ") as caught:
        pairs(lab_of_two(), **narrow)
    assert "did you mean" in str(caught.value)
