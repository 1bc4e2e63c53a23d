"""What a run leaves on a host, and that nobody else's is touched when it is taken away."""

from __future__ import annotations

import fcntl
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_host_support import credentials, make_machine, serving, spec_for

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.errors import InfrastructureError
from harness.host.area import (
    Leftover,
    RunArea,
    domain_name,
    home_of,
    leftovers,
    remove_leftover,
    run_of,
    sweep,
)
from harness.host.ssh import SshShell
from harness.host.toolstack.protocol import DomainInfo, NoSuchDomain

RUN = "20261125-221500-ab12"
DOMAIN = DomainInfo(
    "x", 1, 1, 1, running=True, blocked=False, paused=False, shutdown=False, dying=False, reason="", cpu_s=0.0
)


class Domains:
    """The part of a toolstack that the sweep needs."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.destroyed: list[str] = []

    def domains(self):
        return tuple(replace(DOMAIN, name=name) for name in ("Domain-0", *self.names))

    def destroy(self, name: str) -> None:
        if name not in self.names:
            raise NoSuchDomain(name)
        self.names.remove(name)
        self.destroyed.append(name)


@pytest.fixture
def host(tmp_path):
    with serving(make_machine(tmp_path)) as server:
        server.machine.program("losetup", 'cat "$PWD/loops" 2>/dev/null; echo "$*" >>"$PWD/losetup.log"')
        shell = SshShell(spec_for(server, tmp_path), credentials())
        yield shell, server
        shell.close()


def runs(shell) -> Path:
    return Path(shell.spec.storage) / "runs"


def dead_run(shell, run: str, *files: str) -> Path:
    folder = runs(shell) / run
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).write_text("x")
    return folder


def is_locked(path: Path) -> bool:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def silent(_: str) -> None:
    pass


# -- names


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,20}", fullmatch=True), st.integers(0, 10_000))
def test_the_run_of_a_domain_of_ours_is_found_again(run, number):
    assert run_of(domain_name(run, number)) == run


@pytest.mark.parametrize(
    "name",
    ["win1", "pvhck", "pvhck-", "pvhck-x", "pvhck-my-template", "pvhck--1", "pvhck-a/../b-1", "xpvhck-a-1"],
)
def test_a_domain_of_somebody_else_is_of_no_run(name):
    assert run_of(name) is None


def test_files_of_a_domain_lie_where_the_sweep_looks(host):
    shell, _ = host
    assert str(home_of(shell, domain_name(RUN, 1))) == str(runs(shell) / RUN)
    assert str(home_of(shell, "win1")) == shell.spec.storage


@pytest.mark.parametrize("run", ["", "a b", "../x", "a/b", "-a", "$(id)"])
def test_a_run_id_that_would_lead_elsewhere_is_refused(host, run):
    with pytest.raises(ValueError, match="no run id"):
        RunArea(host[0], run)


# -- a living run


def test_a_run_s_folder_is_locked_while_it_lives_and_gone_afterwards(host):
    shell, _ = host
    with RunArea(shell, RUN) as area:
        assert area.path("a") == str(runs(shell) / RUN / "a")
        assert is_locked(runs(shell) / RUN / "alive")
    assert not (runs(shell) / RUN).exists()


def test_the_disk_of_a_guest_that_is_still_there_is_not_taken_from_under_it(host):
    shell, _ = host
    with RunArea(shell, RUN) as area:
        disk = Path(area.path("pvhck-x-1.img"))
        disk.write_text("disk")
    assert disk.exists()
    wait_until(
        lambda: NotYet("locked") if is_locked(disk.parent / "alive") else Done(None),
        subject="the lock is given back",
        deadline=Deadline.after(10),
        interval_s=0.02,
    )


def test_a_sweep_spares_the_living_and_takes_the_dead(host):
    shell, _ = host
    dead = dead_run(shell, "dead", "pvhck-dead-1.img", "pvhck-dead-1.cfg")
    toolstack = Domains(
        domain_name(RUN, 1), domain_name("dead", 1), domain_name("folderless", 3), "pvhck-mine"
    )
    said: list[str] = []
    with RunArea(shell, RUN) as area:
        Path(area.path("pvhck-a-1.img")).write_text("disk")

        assert sweep(shell, toolstack, said.append) == 2

        assert Path(area.path("pvhck-a-1.img")).exists()
        assert is_locked(Path(area.path("alive"))), "looking at the lock has not freed it"
        Path(area.path("pvhck-a-1.img")).unlink()
    assert not dead.exists()
    assert toolstack.destroyed == ["pvhck-dead-1", "pvhck-folderless-3"]
    assert said == [
        "xen1: removing domain pvhck-dead-1",
        f"xen1: removing file {dead}/pvhck-dead-1.cfg",
        f"xen1: removing file {dead}/pvhck-dead-1.img",
        "xen1: removing domain pvhck-folderless-3",
    ]


def test_a_person_s_own_domain_does_not_cost_the_living_runs_their_files(host):
    shell, _ = host
    with RunArea(shell, RUN) as area:
        disk = Path(area.path("pvhck-a-1.img"))
        disk.write_text("disk")
        sweep(shell, Domains("pvhck-template"), silent)
        assert disk.exists()
        disk.unlink()


def test_a_run_whose_name_begins_like_a_dead_one_is_another(host):
    shell, _ = host
    toolstack = Domains(domain_name("a", 1), domain_name("a-b", 1))
    dead_run(shell, "a", "x")
    with RunArea(shell, "a-b"):
        sweep(shell, toolstack, silent)
    assert toolstack.names == [domain_name("a-b", 1)]


def test_a_run_that_lost_its_connection_takes_its_lock_again(host):
    shell, server = host
    with RunArea(shell, RUN) as area:
        server.drop()
        shell.run(["true"], repeatable=True)
        wait_until(
            lambda: Done(None) if is_locked(Path(area.path("alive"))) else NotYet("free"),
            subject="the lock is taken again",
            deadline=Deadline.after(10),
            interval_s=0.02,
        )
        assert sweep(shell, Domains(domain_name(RUN, 1)), silent) == 0


def test_a_storage_that_cannot_be_locked_is_the_host_s_fault(host):
    shell, server = host
    server.machine.program("flock", "echo 'flock: bad' >&2; exit 64")
    with pytest.raises(InfrastructureError, match="cannot lock"), RunArea(shell, RUN):
        pass


# -- kept on purpose


def test_a_kept_run_is_spared_until_its_time_has_come(host):
    shell, server = host
    with RunArea(shell, RUN) as area:
        disk = Path(area.path("pvhck-a-1.img"))
        disk.write_text("disk")
        area.keep(hours=1)

        assert sweep(shell, Domains(domain_name(RUN, 1)), silent) == 0
        server.machine.program("date", "echo 4000000000")
        assert sweep(shell, Domains(domain_name(RUN, 1)), silent) == 1
    assert not disk.exists()


@pytest.mark.parametrize("text", ["", "soon", "-1", "1e9", "\xb2"])
def test_an_expiry_that_makes_no_sense_keeps_nothing(host, text):
    shell, _ = host
    folder = dead_run(shell, "dead", "disk")
    (folder / "kept-until").write_text(text)

    assert sweep(shell, Domains(), silent) == 1
    assert not folder.exists()


# -- leftovers


def test_leftovers_are_domains_files_and_loop_devices_of_the_run_alone(host):
    shell, server = host
    folder = dead_run(shell, RUN, "pvhck-a-1.img", "alive", "kept-until")
    (server.machine.root / "loops").write_text(
        f"/dev/loop0: [2049]:1 ({folder}/pvhck-a-1.img)\n/dev/loop1: [2049]:2 ({folder}x/other.img)\n"
    )
    toolstack = Domains(domain_name(RUN, 1), domain_name(f"{RUN}-x", 1), "win1")

    assert leftovers(shell, toolstack, RUN) == (
        Leftover("domain", domain_name(RUN, 1)),
        Leftover("file", f"{folder}/pvhck-a-1.img"),
        Leftover("loop device", "/dev/loop0"),
    )


def test_strays_of_domains_that_are_gone_are_leftovers_and_are_taken_away(host):
    shell, server = host
    name = domain_name(RUN, 1)
    server.machine.program("ps", f"echo '99999999 /usr/bin/qemu-system-i386 -name {name}'")
    server.machine.program("xenstore-ls", "echo '/libxl/7/device = \"\"'")
    server.machine.program("xenstore-rm", 'echo "$*" >>"$PWD/removed"')
    server.machine.program("ls", "echo vif7.0")
    server.machine.program("ip", 'echo "$*" >>"$PWD/removed"')

    found = leftovers(shell, Domains(), RUN, {7})
    for leftover in found:
        remove_leftover(shell, Domains(), leftover)

    assert found == (
        Leftover("network device", "vif7.0"),
        Leftover("process", f"99999999 (qemu-system-i386 of {name})"),
        Leftover("xenstore path", "/libxl/7"),
    )
    assert (server.machine.root / "removed").read_text() == "link delete vif7.0\n/libxl/7\n"
    assert {item.name for item in leftovers(shell, Domains(name), RUN)} == {name}, "it is there: no strays"


def test_removing_what_is_already_gone_is_no_error(host):
    shell, server = host
    toolstack = Domains()
    remove_leftover(shell, toolstack, Leftover("domain", domain_name(RUN, 1)))
    remove_leftover(shell, toolstack, Leftover("file", str(runs(shell) / "none")))
    remove_leftover(shell, toolstack, Leftover("loop device", "/dev/loop0"))
    assert (server.machine.root / "losetup.log").read_text() == "-d /dev/loop0\n"
