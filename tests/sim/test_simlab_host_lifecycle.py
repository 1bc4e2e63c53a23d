"""Lives of domains: shutdown, reboot, crash, save and restore, memory, what the guest is told."""

import pytest
from simlab_host_support import MAC, STORAGE, WAIT_S, DoubleGuest, config, dom0, recorded, without_numbers

from harness.model import XenVersion
from harness.simlab.clock import Pace
from harness.simlab.machine import StopReason

SLOW_TO_GO = Pace(linger=30, acknowledge_limit=5)


@pytest.fixture
def host(tmp_path):
    with dom0(tmp_path) as made:
        made.create()
        assert made.guests[0].heard("power_on")
        yield made


@pytest.fixture
def bare(tmp_path):
    with dom0(tmp_path, guest=lambda name: DoubleGuest(name, pv=False)) as made:
        made.create()
        yield made


def spoken(folder, name):
    wanted = recorded(folder, name)
    return wanted.rc, without_numbers(wanted.out + wanted.err)


def said(ran):
    return ran.rc, without_numbers(ran.out + ran.err)


# -- stops


def test_a_guest_without_pv_drivers_refuses_and_stays(bare):
    assert said(bare.run("xl shutdown win1")) == spoken("stand-in-4.17", "nopv-shutdown")
    assert said(bare.run("xl shutdown -w win1")) == spoken("xen-4.17", "err-shutdown-w-nopv")
    assert said(bare.run("xl reboot win1")) == spoken("stand-in-4.17", "nopv-reboot-refused")
    assert bare.run("xl list win1").rc == 0
    assert "press_power" not in bare.guests[0].calls


def test_the_acpi_fallback_presses_the_button_and_has_none_for_reboot(bare):
    assert said(bare.run("xl shutdown -F win1")) == spoken("stand-in-4.17", "nopv-shutdown-F")
    assert bare.guests[0].heard("press_power")
    assert said(bare.run("xl reboot -F win1")) == spoken("stand-in-4.17", "nopv-reboot-F")


def test_a_shutdown_is_acknowledged_then_the_domain_goes(host):
    assert said(host.run("xl shutdown win1")) == spoken("stand-in-4.17", "all-shutdown")
    host.await_domains(lambda domains: not domains)
    assert host.guests[0].heard("cut")
    assert host.run("xl shutdown win1").err == "win1 is an invalid domain identifier (rc=-6)\n"


def test_waiting_returns_while_the_domain_is_still_listed(tmp_path):
    with dom0(tmp_path, pace=SLOW_TO_GO) as host:
        host.create()
        assert said(host.run("xl shutdown -w win1")) == spoken("xen-4.17", "shutdown-w")
        listed = host.ok("xl list win1").splitlines()[1]
        assert "--ps--" in listed
        refused = host.run("xl destroy win1")
        assert refused.rc == 1
        assert "Device Model already exited" in refused.err


def test_a_reboot_lingers_too_and_gives_a_new_domid_to_the_same_guest(tmp_path):
    with dom0(tmp_path, pace=Pace(linger=0.3)) as host:
        host.create()
        assert said(host.run("xl reboot -w win1")) == spoken("xen-4.17", "reboot")
        assert "--psr-" in host.ok("xl list win1")
        guest = host.guests[0]
        assert guest.heard("power_on", 2)
        assert host.ok("xl domid win1") == "2\n"
        assert len(host.guests) == 1
        assert guest.machine.domid == 2
        assert not host.host.store.exists("/local/domain/1")
        wanted = recorded("xen-4.17", "log-xl-win1").out.splitlines()
        log = host.ok("cat /var/log/xen/xl-win1.log").splitlines()
        assert [without_numbers(line) for line in log] == [without_numbers(line) for line in wanted]


def test_a_request_nobody_takes_times_out(tmp_path):
    with dom0(tmp_path, guest=lambda name: DoubleGuest(name, polite=False)) as host:
        host.create()
        assert said(host.run("xl shutdown win1")) == spoken("stand-in-4.17", "legacy-all-shutdown-crashed")
        assert host.run("xl list win1").rc == 0
        assert host.ok("xenstore-read /local/domain/1/control/shutdown") == "poweroff\n"


def test_old_toolstacks_do_not_wait_for_the_acknowledgement(tmp_path):
    with dom0(tmp_path, guest=lambda name: DoubleGuest(name, polite=False), xen=XenVersion(4, 12)) as host:
        host.create()
        assert host.run("xl shutdown win1").rc == 0


def test_a_crash_is_kept_to_be_looked_at(host):
    host.ok("xl trigger win1 nmi")
    host.await_domains(lambda domains: domains[0].shutdown is StopReason.CRASH)

    assert said(host.run("xl list -v win1")) == spoken("stand-in-4.17", "legacy-all-sysrq-c-xl-list-v")
    assert said(host.run("xl unpause win1")) == spoken("stand-in-4.17", "legacy-all-unpause-crashed")
    log = host.ok("tail -n 3 /var/log/xen/xl-win1.log")
    assert "Action for shutdown reason code 3 is preserve" in log
    assert said(host.run("xl shutdown win1")) == spoken("stand-in-4.17", "legacy-all-shutdown-crashed")
    assert host.ok("xl destroy win1") == ""
    assert host.run("xl list win1").rc == 1


