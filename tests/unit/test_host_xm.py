"""xm: what it is given can be executed by Python 2, and its second edge is never touched."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from fake_host import Answer, FakeShell
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import CommandFailed, ConfigurationError
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.toolstack.protocol import Fallback, NoSuchDomain
from harness.host.toolstack.xm import XmToolstack
from harness.host.toolstack.xm_config import nic_words, render
from harness.lab import Firmware, HostKind, HostSpec
from harness.model import XenVersion
from harness.simlab.xm.config import parse_xm_config

V34, V40 = XenVersion(3, 4), XenVersion(4, 0)
MAC = "00:16:3e:00:00:77"
LIST = """\
Name                                        ID   Mem VCPUs      State   Time(s)
Domain-0                                     0  1024     2     r-----     12.3
kept for later                                   512     1               0.0
win 1                                        7   512     1     -b----      3.4
"""
BARE = '/local/domain/7/device/vif/0/state = "1"\n/local/domain/7/device/vbd/768/state = "1"\n'
NETWORK = (
    "Idx BE     MAC Addr.     handle state evt-ch tx-/rx-ring-ref BE-path\n"
    f"0   0  00:16:3e:00:00:01    0     4      7     768  /769     /local/domain/0/backend/vif/7/0  \n"
    f"1   0  {MAC}    1     1      -1    -1   /-1      /local/domain/0/backend/vif/7/1  \n"
)


def xm_on(table: dict[str, Answer], version: XenVersion = V40) -> XmToolstack:
    shell: Any = FakeShell(HostSpec("old", HostKind.SSH, "192.0.2.1"), {"rm": "", "xm list": LIST, **table})
    return XmToolstack(shell, version)


def asked(xm: XmToolstack) -> list[str]:
    shell: Any = xm._shell
    return [line for line in shell.asked if not line.startswith("xm list")]


# -- the list


def test_domains_that_do_not_run_are_not_listed() -> None:
    assert [domain.name for domain in xm_on({}).domains()] == ["Domain-0", "win 1"]


def test_interfaces_with_blanks_before_the_slash_are_read() -> None:
    nics = xm_on({"xm network-list": NETWORK}).nics("win 1")
    assert [(nic.index, nic.mac, nic.state) for nic in nics] == [(0, "00:16:3e:00:00:01", 4), (1, MAC, 1)]


def test_nothing_to_list_is_nothing_printed() -> None:
    xm = xm_on({"xm network-list": "", "xm block-list": ""})
    assert (xm.nics("win 1"), xm.disks("win 1")) == ((), ())


def test_an_unknown_domain_is_told_from_other_failures() -> None:
    unknown = (3, "", "Error: Domain 'nosuch' does not exist.\n")
    with pytest.raises(NoSuchDomain, match="nosuch"):
        xm_on({"xm pause": unknown}).pause("nosuch")
    failed = (1, "Usage: xm pause\n", "Error: (3, 'No such process')\n")
    with pytest.raises(CommandFailed, match="No such process"):
        xm_on({"xm pause": failed}).pause("win 1")


# -- two edges


def test_a_guest_without_pv_drivers_is_never_asked_by_xm_shutdown() -> None:
    xm = xm_on({"xenstore-ls": BARE})
    for answer in (xm.shutdown("win 1"), xm.reboot("win 1"), xm.reboot("win 1", Fallback.ACPI)):
        assert answer.refused
        assert "take its power away" in answer.text
    assert {line.partition(" ")[0] for line in asked(xm)} == {"xenstore-ls"}


def test_the_button_is_pressed_where_a_fallback_is_wanted() -> None:
    xm = xm_on({"xenstore-ls": BARE, "xm trigger": ""})
    assert not xm.shutdown("win 1", Fallback.ACPI).refused
    assert asked(xm)[-1] == "xm trigger 'win 1' power"


@pytest.mark.parametrize(
    "shown",
    [
        '/local/domain/7/control/feature-suspend = "1"\n',
        '/local/domain/7/device/vif/0/state = "4"\n',
        '/local/domain/7/device/vbd/768/state = "4"\n',
    ],
)
def test_a_guest_whose_pv_drivers_show_is_asked(shown: str) -> None:
    xm = xm_on({"xenstore-ls": shown, "xm shutdown": "", "xm reboot": ""})
    assert not xm.shutdown("win 1").refused
    assert not xm.reboot("win 1").refused
    assert asked(xm)[1::2] == ["xm shutdown 'win 1'", "xm reboot 'win 1'"]


# -- memory


def test_the_key_that_the_balloon_needs_is_written_once() -> None:
    long = "(domain (name 'win 1') (maxmem 512))\n"
    folder = "/local/domain/7/memory"
    table: dict[str, Answer] = {
        "xm list --long": long,
        "xm mem-set": "",
        f"xenstore-read {folder}/target": "409600\n",
        f"xenstore-read {folder}/static-max": (1, "", "xenstore-read: couldn't read path x\n"),
        "xenstore-write": "",
    }
    xm = xm_on(table)
    assert xm.set_memory("win 1", 400) == 409600
    assert f"xenstore-write {folder}/static-max 524288" in asked(xm)
    there = xm_on({**table, f"xenstore-read {folder}/static-max": "524288\n"})
    there.set_memory("win 1", 400)
    assert not any(line.startswith("xenstore-write") for line in asked(there))


# -- devices


def test_an_interface_that_failed_is_taken_away_by_force_and_by_number() -> None:
    failed = (1, "", "Error: Device 1 (vif) could not be connected. Could not find bridge device br9\n")
    xm = xm_on({"xm network-attach": failed, "xm network-list": NETWORK, "xm network-detach": ""})
    with pytest.raises(CommandFailed, match="br9"):
        xm.attach_nic("win 1", NicSpec(MAC, "br9", None))
    assert asked(xm)[-1] == "xm network-detach 'win 1' 1 -f"


# -- the configuration


@pytest.mark.parametrize("name", ["\ud800", "a\udfff"])
def test_a_name_that_is_no_text_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written"):
        render(DomainSpec(name, 512, 1, (), ()), V40)


texts = st.text(min_size=1, max_size=30).filter(lambda text: "\0" not in text)
paths = texts.map(lambda text: "/srv/" + text.replace(",", ";"))


@given(name=texts, path=paths, console=paths, version=st.sampled_from([V34, V40]))
def test_a_configuration_is_python_with_literals_only_and_says_what_was_meant(
    name: str, path: str, console: str, version: XenVersion
) -> None:
    spec = DomainSpec(
        name=name,
        memory_mib=512,
        vcpus=2,
        disks=(
            DiskSpec(path, "hda", "qcow2"),
            DiskSpec(path, "hdb", read_only=True),
            DiskSpec("", "hdc", cdrom=True),
        ),
        nics=(NicSpec(MAC, "xenbr0"), NicSpec(MAC, "xenbr0", None)),
        console_log=console,
        max_memory_mib=1024,
    )
    text = render(spec, version)

    assert text.isascii(), "Python 2 takes nothing else without a line that names the encoding"
    assert all(isinstance(line, ast.Assign) for line in ast.parse(text).body)
    read = parse_xm_config(text, bytes(19))
    assert (read.name, read.memory, read.maxmem, read.vcpus) == (name, 512, 1024, 2)
    assert read.serial_file == console
    assert [(disk.path, disk.vdev, disk.image_format, disk.read_only) for disk in read.disks] == [
        (path, "hda", "qcow2", False),
        (path, "hdb", "raw", True),
        ("", "hdc", "raw", True),
    ]
    assert [nic.model for nic in read.nics] == ["e1000", None]


@pytest.mark.parametrize("version", [V34, V40])
def test_a_block_device_is_no_file_that_a_loop_device_is_needed_for(version: XenVersion) -> None:
    spec = DomainSpec("a", 512, 1, (DiskSpec("/dev/vg0/pvhck-r1-1", "hda"),), ())
    text = render(spec, version)
    assert "disk = ['phy:/dev/vg0/pvhck-r1-1,hda,w']\n" in text
    (disk,) = parse_xm_config(text, bytes(19)).disks
    assert (disk.path, disk.image_format) == ("/dev/vg0/pvhck-r1-1", "raw")


def test_the_loader_is_named_by_its_path_where_xm_looks_for_the_file_itself() -> None:
    spec = DomainSpec("a", 512, 1, (), ())
    assert "kernel = '/usr/lib/xen/boot/hvmloader'\n" in render(spec, V34)
    assert "kernel = 'hvmloader'\n" in render(spec, V40)


def test_an_interface_with_a_twin_has_no_type() -> None:
    """With type=ioemu xend leaves the MAC out of the front end's folder: no PV driver could use it."""
    assert not any(word.startswith("type=") for word in nic_words(NicSpec(MAC, "xenbr0")))


def test_what_xend_cannot_make_is_said_before_it_is_asked() -> None:
    with pytest.raises(ConfigurationError, match="UEFI"):
        render(DomainSpec("a", 512, 1, (), (), firmware=Firmware.UEFI), V40)
    with pytest.raises(ConfigurationError, match="comma"):
        render(DomainSpec("a", 512, 1, (DiskSpec("/srv/a,b", "hda"),), ()), V40)
    with pytest.raises(ConfigurationError, match="bridge"):
        render(DomainSpec("a", 512, 1, (), (NicSpec(MAC, "xenbr0,ip=1"),)), V40)
