"""xl of the simulated host against what real xl printed: words, exit codes, formats."""

import json
import re

import pytest
from simlab_host_support import MAC, STORAGE, DoubleGuest, config, dom0, recorded, without_numbers

from harness.model import XenVersion


@pytest.fixture
def host(tmp_path):
    with dom0(tmp_path) as made:
        yield made


@pytest.fixture
def bare(tmp_path):
    """A host whose guest has no PV drivers."""
    with dom0(tmp_path, guest=lambda name: DoubleGuest(name, pv=False)) as made:
        made.create()
        yield made


def as_recorded(ran, folder, name, *, merged=False):
    wanted = recorded(folder, name)
    if merged:  # the stand-in's samples hold both streams as one
        assert without_numbers(ran.out + ran.err) == without_numbers(wanted.out)
    else:
        assert without_numbers(ran.out) == without_numbers(wanted.out)
        assert without_numbers(ran.err) == without_numbers(wanted.err)
    assert ran.rc == wanted.rc


# -- creating


def test_create_says_what_it_reads(host):
    host.ok(f"qemu-img create -q -f qcow2 {STORAGE}/win1.img 1G")
    host.host.files.write("/root/lab/nopv.cfg", config())
    as_recorded(host.run("xl create -p /root/lab/nopv.cfg"), "xen-4.17", "create-paused")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("err-create-dup", {}),
        ("err-create-nobridge", {"name": "new", "vif": [f"mac={MAC},bridge=nobr9"]}),
        ("err-create-nodisk", {"name": "new", "disk": ["/root/lab/missing.qcow2,qcow2,xvda,rw"]}),
        ("err-create-nomem", {"name": "new", "memory": 999999, "maxmem": 999999}),
    ],
)
def test_a_failed_create_says_why_and_leaves_nothing(host, name, changes):
    host.create()
    before = host.ok("xl list -v"), host.ok("xenstore-ls -f"), host.ok("losetup -a")
    path = recorded("xen-4.17", name).err.split("\n", 1)[0].removeprefix("Parsing config from ")
    host.host.files.write(
        path, config(**{"name": "win1", "disk": [f"{STORAGE}/win1.img,qcow2,hda,rw"], **changes})
    )

    as_recorded(host.run(f"xl create {path}"), "xen-4.17", name)

    after = host.ok("xl list -v"), host.ok("xenstore-ls -f"), host.ok("losetup -a")
    assert [without_numbers(text) for text in after] == [without_numbers(text) for text in before]


def test_a_create_of_a_file_that_is_not_there(host):
    as_recorded(host.run("xl create /root/lab/nope.cfg"), "xen-4.17", "err-create-nofile")


def test_a_create_from_a_file_that_cannot_be_read(host):
    host.host.files.write("/root/lab/syntax.cfg", "this is no config\n")
    as_recorded(host.run("xl create /root/lab/syntax.cfg"), "xen-4.17", "err-create-syntax")


def test_no_memory_is_said_by_create_and_shown_by_info(tmp_path):
    with dom0(tmp_path, faults=("no-memory",)) as host:
        assert "Cannot allocate memory" in host.create().err
        assert int(re.search(r"free_memory +: (\d+)", host.ok("xl info"))[1]) < 100


# -- unknown domains and bad words


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("err-destroy-unknown", "xl destroy nosuch"),
        ("err-shutdown-unknown", "xl shutdown nosuch"),
        ("err-list-unknown", "xl list nosuch"),
        ("err-domid-unknown", "xl domid nosuch"),
        ("err-memset-unknown", "xl mem-set nosuch 100"),
        ("err-blocklist-unknown", "xl block-list nosuch"),
        ("err-memset-garbage", "xl mem-set win1 abc"),
        ("err-memset-over", "xl mem-set win1 4000m"),
        ("err-block-detach", "xl block-detach win1 xvdz"),
        ("err-network-detach", "xl network-detach win1 7"),
        (
            "err-block-attach-missing",
            "xl block-attach win1 format=raw,vdev=xvdd,access=rw,target=/root/lab/none.raw",
        ),
        ("xl-version-bad", "xl frobnicate"),
        ("err-config-update-usage", "xl config-update"),
    ],
)
def test_refusals_are_worded_as_recorded(host, name, line):
    host.create()
    as_recorded(host.run(line), "xen-4.17", name)


