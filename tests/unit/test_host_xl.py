"""xl is not believed: what its exit codes hide is read back, on outputs as they were recorded."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from fake_host import FakeShell, make_host, recorded, shell_of

from harness.deadline import WaitTimedOut
from harness.errors import CommandFailed, HostUnreachable, InfrastructureError
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.toolstack.protocol import Fallback, NoSuchDomain
from harness.host.toolstack.xl import XlToolstack
from harness.lab import HostKind, HostSpec
from harness.model import XenVersion

V417 = XenVersion(4, 17)
STAND_IN = "stand-in-4.17"
MAC = "00:16:3e:00:00:77"


def xl_on(table):
    return XlToolstack(
        FakeShell(HostSpec("xen1", HostKind.SSH, "192.0.2.1"), {"rm": "", "ls": "", **table}), V417
    )


def sequence(*answers):
    """One answer after the other, the last for ever."""
    left = itertools.chain(answers, itertools.repeat(answers[-1]))
    return lambda argv: next(left)


# -- unknown domains


@pytest.mark.parametrize(
    ("command", "sample", "call"),
    [
        ("xl block-list", "err-blocklist-unknown", lambda xl: xl.disks("nosuch")),
        ("xl list -l", "err-list-unknown", lambda xl: xl.config("nosuch")),
        ("xl destroy", "err-destroy-unknown", lambda xl: xl.destroy("nosuch")),
        ("xl shutdown", "err-shutdown-unknown", lambda xl: xl.shutdown("nosuch")),
        ("xl pause", "err-memset-gone", lambda xl: xl.pause("nosuch")),
    ],
)
def test_an_unknown_domain_is_told_from_other_failures_whatever_the_exit_code(command, sample, call):
    with pytest.raises(NoSuchDomain, match="invalid domain identifier"):
        call(xl_on({command: recorded(sample), "xl list": recorded("xl-list")}))


def test_a_duplicate_name_is_no_unknown_domain():
    xl = xl_on({"xl create": recorded("err-create-dup"), "xl list": recorded("xl-list")})
    with pytest.raises(CommandFailed, match="exit code 3") as caught:
        xl.create(DomainSpec("win1", 512, 1, (), ()))
    assert not isinstance(caught.value, NoSuchDomain)


def test_of_several_errors_the_first_is_said_not_what_followed_from_it():
    xl = xl_on({"xl create": recorded("err-create-nomem"), "xl list": recorded("xl-list")})
    with pytest.raises(CommandFailed, match="Out of memory"):
        xl.create(DomainSpec("win1", 512, 1, (), ()))


# -- requests


@pytest.mark.parametrize("sample", ["err-shutdown-nopv", "err-shutdown-guest-still-booting"])
def test_a_guest_that_cannot_be_asked_refuses(sample):
    answer = xl_on({"xl shutdown": recorded(sample)}).shutdown("win1")
    assert answer.refused
    assert "not possible" in answer.text


def test_a_reboot_that_cannot_be_done_by_acpi_is_no_refusal():
    code, out, err = recorded("nopv-reboot-F", STAND_IN)
    xl = xl_on({"xl reboot -F": (code, "", out + err)})
    with pytest.raises(CommandFailed, match="reboot"):
        xl.reboot("win1", Fallback.ACPI)


def test_the_acpi_button_is_an_answer_not_a_refusal():
    code, out, err = recorded("nopv-shutdown-F", STAND_IN)
    answer = xl_on({"xl shutdown -F": (code, "", out + err)}).shutdown("win1", Fallback.ACPI)
    assert not answer.refused


# -- read back


def test_a_destroy_that_failed_because_the_domain_was_going_anyway_is_no_error():
    gone = (0, "\n".join(recorded("xl-list")[1].splitlines()[:2]) + "\n", "")
    xl = xl_on(
        {
            "xl destroy": (1, "", "libxl: error: Domain 2:Device Model already exited\n"),
            "xl list": sequence(recorded("xl-list"), gone),
        }
    )
    xl.destroy("win1")


def test_memory_is_what_xenstore_says_though_xl_says_nothing():
    """Up to Xen 4.6 ``xl mem-set`` exits 0 when it failed (facts/xen-peers.md 2.6)."""
    xl = xl_on({"xl mem-set": "", "xl list": recorded("xl-list"), "xenstore-read": "262144\n"})
    assert xl.set_memory("win1", 100) == 262_144


def test_a_disk_that_is_not_listed_afterwards_was_not_plugged_in():
    xl = xl_on({"xl block-attach": "", "xl block-list": recorded("xl-block-list")})
    with pytest.raises(CommandFailed, match="not in the list of disks"):
        xl.attach_disk("win1", DiskSpec("/a", "xvdg"))


def test_a_disk_that_is_listed_afterwards_was_not_unplugged():
    xl = xl_on({"xl block-detach": "", "xl block-list": recorded("xl-block-list")})
    with pytest.raises(CommandFailed, match="still listed"):
        xl.detach_disk("win1", "xvda")


def test_an_interface_left_by_a_failed_attach_is_taken_away():
    header = recorded("xl-network-list")[1].splitlines()[0]
    left = f"{header}\n1   0  {MAC.lower()} 1      1     -1    -1/-1   /local/domain/0/backend/vif/2/1\n"
    xl = xl_on(
        {
            "xl network-attach": recorded("err-network-attach-commas"),
            "xl network-list": sequence((0, left, ""), (0, header + "\n", "")),
            "xl network-detach": "",
        }
    )
    with pytest.raises(CommandFailed, match="network-attach"):
        xl.attach_nic("win1", NicSpec(MAC.upper(), "xenbr0", None))
    assert f"xl network-detach win1 {MAC.upper()}" in xl._shell.asked


def test_an_unknown_domain_has_no_interface_to_take_away():
    xl = xl_on({"xl network-attach": recorded("err-memset-gone")})
    with pytest.raises(NoSuchDomain):
        xl.attach_nic("win1", NicSpec(MAC, "xenbr0", None))
    assert len(xl._shell.asked) == 1


def test_a_domain_paused_twice_is_still_paused_after_one_unpause():
    xl = xl_on({"xl unpause": "", "xl list": recorded("list-paused-win1")})
    with pytest.raises(CommandFailed, match="still paused"):
        xl.unpause("win1")


def test_a_domain_that_goes_down_is_not_paused_although_it_looks_so():
    xl = xl_on({"xl unpause": "", "xl list": recorded("list-after-shutdown")})
    xl.unpause("win1")


# -- files


def test_a_configuration_lies_in_its_run_s_folder_only_while_it_is_needed():
    shell = FakeShell(
        HostSpec("xen1", HostKind.SSH, "192.0.2.1", storage="/srv"),
        {"xl create": (1, "", "no\n"), "rm -f": ""},
    )
    with pytest.raises(CommandFailed):
        XlToolstack(shell, V417).create(DomainSpec("pvhck-run-7-1", 512, 1, (), ()))
    path = "/srv/runs/run-7/pvhck-run-7-1.cfg"
    assert shell.asked == [f"put {path}", f"xl create {path}", f"rm -f {path}"]
    assert b'name = "pvhck-run-7-1"' in shell.files[path]


# -- dumps


def dumping(sizes, complaint=""):
    table = {
        "xl list": recorded("xl-list"),
        "stat": sequence(*((0, f"{size}\n", "") if size is not None else (1, "", "no") for size in sizes)),
    }
    spec = HostSpec("xen1", HostKind.SSH, "192.0.2.1", time_factor=0.01)
    shell = FakeShell(spec, table)

    @contextmanager
    def stream(argv):
        shell.asked.append(" ".join(argv))
        yield SimpleNamespace(complaint=lambda: complaint)

    shell.stream = stream
    return XlToolstack(shell, V417)


def test_a_dump_is_whole_when_it_grows_no_more_though_xl_never_returns():
    assert dumping([None, *[12_288] * 6, 100 << 20, 256 << 20]).dump_core("win1", "/core", timeout_s=500) == (
        256 << 20
    )


def test_a_dump_that_xl_complains_of_is_not_waited_for():
    with pytest.raises(CommandFailed, match="No space left"):
        dumping([None], "libxl: error: No space left on device").dump_core("win1", "/core", timeout_s=500)


def test_half_a_dump_is_none():
    with pytest.raises(WaitTimedOut, match="12288 of"):
        dumping([12_288]).dump_core("win1", "/core", timeout_s=20)


def test_an_unknown_domain_is_not_dumped():
    with pytest.raises(NoSuchDomain):
        dumping([1]).dump_core("nosuch", "/core", timeout_s=1)


# -- CDs


def test_a_qemu_that_would_die_of_cd_insert_is_told_by_its_monitor():
    """Seen on Debian 12: xl sends ``add-fd``, QEMU 7.2.22 has a segmentation fault."""
    monitor = "xl qemu-monitor-command win1"
    xl = xl_on(
        {
            f"{monitor} 'info version'": "7.2.22Debian 1:7.2+dfsg-7+deb12u18+b3\n\n",
            f"{monitor} 'change ide-5632 \"/a b.iso\" raw'": "\n",
            f"{monitor} 'info block'": "ide-5632 (#block378): /a b.iso (raw, read-only)\n",
            f"{monitor} 'eject -f ide-5632'": "",
            "xl list": recorded("xl-list"),
        }
    )
    xl.insert_cd("win1", "hdc", "/a b.iso")
    xl.eject_cd("win1", "hdc")
    assert not any("cd-" in command for command in xl._shell.asked)


def test_a_cd_that_is_not_in_the_drive_afterwards_was_not_inserted():
    xl = xl_on(
        {
            "xl list": recorded("xl-list"),
            "xl qemu-monitor-command": sequence(
                (0, "7.2.22\n", ""),
                (0, "Could not open '/none.iso'\n", ""),
                (0, "ide-5632: [not inserted]\n", ""),
            ),
        }
    )
    with pytest.raises(CommandFailed, match="Could not open"):
        xl.insert_cd("win1", "hdc", "/none.iso")


@pytest.mark.parametrize("answer", [(0, "8.2.2\n\n", ""), (1, "", "command not implemented\n")])
def test_any_other_qemu_gets_its_cd_by_xl(answer):
    table = {"xl qemu-monitor-command": answer, "xl cd-insert": "", "xl cd-eject": ""}
    xl = xl_on({"xl list": recorded("xl-list"), **table})
    xl.insert_cd("win1", "hdc", "/a.iso")
    xl.eject_cd("win1", "hdc")
    assert "xl cd-insert win1 hdc /a.iso" in xl._shell.asked
    assert "xl cd-eject win1 hdc" in xl._shell.asked


# -- which toolstack


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((127, "", "sh: 1: xl: not found\n"), "there is no xl"),
        ((1, "", "sudo: xl: command not found\n"), "there is no xl"),
        ((1, "", "xc: error: Could not obtain handle on privileged command interface\n"), "privileged"),
        ((1, "", "sudo: a password is required\n"), "sudo = yes"),
    ],
)
def test_a_host_that_cannot_be_driven_says_why(answer, said):
    host = make_host({"xl info": answer}, opened=False)
    with pytest.raises(InfrastructureError, match=said):
        assert host.toolstack


def test_the_toolstack_is_looked_for_once():
    host = make_host({"xl info": recorded("xl-info"), "mkdir": ""}, opened=False)
    assert host.toolstack is host.toolstack
    assert shell_of(host).asked == ["xm info", "xl info", "mkdir -p /srv/pvhck"]


def test_xenstore_that_cannot_be_read_is_not_taken_for_a_missing_node():
    missing = make_host({"xenstore-read": recorded("xenstore-read-missing")})
    assert missing.xenstore.find("/local/domain/2/nope") is None
    dead = make_host({"xenstore-read": (1, "", "xenstore-read: xs_domain_open failed\n")})
    with pytest.raises(CommandFailed, match="xs_domain_open"):
        dead.xenstore.find("/local/domain/2/nope")


def test_a_value_that_begins_with_a_dash_is_no_option():
    host = make_host({"xenstore-write": ""})
    host.xenstore.write("/a", "-1")
    host.xenstore.write("/a", "1 - 1")
    assert shell_of(host).asked == ["xenstore-write -- /a -1", "xenstore-write /a '1 - 1'"]


def test_a_lost_connection_is_never_an_answer():
    xl = xl_on({"xl list": HostUnreachable("gone")})
    with pytest.raises(HostUnreachable):
        xl.find("win1")
