"""The simulated guest's balloon follows memory/target, stops where Windows is short of memory, comes back."""

from __future__ import annotations

from pathlib import Path

from guest_machine import Bench, Box, bench

from harness.simlab.clock import Pace

_MIB = 1024
_FULL, _VIDEO = 2048, 16


def _settled(one: Bench, box: Box, mib: int) -> None:
    one.until(lambda: box.memory == mib * _MIB, f"{mib} MiB")
    one.settle()


def test_without_drivers_a_target_is_not_obeyed(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        box = one.start()
        box.target(1024)
        one.settle()
        assert box.memory == _FULL * _MIB


def test_memory_goes_down_to_the_target_and_up_again_and_the_guest_sees_it(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        box = one.install_all()
        before = one.ops.memory()
        box.target(1500)
        _settled(one, box, 1500)
        less = one.ops.memory()
        assert less.total_kib == before.total_kib, "this line of XENBUS takes from the free memory"
        assert before.free_kib - less.free_kib == (_FULL - 1500) * _MIB
        box.target(_FULL)
        _settled(one, box, _FULL)
        assert one.ops.memory() == before


def test_newer_drivers_take_from_the_total(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        box = one.install_all("9.2.0.1")
        before = one.ops.memory()
        box.target(1500)
        _settled(one, box, 1500)
        less = one.ops.memory()
        assert before.total_kib - less.total_kib == (_FULL - 1500) * _MIB


def test_an_impossible_target_leaves_the_guest_alive_above_it(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        box = one.install_all()
        box.target(64)
        one.until(lambda: box.memory < 600 * _MIB, "most of it is given back")
        one.settle(100 * Pace.balloon)
        least = box.memory
        one.settle(100 * Pace.balloon)
        assert box.memory == least > 300 * _MIB, "what it asks for in vain changes nothing"
        assert one.ops.memory().free_kib >= 32 * _MIB
        assert box.stopped is None
        box.target(_FULL)
        _settled(one, box, _FULL)


def test_a_host_without_memory_makes_the_guest_wait(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        box = one.install_all()
        box.target(1500)
        _settled(one, box, 1500)
        box.most_memory = 1600 * _MIB
        box.target(_FULL)
        one.until(lambda: box.memory > 1500 * _MIB, "it takes what there is")
        one.settle()
        assert box.memory <= 1600 * _MIB
        box.most_memory = _FULL * _MIB
        _settled(one, box, _FULL)


def test_a_target_below_the_most_at_boot_is_met_before_services_run(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        one.install_all()
        one.ops.restart()
        one.box.await_stop()
        one.guest.cut()
        box = one.make_box()
        box.target(1400)
        one.guest.power_on(box)
        one.await_up()
        assert box.memory == 1400 * _MIB


def test_without_static_max_nothing_moves(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        box = one.install_all()
        box.store.remove(f"/local/domain/{box.domid}/memory/static-max")
        box.target(1500)
        one.settle()
        assert box.memory == _FULL * _MIB, "xend writes no static-max: XENBUS goes back to waiting"


def test_the_fault_balloon_stuck(tmp_path: Path) -> None:
    with bench(tmp_path, "balloon-stuck") as one:
        one.start()
        box = one.install_all()
        box.target(1500)
        one.settle()
        assert box.memory == _FULL * _MIB