@pytest.mark.parametrize(("action", "left"), [("destroy", 0), ("restart", 1)])
def test_other_actions_on_a_crash_are_obeyed(tmp_path, action, left):
    with dom0(tmp_path) as host:
        host.create(on_crash=action)
        host.ok("xl trigger win1 nmi")
        assert host.guests[0].heard("cut")
        host.await_domains(lambda domains: len(domains) == left and (not left or domains[0].domid == 2))
        assert not left or host.guests[0].heard("power_on", 2)


def test_destroy_cuts_the_power_and_frees_all(host):
    host.ok("xl destroy win1")
    assert host.guests[0].calls[-1] == "cut"
    assert host.ok("xenstore-ls -f /local/domain/0/backend/qdisk") == ""
    assert not host.host.store.exists("/local/domain/1")
    assert host.host.hypervisor.free_kib == 4096 * 1024


def test_a_machine_whose_life_is_over_changes_nothing(host):
    old = host.guests[0].machine
    host.run("xl reboot win1")
    assert host.guests[0].heard("power_on", 2)
    old.stop(StopReason.CRASH)
    assert not old.set_memory(1024)
    assert "c" not in host.ok("xl list win1").splitlines()[1].split()[4]


# -- pauses


def test_a_domain_made_paused_boots_when_it_is_let_go(tmp_path):
    with dom0(tmp_path) as host:
        host.ok(f"qemu-img create -q -f qcow2 -F qcow2 -b {STORAGE}/win.qcow2 {STORAGE}/win1.img")
        host.host.files.write("/root/win1.cfg", config())
        host.run("xl create -p /root/win1.cfg")
        assert host.guests[0].calls == []
        host.ok("xl unpause win1")
        host.ok("xl pause win1")
        host.ok("xl unpause win1")
        assert host.guests[0].calls == ["power_on", "paused=True", "paused=False"]


def test_pauses_are_counted_as_xen_does_since_4_2(tmp_path):
    legacy = {"disk": [f"tap:qcow2:{STORAGE}/win1.img,hda,w"]}
    for xen, flags, more in ((XenVersion(4, 2), "--p---", {}), (XenVersion(4, 1), "-b----", legacy)):
        with dom0(tmp_path / str(xen), xen=xen) as host:
            host.create(**more)
            host.ok("xl pause win1; xl pause win1; xl unpause win1")
            assert flags in host.ok("xl list win1")


def test_a_disk_with_nothing_on_it_boots_nothing(tmp_path):
    with dom0(tmp_path) as host:
        host.ok(f"qemu-img create -q -f qcow2 {STORAGE}/empty.img 1G")
        host.host.files.write("/root/e.cfg", config("empty"))
        host.run("xl create /root/e.cfg")
        assert host.guests == []
        assert "No bootable device" in host.ok("cat /var/log/xen/con-empty.log")


# -- save and restore


def test_save_and_restore_bring_the_same_guest_back_under_a_new_domid(host):
    guest = host.guests[0]
    guest.machine.unplug(disks=True, nics=True)
    host.ok("mkdir -p /root/lab")
    assert said(host.run("xl save win1 /root/lab/win1.save")) == spoken("stand-in-4.17", "all-save")
    assert host.run("xl list win1").rc == 1
    assert "cut" not in guest.calls, "a saved guest has not lost its power"

    restored = said(host.run("xl restore /root/lab/win1.save"))
    assert restored == spoken("stand-in-4.17", "all-restore")
    assert guest.heard("resume")
    assert guest.machine.domid == 2
    assert [nic.model for nic in guest.machine.nics] == [None], "twins that were unplugged stay so"
    assert host.run("xl shutdown win1").rc == 0, "the callback survives, as recorded"


def test_a_guest_without_pv_drivers_is_saved_without_being_asked(bare):
    guest = bare.guests[0]
    assert bare.run("xl save win1 /root/win1.save").rc == 0
    assert guest.machine.paused
    assert guest.heard("paused=True")
    assert bare.run("xl restore /root/win1.save").rc == 0
    assert guest.heard("resume")


def test_a_save_file_is_good_for_one_restore_and_no_other_file_for_any(host):
    host.run("xl save win1 /root/a.save")
    host.run("xl restore /root/a.save")
    host.run("xl destroy win1")
    for path in ("/root/a.save", "/root/win1.cfg", "/root/none"):
        assert host.run(f"xl restore {path}").rc == 1


def test_a_save_that_finds_no_room_leaves_the_guest_running(tmp_path):
    with dom0(tmp_path) as host:
        host.create()
        host.host.files._full = lambda: "/full"
        host.ok("mkdir /full")
        ran = host.run("xl save win1 /full/a.save")
        assert ran.rc == 1
        assert "No space left on device" in ran.err
        assert host.guests[0].heard("resume")
        assert "-b----" in host.ok("xl list win1")


# -- memory