@pytest.mark.parametrize(
    "line", ["xl create -n /root/win1.cfg", "xl -N create /root/win1.cfg", "xl save -c win1 /root/s"]
)
def test_what_is_not_played_is_refused_and_does_nothing(host, line):
    host.create()
    ran = host.run(line)
    assert ran.rc == 1
    assert "not played" in ran.err
    assert len(host.host.hypervisor.domains()) == 1


def test_a_trigger_without_words_shows_its_usage(host):
    as_recorded(host.run("xl trigger win1"), "stand-in-4.17", "trigger-usage", merged=True)


def test_an_unknown_trigger(host):
    host.create()
    as_recorded(host.run("xl trigger win1 nonsense"), "stand-in-4.17", "all-trigger-usage", merged=True)


def test_mem_set_exits_0_on_old_xen_whatever_it_says(tmp_path):
    with dom0(tmp_path, xen=XenVersion(4, 6)) as host:
        host.create()
        ran = host.run("xl mem-set win1 4000m")
        assert ran.rc == 0
        assert "cannot set domid" in ran.err


# -- lists


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("xl-list", "xl list"),
        ("xl-list-win1", "xl list win1"),
        ("xl-list-v", "xl list -v"),
        ("xl-block-list", "xl block-list win1"),
        ("xl-network-list", "xl network-list win1"),
        ("xl-domid", "xl domid win1"),
        ("xl-domname", "xl domname 1"),
        ("xl-uptime", "xl uptime"),
    ],
)
def test_lists_have_the_columns_of_the_recorded_ones(host, name, line):
    host.create()
    ran, wanted = host.run(line), recorded("xen-4.17", name)
    as_recorded(ran, "xen-4.17", name)
    if "list" in name and "network" not in name:
        # the same widths too: parsers may count columns
        widths = [[len(row) for row in text.splitlines()[:2]] for text in (ran.out, wanted.out)]
        assert widths[0] == widths[1] or "block" in name


def test_a_paused_domain_shows_a_p(host):
    host.create()
    host.ok("xl pause win1")
    as_recorded(host.run("xl list win1"), "xen-4.17", "list-paused-win1")


def test_the_list_without_pv_drivers(bare):
    for name, line in (("nopv-xl-block-list", "block-list"), ("nopv-xl-network-list", "network-list")):
        assert bare.ok(f"xl {line} win1").replace(" 1 ", " 0 ", 0) != ""
        as_recorded(bare.run(f"xl {line} win1"), "stand-in-4.17", name, merged=True)
    assert re.search(r"768\s+0\s+1\s+1\s+-1\s+-1\s", bare.ok("xl block-list win1"))


def test_the_full_description_is_the_recorded_one(host):
    host.create()
    wanted = json.loads(recorded("stand-in-4.17", "legacy-all-sysrq-c-xl-list-l").out)
    text = host.ok("xl list -l win1")
    shown = json.loads(text)
    del wanted[0]["config"]["b_info"]["type.hvm"]["system_firmware"]  # a key our config does not have
    for entry in (*wanted, *shown):
        entry["domid"] = 0
        entry["config"]["c_info"]["uuid"] = ""
        entry["config"]["disks"][0]["pdev_path"] = ""
    assert shown == wanted
    assert text.endswith("]\n\n")
    assert '"sdl": {\n\n                    },' in text, "an empty map is laid out as yajl does"


def test_dom0_is_described_as_recorded(host):
    assert json.loads(host.ok("xl list -l"))[0] == json.loads(recorded("xen-4.17", "xl-list-l").out)[0]


