"""What is found in a host's logs, and what is let be: lines as Linux and Xen write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.host.logscan import HostLogs, new_lines, scan

BOOT = "[    0.000000] Linux version 6.1\n[    1.000000] xen:balloon: Initialising\n"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("[  9.1] Kernel panic - not syncing: Fatal exception in interrupt", "panic"),
        ("(XEN) Panic on CPU 3:", "panic"),
        ("[  9.1] Oops: 0002 [#1] SMP", "oops"),
        ("BUG: unable to handle kernel NULL pointer dereference at 0000000000000008", "oops"),
        ("[  9.1] kernel BUG at drivers/xen/grant-table.c:412!", "bug"),
        ("(XEN) Xen BUG at domain.c:412", "bug"),
        ("[  9.1] xenstored[412]: segfault at 8 ip 00007f12 sp 00007ffd error 4", "segfault"),
        ("[  9.1] Out of memory: Killed process 412 (qemu-system-i38)", "out of memory"),
        ("[  9.1] qemu-system-i38: page allocation failure: order:5", "out of memory"),
        ("[  9.1] watchdog: BUG: soft lockup - CPU#1 stuck for 22s!", "stall"),
        ("[  9.1] INFO: task xl:412 blocked for more than 120 seconds.", "stall"),
        ("(XEN) grant_table.c:1861:d3v0 Bad grant reference 412", "grant error"),
        ("(XEN) common/grant_table.c:755:d0v1 Bad flags (0) or dom (0); expected d0", "grant error"),
    ],
)
def test_a_line_that_should_not_be_there_is_found(line: str, what: str) -> None:
    before = HostLogs(BOOT, BOOT)
    found = scan(before, HostLogs(BOOT, f"{BOOT}{line}\n"))
    assert [(one.what, one.line, one.log, one.known) for one in found] == [(what, line, "the hypervisor", "")]


def test_what_was_there_before_the_run_is_not_of_the_run() -> None:
    oops = HostLogs(f"{BOOT}[  9.1] Oops: 0002 [#1] SMP\n")
    assert scan(oops, HostLogs(f"{oops.kernel}[ 10.0] all is well\n")) == ()


@pytest.mark.parametrize(
    "line",
    [
        "[    6.8] Kernel command line: BOOT_IMAGE=/boot/vmlinuz quiet panic=0 xen_emul_unplug=all",
        "[   17.5] xen:grant_table: Grant tables using version 1 layout",
        "(XEN) d3v0 Triple fault - invoking HVM shutdown action 1",
        "[    1.0] debug: BUGS=none",
    ],
)
def test_what_healthy_hosts_write_is_no_finding(line: str) -> None:
    assert scan(HostLogs(), HostLogs(line, line)) == ()


def test_stalls_are_known_on_nested_hosts_only() -> None:
    logs = HostLogs("[  9.1] rcu: INFO: rcu_sched detected stalls on CPUs/tasks:")
    assert scan(HostLogs(), logs)[0].known == ""
    assert "emulated" in scan(HostLogs(), logs, nested=True)[0].known


def test_a_flood_is_cut_short() -> None:
    flood = "\n".join(f"[ {number}.0] Oops: 0002 [#{number}] SMP" for number in range(500))
    assert len(scan(HostLogs(), HostLogs(flood))) == 20


lines = st.lists(st.sampled_from(["a", "b", "c", "(XEN) x"]), max_size=12)


@given(lines, lines)
def test_what_was_added_is_what_is_new(old: list[str], added: list[str]) -> None:
    assert new_lines("\n".join(old), "\n".join([*old, *added])) == added


def test_in_a_ring_that_has_turned_all_is_new_after_what_is_left_of_the_old() -> None:
    old = [f"line {number}" for number in range(20)]
    assert new_lines("\n".join(old), "\n".join([*old[12:], "new"])) == ["new"]
    assert new_lines("\n".join(old), "quite\nanother") == ["quite", "another"]
