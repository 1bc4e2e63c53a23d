"""xl by version: what is asked of it, what is believed of it, and the table that people read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_host import Answer, FakeShell

from harness.errors import CommandFailed, ConfigurationError, HarnessError
from harness.host.domain import DiskSpec, DomainSpec
from harness.host.toolstack.choose import choose_toolstack
from harness.host.toolstack.protocol import Fallback, Unsupported
from harness.host.toolstack.quirks import QUIRKS, exit_code_lies, table_rows
from harness.host.toolstack.xl import XlToolstack
from harness.host.toolstack.xl_config import render
from harness.lab import HostKind, HostSpec
from harness.model import ToolstackName, XenVersion

DOCS = Path(__file__).parents[2] / "docs" / "toolstacks.md"
SPEC = HostSpec("xen1", HostKind.SSH, "192.0.2.1")
LIST = (
    "Name                                        ID   Mem VCPUs\tState\tTime(s)\n"
    "win1                                         7   512     1     -b----       3.4\n"
)


def version(text: str) -> XenVersion:
    major, minor = text.split(".")
    return XenVersion(int(major), int(minor))


def xl_of(xen: str, table: dict[str, Answer]) -> XlToolstack:
    shell: Any = FakeShell(SPEC, {"rm": "", "ls": "", "xl list": LIST, **table})
    return XlToolstack(shell, version(xen))


# -- lies


@pytest.mark.parametrize(
    ("command", "last_liar", "first_honest"),
    [("block-attach", "4.4", "4.5"), ("mem-set", "4.6", "4.7"), ("vcpu-set", "4.6", "4.7")],
)
def test_an_exit_code_is_believed_from_the_version_on_that_tells_the_truth(
    command: str, last_liar: str, first_honest: str
) -> None:
    assert exit_code_lies(command, version(last_liar))
    assert not exit_code_lies(command, version(first_honest))


def test_a_failure_that_exits_with_0_is_a_failure() -> None:
    said = (0, "", "libxl: error: libxl.c:1: memory_dynamic_max must be less than ...\n")
    with pytest.raises(CommandFailed, match="memory_dynamic_max"):
        xl_of("4.6", {"xl mem-set": said}).set_memory("win1", 4000)


def test_words_on_stderr_of_an_honest_command_are_no_failure() -> None:
    xl = xl_of("4.17", {"xl mem-set": (0, "", "libxl: error: a word\n"), "xenstore-read": "1\n"})
    assert xl.set_memory("win1", 100) == 1


# -- syntax


def test_disks_are_written_as_the_version_reads_them() -> None:
    spec = DomainSpec("a", 512, 1, (DiskSpec("/srv/a.img", "hda", "qcow2"),), ())
    assert 'disk = ["tap:qcow2:/srv/a.img,hda,w"]' in render(spec, version("4.1"))
    assert 'disk = ["format=qcow2,vdev=hda,access=rw,target=/srv/a.img"]' in render(spec, version("4.2"))


def test_the_kind_of_guest_is_written_as_the_version_reads_it() -> None:
    spec = DomainSpec("a", 512, 1, (), ())
    assert 'builder = "hvm"' in render(spec, version("4.9"))
    assert 'type = "hvm"' in render(spec, version("4.10"))


def test_where_there_is_no_fallback_flag_the_button_is_pressed_by_another_command() -> None:
    refused = (255, "", "libxl: error: libxl.c:552 HVM domain without PV drivers: use destroy\n")
    xl = xl_of("4.1", {"xl shutdown": refused, "xl trigger": ""})
    assert xl.shutdown("win1").refused
    assert not xl.shutdown("win1", Fallback.ACPI).refused
    shell: Any = xl._shell
    assert "xl shutdown win1" in shell.asked
    assert shell.asked[-1] == "xl trigger win1 power"


def test_a_screen_that_cannot_be_asked_for_is_unsupported_not_broken() -> None:
    with pytest.raises(Unsupported, match=r"4\.7"):
        xl_of("4.7", {}).screen_dump("win1")


# -- which one


def info(xen: str) -> str:
    major, minor = xen.split(".")
    return (
        f"xen_major : {major}\nxen_minor : {minor}\ntotal_memory : 4096\nfree_memory : 1024\n"
        "nr_cpus : 2\nxen_caps : hvm-3.0-x86_64\n"
    )


NO_XEND = (1, "", "Error: Unable to connect to xend: Connection refused. Is xend running?\n")
MISSING = (127, "", "sh: 1: not found\n")


@pytest.mark.parametrize(
    ("table", "name", "why"),
    [
        ({"xl info": info("4.17")}, ToolstackName.XL, "there is no xm"),
        ({"xl info": info("4.3"), "xm info": NO_XEND}, ToolstackName.XL, "xend does not run"),
        ({"xl info": info("4.3"), "xm info": info("4.3")}, ToolstackName.XM, "xend runs, on Xen 4.3"),
        ({"xm info": info("3.4")}, ToolstackName.XM, "xend runs, on Xen 3.4"),
    ],
)
def test_auto_takes_what_is_in_charge_and_says_why(
    table: dict[str, Answer], name: ToolstackName, why: str
) -> None:
    shell: Any = FakeShell(SPEC, table)
    chosen = choose_toolstack(shell)
    assert chosen.toolstack.name is name
    assert why in chosen.why


@pytest.mark.parametrize(
    ("toolstack", "table", "words"),
    [
        (None, {}, "there is no xl"),
        (ToolstackName.XM, {}, "there is no xm"),
        (ToolstackName.XM, {"xm info": NO_XEND}, "service xend start"),
        (ToolstackName.XL, {"xl info": info("4.0")}, "set toolstack = xm"),
        (ToolstackName.XL, {"xl info": (1, "", "xend is running, which ...\n")}, "service xend stop"),
    ],
)
def test_what_cannot_drive_the_host_is_said_with_its_mend(
    toolstack: ToolstackName | None, table: dict[str, Answer], words: str
) -> None:
    shell: Any = FakeShell(HostSpec("xen1", HostKind.SSH, "192.0.2.1", toolstack=toolstack), table)
    with pytest.raises(HarnessError, match=words):
        choose_toolstack(shell)


def test_a_xen_that_libvirt_does_not_drive_is_a_mistake_in_hosts_ini() -> None:
    spec = HostSpec("x", HostKind.SSH, "192.0.2.1", toolstack=ToolstackName.LIBVIRT)
    shell: Any = FakeShell(spec, {"xl info": info("4.5")})
    with pytest.raises(ConfigurationError, match=r"libvirt wants Xen 4\.6"):
        choose_toolstack(shell)


# -- the table


def test_the_table_in_the_documentation_is_the_one_the_code_goes_by() -> None:
    text = DOCS.read_text()
    for row in table_rows():
        assert row in text, f"docs/toolstacks.md lacks the row: {row}"
    _, _, table = text.partition("## What differs between versions of xl")
    assert table.count("\n| `xl") == len(QUIRKS)