def test_info_has_the_recorded_keys_in_their_order(host):
    for name, line in (("xl-info", "xl info"), ("xl-info-n", "xl info -n")):
        keys = [
            [row.split(":")[0] for row in text.splitlines() if ":" in row and not row.startswith(" ")]
            for text in (host.ok(line), recorded("xen-4.17", name).out)
        ]
        assert [key for key in keys[0] if key.strip()] == [key for key in keys[1] if key.strip()]
    assert "xen_extra              : .5\n" in host.ok("xl info")


def test_free_memory_falls_by_what_a_domain_has(host):
    def free() -> int:
        return int(re.search(r"free_memory +: (\d+)", host.ok("xl info"))[1])

    before = free()
    host.create()
    assert before - free() == 384
    host.ok("xl mem-set win1 300m")
    host.await_domains(lambda domains: domains[0].memory == 300 * 1024)
    assert before - free() == 300


# -- xenstore as libxl lays it out


def test_a_domain_without_pv_drivers_has_the_recorded_nodes(bare):
    for name, path in (
        ("nopv-xenstore-guest", "/local/domain/1"),
        ("nopv-xenstore-backend", "/local/domain/0/backend"),
    ):
        wanted = re.sub(r"(?<=[/nr\"])6\b", "1", recorded("stand-in-4.17", name).out)
        ours = bare.ok(f"xenstore-ls -fp {path}")
        assert _nodes(ours) == _nodes(wanted)


def test_the_toolstacks_own_notes_are_the_recorded_ones(host):
    host.host.files.write("/root/lab/win1.cfg", config(disk=[f"{STORAGE}/win1.img,qcow2,xvda,rw"]))
    host.ok(f"qemu-img create -q -f qcow2 {STORAGE}/win1.img 1G")
    host.run("xl create /root/lab/win1.cfg")
    wanted = re.sub(r"\b2\b", "1", recorded("xen-4.17", "xenstore-ls-libxl").out)
    assert _names(host.ok("xenstore-ls -f /libxl/1")) == _names(wanted)
    assert _names(re.sub("/vm/[0-9a-f-]+", "/vm/U", host.ok("xenstore-ls -f /vm"))) == _names(
        re.sub("/vm/[0-9a-f-]+", "/vm/U", recorded("xen-4.17", "xenstore-ls-vm").out)
    ) | {"/vm/U"}


def _nodes(text):
    """Paths with permissions, and values where they are no figures of one run."""
    volatile = ("pid", "sectors", "params", "/vm", "static-max", "target")
    found = {}
    for line in text.splitlines():
        path, _, rest = line.partition(" = ")
        value, _, permissions = rest.rpartition("   (")
        found[path] = (permissions, "" if path.endswith(volatile) or "params" in path else value)
    return found


def _names(text):
    return {line.partition(" = ")[0] for line in text.splitlines()}


# -- devices


def test_disks_come_and_go_as_recorded(host):
    host.create()
    host.ok("mkdir -p /root/lab && truncate -s 64M /root/lab/d3.raw")
    host.ok("qemu-img create -q -f qcow2 /root/lab/d2.qcow2 64M")
    as_recorded(
        host.run("xl block-attach win1 format=qcow2,vdev=xvdb,access=rw,target=/root/lab/d2.qcow2"),
        "xen-4.17",
        "block-attach-qcow2",
    )
    attach = "xl block-attach win1 format=raw,vdev=xvdc,access=rw,target=/root/lab/d3.raw"
    as_recorded(host.run(attach), "xen-4.17", "block-attach-raw")
    as_recorded(host.run(attach), "xen-4.17", "err-block-attach-dup")
    listed = host.ok("xl block-list win1")
    assert re.findall(r"^(\d+)", listed, re.MULTILINE) == ["768", "51728", "51744"]
    assert "backend/vbd/1/51744" in listed
    assert "(/root/lab/d3.raw)" in host.ok("losetup -a")

    as_recorded(host.run("xl block-detach win1 xvdc"), "xen-4.17", "block-detach-raw")
    host.ok("xl block-detach win1 xvdb")
    assert re.findall(r"^(\d+)", host.ok("xl block-list win1"), re.MULTILINE) == ["768"]
    assert host.ok("losetup -a") == ""


