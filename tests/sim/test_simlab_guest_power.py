"""How the simulated guest stops: asked, told, cut off, crashed, saved."""

from __future__ import annotations

from pathlib import Path

import pytest
from guest_machine import MAC, Bench, Box, bench

from harness.model import DriverName
from harness.simlab.machine import StopReason


def _next_boot(one: Bench) -> Box:
    one.guest.cut()
    return one.start()


@pytest.mark.parametrize(
    ("request_", "reason", "number"), [("poweroff", StopReason.POWEROFF, 1), ("reboot", StopReason.REBOOT, 2)]
)
def test_a_request_is_acknowledged_by_xenagent_and_ends_clean(
    tmp_path: Path, request_: str, reason: StopReason, number: int
) -> None:
    with bench(tmp_path) as one:
        one.start()
        box = one.install_all()
        mark = one.ops.event_mark().record
        box.ask(request_)
        assert box.await_stop() is reason
        assert box.key("control/shutdown") == ""
        assert [box.key(f"device/{path}/state") for path in ("vif/0", "vbd/768")] == ["6", "6"]
        _next_boot(one)
        stops = one.ops.stop_events(record=mark)
        assert (stops.requested, stops.clean, stops.unclean, stops.bugchecks) == (1, 1, 0, 0)
        agent = [
            event.event_id
            for event in one.ops.events_since(record=mark, limit=50)
            if event.provider == "xenagent"
        ]
        assert agent == [number, 6]