def test_the_balloon_moves_what_the_list_shows(host):
    assert said(host.run("xl mem-set win1 300m")) == spoken("stand-in-4.17", "all-memset-300")
    host.await_domains(lambda domains: domains[0].memory == 300 * 1024)
    assert said(host.run("xl list win1")) == spoken("stand-in-4.17", "all-memset-300-list")
    machine = host.guests[0].machine
    assert not machine.set_memory(384 * 1024), "Xen gives no more than the target allows"
    host.host.hypervisor.find("win1").limit = 100 * 1024
    assert machine.set_memory(200 * 1024), "what goes back is always taken"
    host.ok("xl mem-set win1 384m")
    host.await_domains(lambda domains: domains[0].memory == 384 * 1024)


def test_the_target_leaves_the_video_memory_out(tmp_path):
    with dom0(tmp_path) as host:
        host.create(vga="stdvga")
        root = "/local/domain/1/memory"
        values = [host.ok(f"xenstore-read {root}/{name}") for name in ("static-max", "target", "videoram")]
        assert [int(value) // 1024 for value in values] == [384, 368, 16]
        host.ok("xl mem-set win1 200m")
        assert host.ok(f"xenstore-read {root}/target") == f"{(200 - 16) * 1024}\n"


def test_a_host_without_memory_gives_none(host):
    machine = host.guests[0].machine
    host.ok("xl mem-set win1 200m")
    host.await_domains(lambda domains: domains[0].memory == 200 * 1024)
    host.host.files.write("/root/big.cfg", config("big", memory=3890, maxmem=3890, disk=[], vif=[]))
    assert host.run("xl create /root/big.cfg").rc == 0
    host.host.hypervisor.find("win1").limit = 384 * 1024
    assert not machine.set_memory(384 * 1024)


# -- what a guest finds


def test_the_machine_shows_disks_by_number_with_targets_and_twins(tmp_path):
    with dom0(tmp_path) as host:
        host.ok("truncate -s 64M /root/d.raw")
        disk = [
            f"{STORAGE}/win1.img,qcow2,hda,rw",
            "/root/d.raw,raw,xvdg,rw",
            "format=raw,vdev=hdc,devtype=cdrom",
        ]
        host.create(disk=disk)
        shown = {
            disk.vdev: (disk.number, disk.target, disk.emulated, disk.pv, disk.cdrom, disk.size)
            for disk in host.guests[0].machine.disks
        }
        assert shown == {
            "hda": (768, 0, True, True, False, 1 << 30),
            "hdc": (5632, 2, True, False, True, 0),
            "xvdg": (51808, 6, False, True, False, 64 << 20),
        }


def test_the_private_folder_stays_over_reboots_and_goes_with_the_disk(host):
    folder = host.guests[0].machine.private_folder()
    (folder / "MEMORY.DMP").write_text("dump")
    host.run("xl reboot win1")
    assert host.guests[0].heard("power_on", 2)
    assert (host.guests[0].machine.private_folder() / "MEMORY.DMP").read_text() == "dump"
    host.ok("xl destroy win1")
    host.ok(f"rm -f {STORAGE}/win1.img")
    assert not folder.exists()


def test_a_lease_is_kept_by_mac_and_written_down_as_dnsmasq_does(host):
    address = host.guests[0].machine.lease(MAC)
    fields = host.ok("cat /var/lib/misc/dnsmasq.leases").split()
    assert fields[1:3] == [MAC, address]
    assert int(fields[0]) > 0
    assert host.guests[0].machine.lease("00:16:3e:00:00:02") != address
    assert f"{address} dev xenbr0 lladdr {MAC} REACHABLE" in host.ok("ip neigh")
    host.ok("xl destroy win1")
    assert f"{MAC} STALE" in host.ok("ip neigh")


def test_the_serial_console_is_a_file_of_the_host(host):
    host.guests[0].machine.console("pvhck address 192.0.2.7\r\n")
    assert "pvhck address 192.0.2.7" in host.ok("cat /var/log/xen/con-win1.log")


def test_processor_time_goes_on_only_while_a_domain_runs(host):
    def seconds() -> float:
        return float(host.ok("xl list win1").split()[-1])

    first = seconds()
    assert seconds() > first
    host.ok("xl pause win1")
    stopped = seconds()
    assert seconds() == stopped


def test_the_back_end_follows_the_front_end(host):
    store, front = host.host.store, "/local/domain/1/device/vif/0"
    back = store.get(f"{front}/backend")
    for state, answer in (("4", "4"), ("5", "5"), ("6", "6"), ("1", "2"), ("4", "4")):
        watch = store.watch(f"{back}/state")
        store.write(f"{front}/state", state, 1)
        assert watch.until(lambda answer=answer: store.get(f"{back}/state") == answer, WAIT_S), state
        store.unwatch(watch)


def test_same_seed_same_guest_whatever_it_is_called(tmp_path):
    seeds = set()
    for name in ("pvhck-run1-1", "pvhck-run2-7"):
        with dom0(tmp_path / name) as host:
            host.create(name)
            seeds.add(host.guests[0].machine.seed)
    assert len(seeds) == 1