def test_interfaces_come_and_go_as_recorded(host):
    host.create()
    as_recorded(
        host.run("xl network-attach win1 bridge=xenbr0 mac=00:16:3e:00:00:79"), "xen-4.17", "network-attach"
    )
    assert "1   0  00:16:3e:00:00:79     1" in host.ok("xl network-list win1")
    as_recorded(host.run("xl network-detach win1 00:16:3e:00:00:79"), "xen-4.17", "network-detach")
    assert ":79" not in host.ok("xl network-list win1")


def test_an_attach_with_commas_fails_and_leaves_the_interface_behind(host):
    host.create()
    line = "xl network-attach win1 bridge=xenbr0,mac=00:16:3e:00:00:77"
    as_recorded(host.run(line), "xen-4.17", "err-network-attach-commas")
    assert len(host.ok("xl network-list win1").splitlines()) == 3
    as_recorded(host.run("xl network-detach win1 1"), "xen-4.17", "network-detach-after-failed-attach")
    assert len(host.ok("xl network-list win1").splitlines()) == 2


def test_a_disk_that_the_guest_keeps_stays_on_new_xen_and_goes_on_old(tmp_path):
    for xen, rc in ((XenVersion(4, 17), 1), (XenVersion(4, 14), 0)):
        with dom0(tmp_path / str(xen), guest=lambda name: DoubleGuest(name, polite=False), xen=xen) as host:
            host.create()
            host.ok(
                "truncate -s 1M /root/d.raw && xl block-attach win1 format=raw,vdev=xvdg,target=/root/d.raw"
            )
            assert host.run("xl block-detach win1 xvdg").rc == rc
            assert ("backend/vbd" in host.ok("xl block-list win1")) is (rc == 1)


def test_a_guest_that_keeps_its_interface_loses_it_all_the_same(bare):
    bare.ok("xl network-attach win1 bridge=xenbr0 mac=00:16:3e:00:00:79")
    bare.ok("xl network-detach win1 1")
    assert ":79" not in bare.ok("xl network-list win1")


def test_a_cd_goes_in_and_out(host):
    host.create(disk=[f"{STORAGE}/win1.img,qcow2,hda,rw", "format=raw,vdev=hdc,devtype=cdrom"])
    guest = host.guests[0]
    assert [disk.file for disk in guest.machine.disks if disk.cdrom] == [None]
    missing = host.run("xl cd-insert win1 hdc /root/none.iso")
    assert (missing.rc, missing.err) == (1, "Cannot stat file: /root/none.iso\n")

    host.ok("echo iso > /root/x.iso && xl cd-insert win1 hdc /root/x.iso")
    drive = next(disk for disk in guest.machine.disks if disk.cdrom)
    assert drive.file.read_text() == "iso\n"
    assert guest.heard("devices_changed")
    host.ok("xl cd-eject win1 hdc")
    assert [disk.file for disk in guest.machine.disks if disk.cdrom] == [None]


# -- through QEMU and Xen


def test_qemu_shows_emulated_twins_until_they_are_unplugged(bare):
    info = bare.ok("xl qemu-monitor-command win1 'info network'")
    as_recorded(
        bare.run("xl qemu-monitor-command win1 'info network'"),
        "stand-in-4.17",
        "nopv-qemu-info-network",
        merged=True,
    )
    assert "model=e1000" in info
    assert "ide0-hd0" in bare.ok("xl qemu-monitor-command win1 'info block'")
    machine = bare.guests[0].machine

    machine.unplug(disks=True, nics=True)

    as_recorded(
        bare.run("xl qemu-monitor-command win1 'info network'"),
        "stand-in-4.17",
        "all-qemu-info-network",
        merged=True,
    )
    assert "ide0-hd0" not in bare.ok("xl qemu-monitor-command win1 'info block'")
    assert [disk.emulated for disk in machine.disks] == [False]
    assert [nic.model for nic in machine.nics] == [None]


