"""libvirt behind its port: what it refuses is sorted, its states are not taken for more than they are."""

from __future__ import annotations

from typing import Any

import pytest
from fake_host import Answer, FakeShell
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import CommandFailed, ConfigurationError, HostUnreachable, OutputNotUnderstood
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.toolstack.libvirt import LibvirtToolstack
from harness.host.toolstack.libvirt_xml import (
    HostPrograms,
    disk_of,
    disk_xml,
    domain_xml,
    nic_of,
    nic_xml,
    parse_xml_description,
)
from harness.host.toolstack.protocol import Fallback, NoSuchDomain
from harness.lab import Firmware, HostKind, HostSpec
from harness.libvirtport import LibvirtCode, LibvirtRefusal, PortDomain, PortState, ShutdownMode
from harness.model import XenVersion
from harness.simlab.libvirt.xml import parse_device, parse_domain

MAC = "00:16:3e:00:00:77"
DOM0 = PortDomain("Domain-0", 0, PortState.RUNNING, 0, 1 << 20, 1 << 20, 2, 0)
WIN1 = PortDomain("win1", 7, PortState.RUNNING, 1, 524288, 524288, 1, 3_400_000_000)


class FakePort:
    """``LibvirtPort`` that answers from a table: an exception is raised, all else is given."""

    def __init__(self, *domains: PortDomain, **answers: Any) -> None:
        self.rows = domains
        self.answers = answers
        self.asked: list[tuple[Any, ...]] = []

    def domains(self) -> tuple[PortDomain, ...]:
        return (DOM0, *self.rows)

    def __getattr__(self, call: str) -> Any:
        def ask(*args: Any, **kwargs: Any) -> Any:
            self.asked.append((call, *args, *kwargs.values()))
            answer = self.answers.get(call)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return ask


def libvirt_on(port: FakePort, **table: Answer) -> LibvirtToolstack:
    shell: Any = FakeShell(HostSpec("xen1", HostKind.SSH, "192.0.2.1"), table)
    anything: Any = port
    return LibvirtToolstack(shell, XenVersion(4, 17), connect=lambda: anything, programs=HostPrograms)


# -- states


@pytest.mark.parametrize(
    ("state", "reason", "shutdown", "crashed"),
    [
        (PortState.RUNNING, 1, False, False),
        (PortState.SHUTOFF, 1, True, False),
        (PortState.SHUTOFF, 3, True, True),
        (PortState.CRASHED, 0, True, True),
    ],
)
def test_what_is_shut_off_is_crashed_or_about_to_go(
    state: PortState, reason: int, *, shutdown: bool, crashed: bool
) -> None:
    row = PortDomain("win1", 7, state, reason, 1024, 1024, 1, 0)
    domain = libvirt_on(FakePort(row)).find("win1")
    assert domain is not None
    assert (domain.shutdown, domain.crashed) == (shutdown, crashed)


# -- refusals

NO_CAUSE = LibvirtRefusal(LibvirtCode.NONE, "An error occurred, but the cause is unknown")
BARE = '/local/domain/7/device/vif/0/state = "1"\n'
FULL = '/local/domain/7/device/vif/0/state = "4"\n'


def test_a_request_that_fails_without_a_cause_is_a_refusal_where_no_pv_driver_shows() -> None:
    libvirt = libvirt_on(FakePort(WIN1, shutdown=NO_CAUSE), **{"xenstore-ls": BARE})
    assert libvirt.shutdown("win1").refused


def test_the_same_failure_of_a_guest_with_pv_drivers_is_a_failure() -> None:
    libvirt = libvirt_on(FakePort(WIN1, shutdown=NO_CAUSE), **{"xenstore-ls": FULL})
    with pytest.raises(CommandFailed, match="cause is unknown"):
        libvirt.shutdown("win1")


def test_the_fallback_is_asked_for_by_its_mode() -> None:
    port = FakePort(WIN1)
    libvirt_on(port).shutdown("win1", Fallback.ACPI)
    assert port.asked == [("shutdown", "win1", ShutdownMode.PARAVIRT_OR_ACPI)]


def test_a_domain_that_went_while_it_was_destroyed_is_no_failure() -> None:
    gone = LibvirtRefusal(LibvirtCode.OPERATION_INVALID, "domain is not running")
    libvirt_on(FakePort(destroy=gone)).destroy("win1")


def test_an_unknown_domain_and_a_lost_connection_are_told_from_other_failures() -> None:
    unknown = LibvirtRefusal(LibvirtCode.NO_DOMAIN, "Domain not found")
    with pytest.raises(NoSuchDomain, match="win1"):
        libvirt_on(FakePort(pause=unknown)).pause("win1")
    with pytest.raises(HostUnreachable, match="libvirtd"):
        libvirt_on(FakePort(pause=ConnectionError("client socket is closed"))).pause("win1")
    refused = LibvirtRefusal(LibvirtCode.INTERNAL_ERROR, "internal error: no")
    with pytest.raises(CommandFailed, match="internal error: no"):
        libvirt_on(FakePort(pause=refused)).pause("win1")


def test_an_interface_that_is_left_behind_is_taken_away_by_xl() -> None:
    row = f"1  0  {MAC}      1     1     -1    -1/-1          /local/domain/0/backend/vif/7/1\n"
    header = "Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path\n"
    listed = iter([header + row, header])
    table: dict[str, Answer] = {
        "xl network-list": lambda _: (0, next(listed), ""),
        "xl network-detach": "",
    }
    refused = LibvirtRefusal(LibvirtCode.INTERNAL_ERROR, "libxenlight failed to attach network device")
    libvirt = libvirt_on(FakePort(WIN1, attach=refused), **table)
    with pytest.raises(CommandFailed, match="failed to attach"):
        libvirt.attach_nic("win1", NicSpec(MAC, "xenbr0", None))
    shell: Any = libvirt._shell
    assert f"xl network-detach win1 {MAC}" in shell.asked


