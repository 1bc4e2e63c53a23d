"""Memory targets: down in steps and up again, as the guest, the list of domains and the host see it."""

import pytest

from harness.scenario import (
    Balloon,
    BalloonParams,
    DataDisks,
    DriverName,
    Guest,
    Host,
    Measure,
    Requirement,
    StorageParams,
    Tolerance,
    dirties,
    drivers,
    exclusive,
    requires,
)

_NEEDS = Requirement(drivers=(DriverName.XENBUS,))
_WITH_DISK = Requirement(drivers=(DriverName.XENBUS, DriverName.XENVBD))


@pytest.fixture
def memory(guest: Guest, balloon: BalloonParams) -> Balloon:
    """The guest's memory target, its baseline taken while the guest has all its memory."""
    return Balloon(guest, Tolerance(balloon.tolerance_mib, balloon.progress_tolerance_mib))


def _steps(full: int, balloon: BalloonParams) -> list[int]:
    """Targets from the first below full memory down to the floor, in MiB."""
    floor = full * balloon.floor_percent / 100
    return [round(full - (full - floor) * step / balloon.steps) for step in range(1, balloon.steps + 1)]


@exclusive
@drivers("xenbus")
@requires(_NEEDS)
def test_down_in_steps_and_up_again_in_cycles(
    memory: Balloon, balloon: BalloonParams, measure: Measure
) -> None:
    down, up = [], []
    for _ in range(balloon.cycles):
        targets = _steps(memory.full, balloon)
        down += [memory.go(target, seconds=balloon.settle_s) for target in targets]
        up.append(memory.go(memory.full, seconds=balloon.settle_s))

    for metric, moves in (("balloon_inflate", down), ("balloon_deflate", up)):
        rates = tuple(move.mib_per_s for move in moves)
        measure(
            metric,
            min(rates),
            "MiB/s",
            better="higher",
            samples=rates,
            figure="slowest",
            steps=balloon.steps,
            floor_percent=balloon.floor_percent,
        )
    assert all(move.mib > 0 for move in down), "a lower target gave no memory back"
    assert all(move.mib < 0 for move in up), "the full target gave no memory to the guest"


@exclusive
@drivers("xenbus", "xenvbd")
@requires(_WITH_DISK)
def test_io_goes_on_while_memory_moves(
    memory: Balloon, balloon: BalloonParams, data_disks: DataDisks, storage: StorageParams
) -> None:
    disk = data_disks.attach_blocks(
        storage.pattern_blocks, storage.pattern_block_kib, seconds=storage.attach_s
    )
    for target in (*_steps(memory.full, balloon), memory.full):
        memory.aim(target)
        written = disk.write_pattern(
            blocks=storage.pattern_blocks, block_size=storage.pattern_block_kib * 1024
        )
        read = disk.read_pattern(written)

        assert read == written, f"I/O went wrong while memory moved to {target} MiB"
        memory.settle(target, seconds=balloon.settle_s)


@exclusive
@dirties
@drivers("xenbus")
@requires(_NEEDS)
def test_an_impossible_target_is_survived(
    guest: Guest, host: Host, memory: Balloon, balloon: BalloonParams, measure: Measure
) -> None:
    impossible = max(1, round(memory.full * balloon.impossible_percent / 100))
    boot = guest.boot_id

    memory.aim(impossible)
    memory.fall_below(_steps(memory.full, balloon)[-1], seconds=balloon.settle_s)
    least = memory.leave(seconds=balloon.impossible_s)
    back = memory.go(memory.full, seconds=balloon.recover_s)

    measure("balloon_least", least, "MiB", better="lower", target=impossible)
    measure("balloon_recovery", back.seconds, "s", better="lower", target=impossible)
    assert guest.operations.boot_id().boot_id == boot, "the guest rebooted over it"
    domain = host.toolstack.find(guest.name)
    assert domain is not None
    assert not domain.crashed