def test_a_screen_dump_is_the_guests_picture_and_needs_a_screen(host):
    host.create(vga="stdvga")
    host.ok("xl qemu-monitor-command win1 'screendump /root/s.ppm'")
    assert host.host.files.real("/root/s.ppm").read_bytes() == host.guests[0].screen()
    host.create("win2", vif=[])
    assert host.run("xl qemu-monitor-command win2 'screendump /root/t.ppm'").rc == 1


def test_a_core_dump_is_written_whole_and_never_returns(host):
    host.create()
    with host.started("xl dump-core win1 /root/core") as (process, _, thread):
        thread.join(0.2)
        assert thread.is_alive(), "on 4.17 it does not come back"
        assert int(host.ok("stat -c %s /root/core")) > 384 << 20
        process.kill()


def test_dmesg_shows_what_guests_say_and_can_be_cleared(host):
    host.create()
    host.guests[0].machine.hypervisor_line("XEN|BUGCHECK: ======")
    first, *rest = host.ok("xl dmesg").splitlines()
    assert first.startswith("(XEN) Xen version 4.17")
    assert rest == ["(XEN) (d1) XEN|BUGCHECK: ======"]
    host.ok("xl dmesg -c")
    assert host.ok("xl dmesg") == ""


def test_vcpus_can_be_taken_off_line(host):
    host.create(vcpus=2)
    rows = [re.sub(r"\d+", "0", row) for row in host.ok("xl vcpu-list").splitlines()]
    assert rows[0] == recorded("xen-4.17", "xl-vcpu-list").out.splitlines()[0]
    host.ok("xl vcpu-set win1 1")
    assert re.search(r"win1 +1 +1 +- +--p", host.ok("xl vcpu-list win1"))
    assert host.ok("xenstore-read /local/domain/1/cpu/1/availability") == "offline\n"
    assert host.run("xl vcpu-set win1 3").rc == 1


def test_a_command_that_hangs_ends_only_when_it_is_killed(tmp_path):
    with dom0(tmp_path, faults=("command-hang:list",)) as host:
        with host.started("xl list") as (_, _, thread):
            thread.join(0.1)
            assert thread.is_alive()
        assert host.run("xl info").rc == 0


@pytest.mark.parametrize(("program", "xen"), [("xl", XenVersion(4, 17)), ("xm", XenVersion(3, 4))])
def test_switches_of_commands_strike_whichever_toolstack_it_is_and_not_before_their_stage(
    tmp_path, program, xen
):
    with dom0(tmp_path, xen=xen, faults=("command-fails:list@boot",)) as host:
        host.ok(f"{program} list")
        host.run(f"{program} create nothing.cfg")  # whether or not that can be
        failed = host.run(f"{program} list")
    assert (failed.rc, failed.err) == (1, f"{program} list failed, as its fault switch has it\n")


# -- a device model that is gone


def test_a_domain_whose_device_model_is_gone_is_listed_and_not_described_as_on_real_xen(host):
    host.create()
    (domain,) = host.host.hypervisor.domains()
    pid = host.ok("xenstore-read /local/domain/1/image/device-model-pid").strip()
    assert "-xen-domid 1 " in host.ok(f"ps -p {pid} -o args=")
    host.host.lifecycle.lose_model(domain)

    assert host.run(f"ps -p {pid} -o args=").rc == recorded("xen-4.17", "ps-of-gone-model").rc
    assert "win1" in host.ok("xl list")
    as_recorded(host.run("xl list -l win1"), "xen-4.17", "model-gone-list-l")
    monitor = host.run("xl qemu-monitor-command win1 'screendump /tmp/x.ppm'")
    as_recorded(monitor, "xen-4.17", "model-gone-monitor")
    host.ok("xl pause win1")
    as_recorded(host.run("xl unpause win1"), "xen-4.17", "model-gone-unpause")
    as_recorded(host.run("xl destroy win1"), "xen-4.17", "model-gone-destroy")
    assert "win1" not in host.ok("xl list")
