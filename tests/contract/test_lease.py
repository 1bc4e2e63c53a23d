"""A host belongs to one run at a time, whatever becomes of its holder."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.errors import HostBusy
from harness.host import lease
from harness.host.lease import FOLDER, Holder, HostLease, holder_now, lease_holder, release, reserve
from harness.host.ssh import SshShell
from harness.host.sshlogin import Credentials
from harness.lab import HostKind, HostSpec, resolve_secret

pytestmark = pytest.mark.one_row

NOBODY = "nobody holds it"
OTHER = "somebody@elsewhere"
_END_S = 60  # a missing line is noticed by a look every 20 s


def shell_of(spec: HostSpec) -> SshShell:
    return SshShell(spec, Credentials(lambda ref: resolve_secret(ref).reveal()))


@pytest.fixture
def shell(contract_host) -> Iterator[SshShell]:
    """A connection of its own, as another controller has."""
    own = shell_of(contract_host.spec)
    yield own
    own.run(["rm", "-f", f"{FOLDER}/reserved.json"])
    own.close()


def _hold(spec: HostSpec, folder: Path, said: multiprocessing.connection.Connection) -> None:
    with HostLease(shell_of(spec), holder_now("run-of-another"), folder=folder):
        said.send("held")
        said.recv()


@contextlib.contextmanager
def held_by_a_process(spec: HostSpec, folder: Path) -> Iterator[multiprocessing.process.BaseProcess]:
    """A process that holds the host until it is told to end, or is killed."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_hold, args=(spec, folder, theirs))
    process.start()
    theirs.close()
    try:
        assert ours.recv() == "held"
        yield process
    finally:
        with contextlib.suppress(OSError):
            ours.send("end")
        process.join(_END_S)
        assert process.exitcode is not None, "the holder does not end"


def free(shell: SshShell) -> None:
    wait_until(
        lambda: NotYet(str(found)) if (found := lease_holder(shell)) else Done(None),
        subject="the host is free again",
        deadline=Deadline.after(_END_S * shell.spec.time_factor),
        interval_s=0.1,
    )


def test_a_host_is_held_and_says_by_whom_and_is_free_afterwards(shell, tmp_path):
    holder = holder_now("run-1", expected_s=3600, reason="nightly")
    with HostLease(shell, holder, folder=tmp_path) as held:
        assert lease_holder(shell) == holder
        assert held.lost == ""
    free(shell)  # dom0 lets go a moment after we do


def test_another_controller_is_refused_and_told_who_holds_it(shell, contract_host, tmp_path):
    with (
        HostLease(shell, replace(holder_now("run-1"), owner=OTHER), folder=tmp_path / "one"),
        contextlib.closing(shell_of(contract_host.spec)) as second,
    ):
        with (
            pytest.raises(HostBusy, match=f"run run-1 of {OTHER}"),
            HostLease(second, holder_now("run-2"), folder=tmp_path / "two"),
        ):
            pytest.fail("two runs on one host")
        assert lease_holder(shell) is not None, "it was taken from its holder"


def test_a_second_run_of_this_machine_is_refused_without_asking_the_host(shell, tmp_path):
    spec = replace(shell.spec, kind=HostKind.SSH)
    with contextlib.closing(shell_of(spec)) as first, HostLease(first, holder_now("run-1"), folder=tmp_path):
        nowhere = SshShell(replace(spec, key_file=None), Credentials(_no_secret))
        with (
            pytest.raises(HostBusy, match="run run-1"),
            HostLease(nowhere, holder_now("run-2"), folder=tmp_path),
        ):
            pytest.fail("two runs of one machine on one host")


def test_a_host_whose_holder_was_killed_is_free_at_once(shell, contract_host, tmp_path):
    with held_by_a_process(contract_host.spec, tmp_path) as holder:
        assert "run-of-another" in str(lease_holder(shell))
        holder.kill()
        free(shell)
    with HostLease(shell, holder_now("run-2"), folder=tmp_path):
        pass


def test_a_host_whose_holder_says_nothing_any_more_is_freed_by_itself(shell, contract_host, tmp_path):
    # a stopped process is what a cut cable looks like from dom0: the connection stands, no line comes
    with held_by_a_process(contract_host.spec, tmp_path) as holder:
        assert holder.pid is not None
        os.kill(holder.pid, signal.SIGSTOP)
        try:
            assert lease_holder(shell) is not None
            shell.check(["touch", "-t", "202601010000", f"{FOLDER}/lease.beat"])
            free(shell)
        finally:
            os.kill(holder.pid, signal.SIGCONT)


def test_a_holder_learns_that_its_lock_was_ended_on_the_host(shell, contract_host, tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "_BEAT_S", 1)
    with (
        contextlib.closing(shell_of(contract_host.spec)) as own,
        HostLease(own, holder_now("run-1"), folder=tmp_path) as held,
    ):
        shell.check(["sh", "-c", f"kill $(cat {FOLDER}/lease.pid)"])
        wait_until(
            lambda: Done(None) if held.lost else NotYet("it thinks that it holds the host"),
            subject="the loss is seen",
            deadline=Deadline.after(30 * shell.spec.time_factor),
            interval_s=0.1,
        )
    assert "lost" in held.lost


def test_a_lease_survives_a_broken_connection(shell, contract_host, tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "_BEAT_S", 1)
    with (
        contextlib.closing(shell_of(contract_host.spec)) as own,
        HostLease(own, holder_now("run-1"), folder=tmp_path) as held,
    ):
        own.close()
        wait_until(
            lambda: Done(None) if lease_holder(shell) else NotYet(NOBODY),
            subject="the host is held again",
            deadline=Deadline.after(30 * shell.spec.time_factor),
            interval_s=0.1,
        )
        assert held.lost == ""


def test_what_a_person_reserved_no_run_of_others_takes(shell, tmp_path):
    mine = reserve(shell, 3600, "debugging XENVBD")
    assert lease.reservation(shell) == mine
    with HostLease(shell, holder_now("run-of-mine"), folder=tmp_path):
        pass
    other = replace(holder_now("run-2"), owner=OTHER)
    with pytest.raises(HostBusy, match="debugging XENVBD"), HostLease(shell, other, folder=tmp_path):
        pytest.fail("it was reserved")
    assert release(shell) == mine
    with HostLease(shell, other, folder=tmp_path):
        pass


def test_a_reservation_ends_by_itself(shell):
    reserve(shell, -1, "long ago")
    assert lease.reservation(shell) is None


def test_what_others_reserved_is_released_by_force_only(shell, monkeypatch):
    monkeypatch.setattr(lease, "me", lambda: OTHER)
    theirs = reserve(shell, 3600, "")
    monkeypatch.undo()
    with pytest.raises(HostBusy, match=OTHER):
        release(shell)
    with pytest.raises(HostBusy, match=OTHER):
        reserve(shell, 60, "")
    assert release(shell, force=True) == theirs


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owner": 1}', '{"owner": "x", "run": "", "since": "y"}'])
def test_a_note_that_cannot_be_read_does_not_hide_that_the_host_is_held(shell, text, tmp_path):
    with HostLease(shell, holder_now("run-1"), folder=tmp_path):
        shell.put(text.encode(), f"{FOLDER}/lease.json")
        assert lease_holder(shell) == Holder("somebody unknown")


def test_of_a_holder_nobody_knows_no_time_is_made_up():
    assert str(Holder("somebody unknown")) == "somebody unknown"


def _no_secret(_: object) -> str:
    raise AssertionError("the host was asked")
