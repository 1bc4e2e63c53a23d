"""An ordinary account with exactly the sudo rules that we print can do all that a host is asked for.

On real Xen alone: the simulated host has one user, and a sudo that allows everything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.doctor import State, check_host
from harness.evidence import Scene, collect
from harness.guest.deliver import deliver
from harness.guest.provision import add_disk, make_guest, remove_disk, remove_guest
from harness.host.area import RunArea, leftovers, sweep
from harness.host.clone import choose_strategy
from harness.host.domain import DiskSpec, DomainSpec
from harness.host.host import Host
from harness.host.lease import FOLDER, HostLease, holder_now, lease_holder, release, reserve
from harness.host.rights import find_script, programs, sudoers
from harness.host.sshlogin import Credentials
from harness.lab import resolve_secret

pytestmark = pytest.mark.one_row

USER = "pvhck-tester"
HOME = f"/home/{USER}"
RULES = "/etc/sudoers.d/pvhck-test"
_BOOT_S = 300


def as_root(host: Host, script: str) -> str:
    return host.shell.check(["sh", "-c", script], timeout_s=60)


@pytest.fixture(scope="module")
def tester(contract_lab, tmp_path_factory) -> Iterator[Host]:
    """The host as that account sees it."""
    if not contract_lab.real:
        pytest.skip("the simulated host has no other users")
    root: Host = contract_lab.host
    storage = root.spec.storage
    with contextlib.ExitStack() as stack:
        as_root(
            root,
            f"useradd -m -s /bin/sh {USER} && usermod -p '*' {USER} && mkdir -m 700 {HOME}/.ssh && "
            f"cp /root/.ssh/authorized_keys {HOME}/.ssh/ && chown -R {USER} {HOME}/.ssh",
        )
        stack.callback(as_root, root, f"userdel -r {USER} 2>/dev/null; rm -f {RULES}")
        stack.callback(as_root, root, f"chown -R root {storage} {FOLDER}")
        as_root(root, f"mkdir -p {FOLDER} && chown -R {USER} {storage} {FOLDER}")
        spec = replace(root.spec, user=USER, sudo=True)
        host = stack.enter_context(Host(spec, Credentials(lambda ref: resolve_secret(ref).reveal())))
        found = host.shell.check(find_script(*programs()))
        places = dict(line.split(None, 1) for line in found.splitlines())
        root.shell.put(sudoers(USER, places, storage).encode(), RULES)
        assert "parsed OK" in as_root(root, f"chmod 440 {RULES}; visudo -cf {RULES} 2>&1")
        assert {"xl", "xenstore-read", "dmesg", "kill"} <= places.keys()
        yield host


@pytest.fixture
def area(tester: Host) -> Iterator[RunArea]:
    with RunArea(tester.shell, "rights") as held:
        yield held


def still(area: RunArea, host: Host, number: int) -> DomainSpec:
    """A domain in which nothing runs."""
    name = f"pvhck-{area.run_id}-{number}"
    disk = area.path(f"{name}.raw")
    host.shell.check(["truncate", "-s", "16M", disk])
    console = area.path(f"{name}.console")
    return DomainSpec(name, 32, 1, disks=(DiskSpec(disk, "hda"),), nics=(), console_log=console)


def watching(host: Host, path: str) -> str:
    """Which processes watch a path."""
    listed = host.shell.run(["ps", "-e", "-o", "args="], repeatable=True).stdout.splitlines()
    return "\n".join(line for line in listed if f"xenstore-watch {path}" in line)


def test_doctor_is_content(tester):
    found = {check.name: check for check in check_host(tester)}
    assert found["root"].state is State.OK, found["root"].found
    failed = {name: check.found for name, check in found.items() if check.state is State.FAIL}
    assert failed == {}


@pytest.mark.parametrize(
    "command",
    [
        "sh -c id",
        "cat /etc/shadow",
        "tail -c 100 /var/log/../../etc/shadow",
        "tail -c 100 /var/log/xen/x /etc/shadow",
        "xl debug-keys q",
        "xl destroy other-vm",
        "flock /tmp/x id",
        "kill -9 1",
        "dmesg -C",
        "visudo -c",
    ],
)
def test_a_command_outside_of_the_rules_is_refused(tester, command):
    refused = tester.shell.run(["sudo", "-n", *command.split()])
    assert refused.rc == 1
    assert "password is required" in refused.stderr or "not allowed" in refused.stderr


def test_without_sudo_the_account_may_do_nothing_with_xen(tester):
    plain = tester.shell.run(["sh", "-c", "PATH=$PATH:/usr/sbin xl list"])
    assert not plain.ok
    assert tester.shell.run(["id", "-u"]).stdout.strip() != "0"


def test_a_lease_is_taken_seen_and_given_back(tester, tmp_path):
    with HostLease(tester.shell, holder_now("rights"), folder=tmp_path) as held:
        there = lease_holder(tester.shell)
        assert there is not None
        assert there.run == "rights"
        assert held.lost == ""
    reserve(tester.shell, 60, "for a test")
    assert release(tester.shell) is not None


def test_a_clone_is_made_kept_apart_and_swept_when_its_run_is_dead(tester, contract_lab):
    image = str(contract_lab.bare_template.image_on(tester.spec))
    with RunArea(tester.shell, "rights-dead") as area:
        target = area.path("pvhck-rights-dead-1.img")
        disk = choose_strategy(tester, image, target).clone(image, target)
        assert disk.image_format == "qcow2"
        assert [str(item) for item in leftovers(tester.shell, tester.toolstack, "rights-dead")] == [
            f"file {disk.path}"
        ]
    # its lock is free now, and the folder stays because of the disk
    lines: list[str] = []
    assert sweep(tester.shell, tester.toolstack, lines.append) == 1
    assert not tester.shell.run(["ls", area.folder]).ok


def test_xenstore_is_read_written_and_watched(tester):
    path = "/tool/pvhck-rights"
    tester.xenstore.write(path, "-1 ä")
    assert tester.xenstore.read(path) == "-1 ä"
    assert tester.xenstore.tree("/tool")[path] == "-1 ä"
    with tester.xenstore.watch(path) as watch:
        tester.xenstore.write(path, "2")
        assert watch.wait(Deadline.after(20)) == path
    wait_until(
        lambda: NotYet(found) if (found := watching(tester, path)) else Done(None),
        subject="the watch ends with its reader",
        deadline=Deadline.after(60),
    )
    tester.xenstore.remove(path)
    assert tester.xenstore.find(path) is None


def test_a_domain_is_made_shown_and_taken_away(tester, area):
    spec = still(area, tester, 1)
    toolstack = tester.toolstack
    toolstack.create(spec, paused=True)
    try:
        assert toolstack.find(spec.name).paused
        assert toolstack.config(spec.name).text
        assert toolstack.screen_dump(spec.name).startswith(b"P6"), "root writes it, root's cat reads it"
    finally:
        toolstack.destroy(spec.name)
        tester.shell.check(["rm", "-f", spec.disks[0].path, spec.console_log])
    assert toolstack.find(spec.name) is None


def test_evidence_of_the_host_is_the_same_that_root_gets(tester, contract_lab, tmp_path):
    mine = collect(Scene(tester), tmp_path / "mine", redact=str)
    roots = collect(Scene(contract_lab.host), tmp_path / "roots", redact=str)
    # on a busy host a limit of time may hit either of them
    assert set(mine) >= set(roots) - {"notes.txt"}
    notes = tmp_path / "mine" / "notes.txt"
    assert not notes.exists() or "password is required" not in notes.read_text(), notes.read_text()
    for name in mine:
        text = (Path(tmp_path) / "mine" / name).read_bytes()
        assert b"ermission denied" not in text or name == "state-cores.txt", name


@pytest.mark.slow
def test_a_guest_is_booted_asked_given_a_file_and_taken_away(tester, area, contract_lab, tmp_path):
    template = contract_lab.full_template  # without a driver a disk cannot be taken away (since 4.15)
    guest = make_guest(tester, area, template, 2, contract_lab.login(template), report=lambda _: None)
    try:
        guest.start()
        guest.wait_ready(guest.deadline(_BOOT_S))
        assert guest.operations.boot_id().boot_id
        deliver(guest, _some_file(tmp_path), contract_lab.scratch("rights.bin"))
        found = collect(Scene(tester, guest), tmp_path / "evidence", redact=str)
        assert {"screen.png", "console.txt", "xl.txt", "xenstore.txt"} <= set(found)
        disk = add_disk(guest, area, "xvdg", 16)
        remove_disk(guest, disk)
    finally:
        remove_guest(guest, area)
    assert leftovers(tester.shell, tester.toolstack, area.run_id) == ()


def _some_file(folder: Path) -> Path:
    path = folder / "rights.bin"
    path.write_bytes(bytes(range(256)) * 40)
    return path
