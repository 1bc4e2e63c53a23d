"""The doctor finds what a host lacks, names the mend, and changes nothing there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from fake_host import RECORDED_XL, Answer, make_host, recorded, shell_of
from hypothesis import given
from hypothesis import strategies as st

from harness.doctor import Check, State, check_host, worst
from harness.errors import (
    CommandTimedOut,
    HostKeyProblem,
    HostUnreachable,
    InfrastructureError,
    OutputNotUnderstood,
)
from harness.host.host import Host
from harness.host.space import Space, parse_space
from harness.lab import CloneMethod
from harness.model import ToolstackName, XenVersion

_DF = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 104857600 1 83886080 1% /srv\n"
_DF_COMMAND = "df -P -k /srv/pvhck"
_NET = "/sys/class/net/xenbr0"
_TOOLS = "sh -c"
WELL: Mapping[str, Answer] = {
    **RECORDED_XL,
    "true": "",
    "id -u": "0\n",
    "ls -d /etc/xensource-inventory": (2, "", "ls: cannot access\n"),
    "xenstore-list /": "local\nvm\nlibxl\n",
    _DF_COMMAND: _DF,
    "rm -f": "",
    f"ls -d {_NET} {_NET}/bridge": f"{_NET}\n{_NET}/bridge\n",
    _TOOLS: "",
}
BY_SUDO: Mapping[str, Answer] = {"sudo -n -l": "/usr/sbin/it\n"}


def checks(host: Host) -> dict[str, Check]:
    found = list(check_host(host))
    assert len({check.name for check in found}) == len(found)
    return {check.name: check for check in found}


def sick(changes: Mapping[str, Answer], **spec: Any) -> dict[str, Check]:
    return checks(make_host({**WELL, **changes}, opened=False, **spec))


def test_a_host_that_has_everything_has_no_complaint() -> None:
    found = sick({}, vcpus=1)
    assert {check.state for check in found.values()} == {State.OK}
    assert set(found) == {
        "SSH", "root", "toolstack", "Xen version", "HVM", "guest_loglvl", "memory", "processors",
        "in charge", "xenstore", "storage", "space", "bridge", "tools",
    }  # fmt: skip
    assert found["Xen version"].found.startswith("4.17")


def test_nothing_is_changed_but_for_a_probe_file_that_is_removed() -> None:
    host = make_host(WELL, opened=False)
    list(check_host(host))
    asked = shell_of(host).asked
    (put,) = [line.removeprefix("put ") for line in asked if line.startswith("put")]
    assert put.startswith("/srv/pvhck/pvhck-doctor-")
    assert f"rm -f {put}" in asked
    looking = (
        "true",
        "id",
        "xm info",
        "xl info",
        "ls",
        "xenstore-list",
        "df",
        "sh -c",
        "put",
        "rm -f /srv/pvhck/pvhck-doctor-",
    )
    assert [line for line in asked if not line.startswith(looking)] == []


@pytest.mark.parametrize(
    "error",
    [
        HostUnreachable("host xen1: no SSH connection", mend="is it up?"),
        HostKeyProblem("host xen1: its key has changed", mend="pvhck lab trust xen1"),
    ],
)
def test_without_ssh_the_rest_is_skipped_and_the_mend_is_the_error_s(error: Any) -> None:
    found = sick({"true": error})
    assert list(found) == ["SSH", "everything else"]
    assert found["SSH"].state is State.FAIL
    assert found["SSH"].mend == error.mend
    assert not found["SSH"].found.startswith("host xen1")
    assert found["everything else"].state is State.SKIPPED


def test_a_user_who_is_not_root_and_uses_no_sudo_is_found_first() -> None:
    found = sick({"id -u": "1000\n"}, user="tester")
    assert found["root"].state is State.FAIL
    assert "sudo = yes" in found["root"].mend
    assert "toolstack" not in found


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("xl list", "sudo: a password is required\n"),
        ("dmesg", ""),
        ("kill 1", "Sorry, user tester may not run that\n"),
    ],
)
def test_a_sudo_rule_that_is_missing_is_named_with_how_to_make_all(asked: str, said: str) -> None:
    found = sick({**BY_SUDO, f"sudo -n -l {asked}": (1, "", said)}, sudo=True, user="tester")
    assert found["root"].state is State.FAIL
    assert f"run {asked}" in found["root"].found
    assert "pvhck lab rights" in found["root"].mend
    assert "toolstack" not in found


def test_a_host_without_sudo_is_told_so() -> None:
    found = sick(
        {**BY_SUDO, "sudo -n -l xl list": (127, "", "sh: sudo: not found\n")}, sudo=True, user="tester"
    )
    assert "sudo: not found" in found["root"].found


def test_an_ordinary_user_with_all_rules_is_well_whatever_program_is_not_there() -> None:
    answers = {**BY_SUDO, "sudo -n -l losetup -a": (1, "", "sudo: losetup: command not found\n")}
    assert sick(answers, sudo=True, user="tester")["root"].state is State.OK


def info_with(old: str, new: str) -> dict[str, Answer]:
    text = recorded("xl-info")[1]
    assert old in text
    return {"xl info": text.replace(old, new)}


_MEMORY = "free_memory            : "


@pytest.mark.parametrize(
    ("changes", "spec", "name", "state", "mend"),
    [
        ({"xl info": (127, "", "sh: xl: not found")}, {}, "toolstack", State.FAIL, "toolstack = xm"),
        ({"xl info": (1, "", "libxl: error: no /dev/xen")}, {}, "toolstack", State.FAIL, "xencommons"),
        ({"xl info": "rubbish"}, {}, "toolstack", State.FAIL, ""),
        (
            info_with("xen_minor              : 17", "xen_minor              : 0"),
            {}, "toolstack", State.FAIL, "toolstack = xm",
        ),
        ({}, {"xen": XenVersion(4, 16)}, "Xen version", State.FAIL, "xen = 4.17"),
        ({}, {"xen": XenVersion(4, 17)}, "Xen version", State.OK, ""),
        (info_with("hvm-", "pvh-"), {}, "HVM", State.FAIL, "AMD-V"),
        (info_with("guest_loglvl=all", "loglvl=all"), {}, "guest_loglvl", State.WARN, "guest_loglvl=all"),
        (info_with("guest_loglvl=all", "guest_loglvl=info"), {}, "guest_loglvl", State.WARN, "update-grub"),
        (info_with("guest_loglvl=all", "guest_loglvl=all/all"), {}, "guest_loglvl", State.OK, ""),
        ({}, {"memory_mib": 5000}, "memory", State.WARN, "dom0_mem"),
        ({}, {"memory_mib": 10**6}, "memory", State.FAIL, "dom0_mem"),
        ({}, {"vcpus": 64}, "processors", State.WARN, "vcpus = 2"),
        (
            {"ls -d /etc/xensource-inventory": (2, "/etc/xensource-inventory\n", "")},
            {}, "in charge", State.FAIL, "without XAPI",
        ),
        (
            {"ls -d /etc/xensource-inventory": (2, "/var/lock/subsys/xend\n", "")},
            {}, "in charge", State.FAIL, "service xend stop",
        ),
        ({}, {"toolstack": ToolstackName.XM}, "in charge", State.FAIL, "service xend start"),
        ({"xenstore-list /": (1, "", "xs_open failed")}, {}, "xenstore", State.FAIL, "xencommons"),
        ({_DF_COMMAND: (1, "", "df: no such file")}, {}, "storage", State.FAIL, "mkdir -p /srv/pvhck"),
        (
            {"put /srv/pvhck": InfrastructureError("host xen1: cannot write", mend="df -h /srv")},
            {}, "storage", State.FAIL, "df -h /srv",
        ),
        ({}, {"max_guests": 100}, "space", State.WARN, "pvhck lab sweep xen1"),
        ({_DF_COMMAND: _DF.replace("83886080", "1000")}, {}, "space", State.FAIL, "lab sweep"),
        ({_DF_COMMAND: "rubbish\n"}, {}, "storage", State.FAIL, ""),
        ({f"ls -d {_NET}": (2, "", "ls: no such file")}, {"bridge": "xenbr0"}, "bridge", State.OK, ""),
        ({}, {"bridge": "br7"}, "bridge", State.FAIL, "ip link add name br7 type bridge"),
        ({f"ls -d {_NET} {_NET}/bridge": (2, f"{_NET}\n", "")}, {}, "bridge", State.WARN, "Open vSwitch"),
        ({_TOOLS: "flock\n"}, {}, "flock", State.FAIL, "util-linux"),
        ({_TOOLS: "xenstore-watch\n"}, {}, "xenstore-watch", State.FAIL, "xenstore-utils"),
        ({_TOOLS: "qemu-img\n"}, {}, "qemu-img", State.WARN, "qemu-utils"),
        ({_TOOLS: "qemu-img\n"}, {"clone": CloneMethod.OVERLAY}, "qemu-img", State.FAIL, "qemu-utils"),
        ({_TOOLS: "iperf3\n"}, {}, "iperf3", State.WARN, "iperf3"),
        ({_TOOLS: "iperf3\n"}, {"iperf_peer": "192.0.2.9"}, "iperf3", State.SKIPPED, "iperf3"),
        ({_TOOLS: CommandTimedOut("host xen1: sh did not end")}, {}, "tools", State.FAIL, ""),
    ],
)  # fmt: skip
def test_each_lack_is_told_with_what_mends_it(
    changes: Any, spec: dict[str, Any], name: str, state: State, mend: str
) -> None:
    found = sick(changes, **spec)
    assert (found[name].state, mend in found[name].mend) == (state, True), found[name]
    if state is State.FAIL:
        assert worst(found.values()) is State.FAIL


def test_one_step_that_fails_does_not_hide_the_others() -> None:
    found = sick({"xl info": CommandTimedOut("host xen1: xl info did not end in 30 s")})
    assert found["toolstack"].state is State.FAIL
    assert {"storage", "bridge", "tools"} <= set(found)


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.text("abc /", min_size=1, max_size=20))
def test_free_space_is_read_whatever_the_mount_point_is_called(total: int, free: int, mount: str) -> None:
    mount = f"/{mount.strip()}"
    space = parse_space(f"header\n/dev/mapper/vg-lv {total} 1 {free} 99% {mount}\n")
    assert space == Space(total // 1024, free // 1024, mount)


@pytest.mark.parametrize("text", ["", "one line", "df: error\n", "a b c d e f\n"])
def test_what_is_no_df_output_is_an_error(text: str) -> None:
    with pytest.raises(OutputNotUnderstood, match="df"):
        parse_space(text)
