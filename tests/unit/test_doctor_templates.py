"""The doctor looks at a template's image and at what a booted clone says of its Windows."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from fake_host import NO_NODE, TEMPLATE, make_guest, make_host, recorded
from rich.console import Console

from harness.doctor import Check, State, check_booted, check_guest, check_template, exit_code, render, worst
from harness.errors import GuestUnreachable, OperationFailed
from harness.guest.guest import Login
from harness.lab import CloneMethod, SecretRef
from harness.model import Arch, GuestKind
from harness.operations import FirewallProfile, SecurityFacts, SystemFacts

_DF = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 104857600 1 83886080 1% /srv\n"
_IMAGE = "/srv/pvhck/templates/win2019.qcow2"
_STAT = f"stat -L -c %s {_IMAGE}"
_INFO = f"qemu-img info --output=json {_IMAGE}"
_LIES = {
    _STAT: "21474836480\n",
    _INFO: '{\n "virtual-size": 1, "format": "qcow2"\n}\n',
    "df -P -k /srv/pvhck": _DF,
}
_LVS = "lvs --noheadings --units b --nosuffix --separator '|' -o"
_ON_LVM = {_LVS: "  vg0|win|linear|1073741824|2147483648|268435456\n"}


def of_template(answers: Mapping[str, Any], spec: Mapping[str, Any], **template: Any) -> dict[str, Check]:
    host = make_host({**_LIES, **answers}, **({"memory_mib": 8192} | dict(spec)))
    found = list(check_template(host, dataclasses.replace(TEMPLATE, **template)))
    assert {check.subject for check in found} == {"win2019 on xen1"}
    return {check.name: check for check in found}


def test_a_template_that_is_there_has_no_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PVHCK_WIN", "geheim")
    found = of_template({}, {}, secret=SecretRef("env", "PVHCK_WIN"))
    assert {name: check.state for name, check in found.items()} == dict.fromkeys(
        ("password", "size", "image", "format"), State.OK
    )
    assert "geheim" not in str(found)


@pytest.mark.parametrize(
    ("answers", "spec", "template", "name", "state", "mend"),
    [
        ({_STAT: (1, "", "no such file")}, {}, {}, "image", State.FAIL, "scp IMAGE root@192.0.2.1:/srv"),
        ({}, {"memory_mib": 1024}, {}, "size", State.FAIL, "memory"),
        ({}, {"vcpus": 1}, {"vcpus": 2}, "size", State.FAIL, "vcpus"),
        ({}, {}, {"secret": SecretRef("env", "PVHCK_NONE")}, "password", State.FAIL, "export PVHCK_NONE"),
        ({_INFO: '{"format": "vmdk"}'}, {}, {}, "format", State.FAIL, "qemu-img convert"),
        (
            {_INFO: '{"backing-filename": "/b", "format": "qcow2"}'},
            {}, {}, "format", State.WARN, "qemu-img convert",
        ),
        ({_INFO: (127, "", "not found")}, {}, {}, "format", State.SKIPPED, ""),
        ({}, {"clone": CloneMethod.COPY, "max_guests": 5}, {}, "space", State.WARN, "clone = overlay"),
        ({}, {"clone": CloneMethod.COPY}, {}, "space", State.OK, ""),
        ({}, {"clone": CloneMethod.LVM}, {"image": "vg0/win"}, "image", State.FAIL, "lvcreate"),
        ({"sh -c": ""}, {"clone": CloneMethod.REFLINK}, {}, "reflink", State.OK, ""),
        ({"sh -c": (1, "", "")}, {"clone": CloneMethod.REFLINK}, {}, "reflink", State.FAIL, "mkfs.xfs"),
        (_ON_LVM, {"clone": CloneMethod.LVM}, {"image": "vg0/win"}, "image", State.OK, ""),
        (_ON_LVM, {}, {"image": "/dev/vg0/win"}, "space", State.FAIL, "thin pool"),
        (_ON_LVM, {"snapshot_percent": 10}, {"image": "/dev/vg0/win"}, "space", State.OK, ""),
        (_ON_LVM, {"clone": CloneMethod.COPY}, {"image": "/dev/vg0/win"}, "clone", State.WARN, "clone = lvm"),
    ],
)  # fmt: skip
def test_each_lack_of_a_template_is_told(
    answers: Any, spec: Any, template: Any, name: str, *, state: State, mend: str
) -> None:
    check = of_template(answers, spec, **template)[name]
    assert (check.state, mend in check.mend) == (state, True), check


def test_a_simulated_guest_needs_no_image() -> None:
    assert of_template({}, {}, guest=GuestKind.SIMULATED, image="")["image"].state is State.SKIPPED


# -- a booted clone

_SYSTEM = SystemFacts(
    os_name="Windows Server 2019", os_version="10.0.17763", architecture="x64", locale="de-DE",
    computer_name="PV", domain_member=False, shell_version="5.1.17763.316", processors=1,
    time_utc="2026-01-01T00:00:00Z", boot_id="b",
)  # fmt: skip
_SECURITY = SecurityFacts(
    secure_boot=False, test_signing=False, full_token=True, script_policy="RemoteSigned",
    defender_realtime=False, firewall=(FirewallProfile("Public", enabled=False),),
)  # fmt: skip


def of_guest(system: Mapping[str, Any], security: Mapping[str, Any], **more: Any) -> dict[str, Check]:
    answers = {
        "system_facts": dataclasses.asdict(_SYSTEM) | dict(system),
        "security_facts": dataclasses.asdict(_SECURITY) | dict(security),
        "remove_file": None,
        **more.pop("answers", {}),
    }
    host = make_host({"xl list": recorded("xl-list"), "xenstore-read": NO_NODE}, **more.pop("spec", {}))
    guest = make_guest(host, answers, **more)
    return {check.name: check for check in check_guest(guest)}


def test_a_prepared_windows_has_no_complaint() -> None:
    found = of_guest({}, {})
    assert found.pop("controller").state is State.SKIPPED
    assert {check.state for check in found.values()} == {State.OK}
    assert set(found) == {
        "WinRM", "architecture", "PowerShell", "full token", "firewall", "script policy", "Secure Boot",
        "test signing", "domain", "Defender", "language",
    }  # fmt: skip
    assert found["language"].found == "de-DE"


@pytest.mark.parametrize(
    ("system", "security", "name", "state", "mend"),
    [
        ({"architecture": "x86"}, {}, "architecture", State.FAIL, "arch = x86"),
        ({"shell_version": "4.0"}, {}, "PowerShell", State.FAIL, "KB3191566"),
        ({}, {"full_token": False}, "full token", State.FAIL, "LocalAccountTokenFilterPolicy"),
        ({}, {"firewall": [{"name": "Public", "enabled": True}]}, "firewall", State.WARN, "prepare.ps1"),
        ({}, {"secure_boot": True}, "Secure Boot", State.WARN, "firmware"),
        ({}, {"secure_boot": None}, "Secure Boot", State.OK, ""),
        ({}, {"test_signing": True}, "test signing", State.WARN, "bcdedit /set testsigning off"),
        ({"domain_member": True}, {}, "domain", State.WARN, "out of the domain"),
        ({}, {"defender_realtime": True}, "Defender", State.WARN, "Set-MpPreference"),
        ({}, {"defender_realtime": None}, "Defender", State.OK, ""),
    ],
)
def test_each_lack_of_a_windows_is_told(
    system: Any, security: Any, name: str, state: State, mend: str
) -> None:
    check = of_guest(system, security)[name]
    assert (check.state, mend in check.mend) == (state, True), check


def test_a_guest_that_does_not_answer_fails_and_the_rest_is_skipped() -> None:
    found = of_guest({}, {}, answers={"system_facts": GuestUnreachable("no WinRM at https://192.0.2.7:5986")})
    assert found["WinRM"].state is State.FAIL
    assert "no WinRM" in found["WinRM"].found
    assert list(found) == ["WinRM", "everything else"]


def test_the_stand_in_is_not_judged_as_a_windows() -> None:
    found = of_guest({"shell_version": "3.11"}, {}, guest=GuestKind.STAND_IN)
    assert "PowerShell" not in found
    assert found["Windows settings"].state is State.SKIPPED


def pulls(url: str, path: str, sha256: str) -> dict[str, Any]:
    assert path == r"C:\Windows\Temp\pvhck-doctor.txt"
    data = requests.get(url, timeout=10).content
    return {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def refuses(url: str, path: str, sha256: str) -> dict[str, Any]:
    raise OperationFailed("pull_file", "command-failed", "the connection timed out")


@pytest.mark.parametrize(
    ("controller", "pull", "state"),
    [
        ("127.0.0.1", pulls, State.OK),
        ("127.0.0.1", refuses, State.FAIL),
        ("192.0.2.77", pulls, State.FAIL),  # not an address of ours
    ],
)
def test_whether_the_guest_reaches_us_is_tried(
    controller: str, pull: Callable[..., Any], state: State
) -> None:
    found = of_guest({}, {}, answers={"pull_file": pull}, spec={"controller": controller})["controller"]
    assert found.state is state
    assert bool(found.mend) == (state is State.FAIL)


def test_a_clone_that_cannot_be_made_is_a_line_and_no_traceback() -> None:
    answers = {
        "mkdir": "", "find": "", "rm": "",
        "flock -n": (1, "", ""),
        "qemu-img": (1, "", "qemu-img: no such file"),
    }  # fmt: skip
    host = make_host({**answers, "xl list": recorded("xl-list")})
    shell: Any = host.shell

    @contextlib.contextmanager
    def hold(_argv: Any) -> Any:
        yield SimpleNamespace(running=True)

    shell.hold = hold
    login = Login("tester", "geheim")
    (check,) = check_booted(host, TEMPLATE, login, run_id="doc1", boot_s=1, report=lambda _: None)
    assert (check.name, check.state, check.subject) == ("boot", State.FAIL, "win2019 on xen1")
    assert "no such file" in check.found


# -- for people


def test_lines_show_state_thing_and_mend_and_the_worst_decides(tmp_path: Path) -> None:
    made = [
        Check("xen1", "SSH", State.OK, "lets us in", "not shown"),
        Check("xen1", "bridge", State.FAIL, "there is no [xenbr0]", "ip link add"),
        Check("win on xen1", "Defender", State.WARN, "on", ""),
    ]
    with (tmp_path / "out").open("w+") as file:
        state = render(iter(made), Console(file=file, width=40, color_system=None))
        file.seek(0)
        lines = file.read().splitlines()
    assert lines == [
        "xen1",
        "  ok      SSH                lets us in",
        "  fail    bridge             there is no [xenbr0]",
        "          -> ip link add",
        "win on xen1",
        "  warn    Defender           on",
    ]
    assert (state, exit_code(state)) == (State.FAIL, 1)


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ((), 0),
        ((State.OK, State.SKIPPED), 0),
        ((State.OK, State.WARN), 0),
        ((State.WARN, State.FAIL, State.OK), 1),
    ],
)
def test_only_a_failed_check_gives_a_bad_exit_code(states: tuple[State, ...], code: int) -> None:
    assert exit_code(worst(Check("x", "y", state, "") for state in states)) == code


def test_an_architecture_is_compared_as_text_and_not_by_identity() -> None:
    assert of_guest({"architecture": "x86"}, {}, arch=Arch.X86)["architecture"].state is State.OK