def test_without_drivers_nobody_takes_a_request_but_the_button_works(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        box = one.start()
        mark = one.ops.event_mark().record
        box.ask("poweroff")
        one.settle()
        assert box.key("control/shutdown") == "poweroff"
        assert box.stopped is None
        one.guest.press_power()
        assert box.await_stop() is StopReason.POWEROFF
        _next_boot(one)
        stops = one.ops.stop_events(record=mark)
        assert (stops.requested, stops.clean, stops.unclean) == (0, 1, 0)


def test_without_xenagent_a_request_is_never_acknowledged(tmp_path: Path) -> None:
    with bench(tmp_path, "services-missing:xeniface") as one:
        one.start()
        box = one.install_all()
        assert one.ops.services(names=("xeniface", "xenagent"))[0].state == "running"
        assert len(one.ops.services(names=("xeniface", "xenagent"))) == 1
        box.ask("poweroff")
        one.settle()
        assert box.callback, "xl asks, for XENBUS is active"
        assert (box.key("control/shutdown"), box.stopped) == ("poweroff", None)
        assert box.key("control/feature-poweroff") == ""


def test_a_request_that_came_too_early_is_taken_once_services_run(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        one.install_all()
        one.ops.restart()
        one.box.await_stop()
        one.guest.cut()
        box = one.make_box()
        one.guest.power_on(box)
        box.ask("poweroff")
        assert box.await_stop() is StopReason.POWEROFF


def test_the_fault_shutdown_ignored(tmp_path: Path) -> None:
    with bench(tmp_path, "shutdown-ignored") as one:
        one.start()
        box = one.install_all()
        box.ask("reboot")
        one.guest.press_power()
        one.settle()
        assert (box.key("control/shutdown"), box.stopped) == ("reboot", None)


def test_the_fault_shutdown_unclean(tmp_path: Path) -> None:
    with bench(tmp_path, "shutdown-unclean") as one:
        one.start()
        box = one.install_all()
        mark = one.ops.event_mark().record
        box.ask("poweroff")
        assert box.await_stop() is StopReason.POWEROFF
        assert box.key("control/shutdown") == "", "it is acknowledged all the same"
        _next_boot(one)
        stops = one.ops.stop_events(record=mark)
        assert (stops.clean, stops.unclean) == (0, 2)


def test_a_domain_taken_away_reads_as_unclean_and_boots_on(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        mark, boot = one.ops.event_mark().record, one.ops.boot_id()
        one.guest.cut()
        one.start()
        assert one.ops.boot_id() != boot
        stops = one.ops.stop_events(record=mark)
        assert (stops.requested, stops.clean, stops.unclean, stops.bugchecks) == (0, 0, 2, 0)


def test_restart_and_stop_from_inside_are_clean_and_requested(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        mark = one.ops.event_mark().record
        one.reboot()
        one.ops.stop()
        assert one.box.await_stop() is StopReason.POWEROFF
        _next_boot(one)
        stops = one.ops.stop_events(record=mark)
        assert (stops.requested, stops.clean, stops.unclean) == (2, 2, 0)


def test_an_nmi_with_xenbus_crashes_the_domain_and_leaves_a_dump(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        one.install_all()
        mark = one.ops.event_mark().record
        assert one.ops.dump_files() == ()
        one.guest.nmi()
        assert one.box.await_stop() is StopReason.CRASH
        assert one.lines[0] == "XEN|BUGCHECK: ====>"
        assert one.lines[1].startswith("XEN|BUGCHECK: 00000080: ")
        assert b"bugcheck" in one.guest.screen()[:60]
        _next_boot(one)
        stops = one.ops.stop_events(record=mark)
        assert (stops.clean, stops.unclean, stops.bugchecks) == (0, 2, 1)
        paths = [dump.path for dump in one.ops.dump_files()]
        assert paths[0] == "C:\\Windows\\MEMORY.DMP"
        assert paths[1].startswith("C:\\Windows\\Minidump\\")
        one.reboot()
        assert one.ops.stop_events(record=mark).bugchecks == 1, "a crash is told of once"


def test_a_bugcheck_without_xenbus_restarts_and_the_hypervisor_hears_nothing(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        one.guest.nmi()
        assert one.box.await_stop() is StopReason.REBOOT
        assert one.lines == []
        _next_boot(one)
        assert one.ops.stop_events(record=0).bugchecks == 1


def test_the_fault_bugcheck_install(tmp_path: Path) -> None:
    with bench(tmp_path, "bugcheck-install:xenvif") as one:
        one.start()
        one.put_build()
        one.sign_for_tests()
        one.install(DriverName.XENBUS, DriverName.XENIFACE)
        one.reboot()
        inf = "C:\\build\\9.1.0.42\\xenvif\\x64\\xenvif.inf"
        job = one.ops.install_package(inf=inf).job
        assert one.box.await_stop() is StopReason.CRASH
        assert any("xenvif" in line for line in one.lines)
        _next_boot(one)
        assert one.ops.job_status(job=job).state == "lost"
        assert "xenvif.inf" not in {package.original for package in one.ops.driver_packages()}


@pytest.mark.parametrize(
    ("driver", "path", "arguments"),
    [
        ("xenvif", "iperf3.exe", ("-c", "10.0.0.1", "-J")),
        ("xenvbd", "diskspd.exe", ("-d1", "#1")),
    ],
)
def test_the_fault_bugcheck_load(tmp_path: Path, driver: str, path: str, arguments: tuple[str, ...]) -> None:
    with bench(tmp_path, f"bugcheck-load:{driver}") as one:
        one.start()
        one.install_all()
        one.ops.start_tool(path=path, arguments=arguments)
        assert one.box.await_stop() is StopReason.CRASH
        assert any(driver in line for line in one.lines)


def test_the_fault_boot_hangs(tmp_path: Path) -> None:
    with bench(tmp_path, "boot-hangs") as one:
        one.guest.power_on(one.make_box())
        one.until(lambda: b"boot logo" in one.guest.screen()[:60], "the boot logo")
        one.settle()
        assert one.console == ""
        one.guest.nmi()
        one.guest.press_power()
        one.settle()
        assert one.box.stopped is None


def test_nothing_to_boot_from_shows_on_screen_and_console(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        (tmp_path / "system.qcow2").write_bytes(b"QFI\xfb")
        one.guest.power_on(one.make_box())
        one.until(lambda: "No bootable device" in one.console, "the firmware gives up")
        assert b"no bootable device" in one.guest.screen()[:60]


def test_a_paused_guest_does_nothing_until_it_goes_on(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        box = one.install_all()
        box.paused = True
        one.guest.pause_changed()
        box.ask("poweroff")
        one.until(lambda: one.system.endpoint._paused, "WinRM freezes")
        assert box.key("control/shutdown") == "poweroff"
        box.paused = False
        one.guest.pause_changed()
        assert box.await_stop() is StopReason.POWEROFF


def test_a_saved_guest_goes_on_in_another_domain(tmp_path: Path) -> None:
    with bench(tmp_path) as one:
        one.start()
        box = one.install_all()
        boot, mark = one.ops.boot_id(), one.ops.event_mark().record
        box.ask("suspend")
        assert box.await_stop() is StopReason.SUSPEND
        assert box.key("control/shutdown") == ""
        box = one.make_box()
        assert box.key("device/vif/0/state") == "1"
        one.guest.resume(box)
        one.until(lambda: box.key("device/vbd/768/state") == "4", "the disk is connected again")
        one.settle()
        assert box.key("device/vif/0/state") == "4"
        assert box.callback
        assert (box.nics[0].model, box.disks[0].emulated) == (None, False)
        assert one.ops.boot_id() == boot
        assert one.ops.stop_events(record=mark).unclean == 0
        assert one.system.endpoint.address == one.addresses[MAC]
        box.ask("poweroff")
        assert box.await_stop() is StopReason.POWEROFF
        _next_boot(one)
        assert one.ops.stop_events(record=mark).clean == 1


def test_a_job_goes_on_over_save_and_restore(tmp_path: Path) -> None:
    with bench(tmp_path, factor=1.0) as one:
        box = one.start()
        job = one.ops.start_tool(path="iperf3", arguments=("-c", "x", "-t", "10", "-J")).job
        assert one.ops.job_status(job=job).state == "running"
        # without drivers nobody is asked: the host just stops it
        box.paused = True
        one.guest.pause_changed()
        box = one.make_box()
        one.guest.resume(box)
        assert one.run(job).exit_code == 0


def test_the_same_seed_gives_the_same_answers(tmp_path: Path) -> None:
    answers = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with bench(tmp_path / name) as one:
            one.start()
            facts = one.ops.system_facts()
            events = [
                (event.record, event.provider, event.event_id)
                for event in one.ops.events_since(record=0, limit=99)
            ]
            statistics = one.ops.network_adapters()[0].statistics
            devices, memory, volumes = one.ops.pnp_devices(prefix=""), one.ops.memory(), one.ops.volumes()
            answers.append((facts.computer_name, memory, devices, events, volumes, statistics))
    assert answers[0] == answers[1]
