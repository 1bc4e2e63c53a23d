"""Memory targets: obeyed with XENBUS, ignored without, refused above the maximum."""

from __future__ import annotations

import pytest

from harness.deadline import Done, NotYet, wait_until
from harness.errors import CommandFailed
from harness.guest.guest import Guest

_MIB = 1024
_CLOSE_MIB = 32  # xl list leaves out what the screen takes


def settled(guest: Guest, mib: int) -> int:
    """Wait until ``xl list`` shows the target; gives what it shows."""

    def probe():
        domain = guest.host.toolstack.find(guest.name)
        assert domain is not None
        near = abs(domain.memory_mib - mib) <= _CLOSE_MIB
        return Done(domain.memory_mib) if near else NotYet(f"{domain.memory_mib} MiB")

    return wait_until(probe, subject=f"{guest.name} at {mib} MiB", deadline=guest.deadline(60))


def seen(guest: Guest) -> int:
    """MiB the guest could use; which figure shrinks depends on the driver."""
    memory = guest.operations.memory()
    return min(memory.total_kib, memory.physical_kib) // _MIB


def test_a_guest_gives_memory_back_and_takes_it_again(full_guest: Guest):
    xl, full = full_guest.host.toolstack, full_guest.domain.memory_mib
    low = full - 96
    free, before = xl.info().free_mib, full_guest.operations.memory()

    assert xl.set_memory(full_guest.name, low) <= low * _MIB
    settled(full_guest, low)
    after = full_guest.operations.memory()
    assert xl.info().free_mib - free >= 64, "the host has it"
    assert before.free_kib - after.free_kib >= 48 * _MIB, "the guest has not"
    assert full_guest.operations.boot_id().boot_id == full_guest.boot_id

    xl.set_memory(full_guest.name, full)
    settled(full_guest, full)
    assert full_guest.operations.memory().free_kib - after.free_kib >= 48 * _MIB


def test_a_target_above_the_maximum_is_refused_and_changes_nothing(full_guest: Guest):
    xl = full_guest.host.toolstack
    before = full_guest.host.xenstore.read(f"{full_guest.store}/memory/target")
    with pytest.raises(CommandFailed, match="mem-set"):
        xl.set_memory(full_guest.name, full_guest.domain.memory_mib * 4)
    assert full_guest.host.xenstore.read(f"{full_guest.store}/memory/target") == before


def test_a_guest_without_drivers_keeps_its_memory(bare_guest: Guest):
    xl, full = bare_guest.host.toolstack, bare_guest.domain.memory_mib
    low = full - 96
    before = xl.find(bare_guest.name).memory_mib

    assert xl.set_memory(bare_guest.name, low) <= low * _MIB, "the target is set all the same"
    bare_guest.operations.boot_id()
    assert xl.find(bare_guest.name).memory_mib == before
    assert seen(bare_guest) > low - _CLOSE_MIB
    xl.set_memory(bare_guest.name, full)