def test_a_lost_connection_is_opened_anew_and_what_only_looks_is_asked_again() -> None:
    lost, good = FakePort(WIN1, xml=ConnectionError("client socket is closed")), FakePort(WIN1, xml="<x/>")
    ports = iter([lost, good])
    shell: Any = FakeShell(HostSpec("xen1", HostKind.SSH, "192.0.2.1"), {})
    connect: Any = lambda: next(ports)  # noqa: E731
    libvirt = LibvirtToolstack(shell, XenVersion(4, 17), connect=connect, programs=HostPrograms)
    assert libvirt.config("win1").text == "<x/>"
    assert ("close",) in lost.asked


# -- XML


@pytest.mark.parametrize("sign", ["\x00", "\x1b", "\r", "\ud800", "\uffff"])
def test_a_sign_that_xml_cannot_carry_is_refused_before_libvirt_sees_it(sign: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written into libvirt's XML"):
        domain_xml(DomainSpec(f"a{sign}b", 512, 1, (), ()), HostPrograms())


@pytest.mark.parametrize("text", ["<domain><memory>much</memory></domain>", "<domain><vcpu/></domain>"])
def test_a_description_whose_number_is_none_is_not_understood(text: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        parse_xml_description(text, "win1")


texts = st.text(
    st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=30
)
paths = texts.map(lambda text: f"/srv/{text}")


@given(name=texts, path=paths, console=paths)
def test_a_description_says_what_was_meant_whatever_signs_it_holds(
    name: str, path: str, console: str
) -> None:
    spec = DomainSpec(
        name=name,
        memory_mib=512,
        vcpus=2,
        disks=(DiskSpec(path, "hda", "qcow2"), DiskSpec("", "hdc", cdrom=True)),
        nics=(NicSpec(MAC, "xenbr0"), NicSpec(MAC, "xenbr0", None)),
        max_memory_mib=1024,
        console_log=console,
    )
    read = parse_domain(domain_xml(spec, HostPrograms("/l", "/e")), bytes(16))
    assert (read.name, read.memory, read.maxmem, read.vcpus) == (name, 512, 1024, 2)
    assert read.serial_file == console
    assert [(disk.path, disk.vdev, disk.image_format, disk.cdrom) for disk in read.disks] == [
        (path, "hda", "qcow2", False),
        ("", "hdc", "raw", True),
    ]
    assert [nic.model for nic in read.nics] == ["e1000", None]


def test_a_block_device_is_served_by_blkback_and_read_back() -> None:
    xml = disk_xml(DiskSpec("/dev/vg0/pvhck-r1-1", "xvdg"))
    assert '<disk type="block" device="disk"><driver name="phy" type="raw" />' in xml
    assert '<source dev="/dev/vg0/pvhck-r1-1" />' in xml
    disk: Any = parse_device(xml)
    assert (disk.path, disk.vdev, disk.image_format) == ("/dev/vg0/pvhck-r1-1", "xvdg", "raw")


def test_devices_to_plug_in_say_what_was_meant() -> None:
    disk: Any = parse_device(disk_xml(DiskSpec("/srv/a b.img", "xvdg", read_only=True)))
    assert (disk.path, disk.vdev, disk.read_only) == ("/srv/a b.img", "xvdg", True)
    nic: Any = parse_device(nic_xml(NicSpec(MAC, "br0", None)))
    assert (nic.mac, nic.bridge, nic.model) == (MAC, "br0", None)


def test_a_description_is_read_and_its_devices_are_found() -> None:
    text = (
        "<domain type='xen'><name>a</name><memory unit='KiB'>262144</memory><vcpu>2</vcpu><devices>"
        "<disk type='file'><source file='/a'/><target dev='hda' bus='ide'/></disk>"
        f"<interface type='bridge'><mac address='{MAC.upper()}'/></interface></devices></domain>"
    )
    described = parse_xml_description(text, "a")
    assert (described.max_memory_mib, described.max_vcpus, described.disks) == (256, 2, ("hda",))
    assert "/a" in (disk_of(text, "hda") or "")
    assert MAC.upper() in (nic_of(text, MAC) or "")
    assert disk_of(text, "hdb") is None
    with pytest.raises(OutputNotUnderstood):
        parse_xml_description("<domain", "a")


def test_an_xl_key_that_libvirt_cannot_be_told_is_a_mistake_in_the_template() -> None:
    told = DomainSpec("a", 512, 1, (), (), extra={"viridian": "0", "tsc_mode": '"native"', "hdtype": '"ide"'})
    xml = domain_xml(told, HostPrograms())
    assert "viridian" not in xml
    assert 'name="tsc" mode="native"' in xml
    untold = DomainSpec("a", 512, 1, (), (), extra={"device_model_args": "[]"})
    with pytest.raises(ConfigurationError, match=r"xl\.device_model_args"):
        domain_xml(untold, HostPrograms())


def test_a_uefi_guest_gets_no_loader_of_ours() -> None:
    spec = DomainSpec("a", 512, 1, (), (), firmware=Firmware.UEFI)
    assert 'firmware="efi"' in domain_xml(spec, HostPrograms("/hvmloader"))
    assert "/hvmloader" not in domain_xml(spec, HostPrograms("/hvmloader"))
