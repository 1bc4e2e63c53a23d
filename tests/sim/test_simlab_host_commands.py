"""The commands of a simulated dom0, one by one: results, errors, exit codes."""

import hashlib
import json

import pytest
from simlab_host_support import STORAGE, TEMPLATE, dom0


@pytest.fixture
def host(tmp_path):
    with dom0(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("line", "rc", "err"),
    [
        ("cat /nope", 1, "cat: /nope: No such file or directory\n"),
        ("ls /nope", 2, "ls: cannot access '/nope': No such file or directory\n"),
        ("find /nope -type f", 1, "find: '/nope': No such file or directory\n"),
        ("rm /nope", 1, "rm: cannot remove '/nope': No such file or directory\n"),
        ("rm -f /nope", 0, ""),
        ("rm /root", 1, "rm: cannot remove '/root': Is a directory\n"),
        ("mkdir /a/b", 1, "mkdir: cannot create directory '/a/b': No such file or directory\n"),
        ("mkdir /root", 1, "mkdir: cannot create directory '/root': File exists\n"),
        ("sha256sum /nope", 1, "sha256sum: /nope: No such file or directory\n"),
        ("stat -c %s /nope", 1, "stat: cannot statx '/nope': No such file or directory\n"),
        ("cp /nope /root/x", 1, "cp: cannot stat '/nope': No such file or directory\n"),
        (
            "qemu-img info /nope",
            1,
            "qemu-img: Could not open '/nope': Could not open '/nope': No such file or directory\n",
        ),
        (
            "flock -n /nope/lock true",
            66,
            "flock: cannot open lock file /nope/lock: No such file or directory\n",
        ),
        ("cp /root/x", 1, "cp: missing destination file operand after '/root/x'\n"),
        ("head -n many /root/x", 2, "head: missing or bad operand: -n many /root/x\n"),
        ("losetup -d /dev/loop7", 1, "losetup: /dev/loop7: detach failed: No such device or address\n"),
    ],
)
def test_errors_are_those_of_the_real_commands(host, line, rc, err):
    ran = host.run(line)
    assert (ran.rc, ran.err) == (rc, err)


def test_files_are_made_copied_moved_and_removed(host):
    host.ok("mkdir -p /d/e && printf hello > /d/a && cp /d/a /d/e && mv /d/e/a /d/b")
    assert host.ok("find /d -type f") == "/d/a\n/d/b\n"
    assert host.ok("sha256sum /d/b") == f"{hashlib.sha256(b'hello').hexdigest()}  /d/b\n"
    assert host.ok("stat -c '%s %F' /d/b") == "5 regular file\n"
    host.ok("rm -rf /d")
    assert host.run("ls /d").rc == 2


def test_a_raw_file_made_by_dd_or_truncate_is_as_long_as_asked(host):
    host.run("dd if=/dev/zero of=/root/a.raw bs=1M count=3")
    host.ok("truncate -s 2G /root/b.raw")
    assert host.ok("stat -c %s /root/a.raw /root/b.raw") == f"{3 << 20}\n{2 << 30}\n"


def test_an_overlay_shows_its_template_and_keeps_its_backing_file(host):
    host.ok(f"qemu-img create -q -f qcow2 -F qcow2 -b {TEMPLATE} {STORAGE}/c.img")
    facts = json.loads(host.ok(f"qemu-img info --output=json {STORAGE}/c.img"))
    assert (facts["format"], facts["virtual-size"]) == ("qcow2", 1 << 30)
    assert facts["backing-filename"] == TEMPLATE
    assert host.host.files.images.of(host.host.files.real(f"{STORAGE}/c.img")).template == "win"


def test_a_copy_takes_the_private_files_along_and_removal_takes_them_away(host):
    images, real = host.host.files.images, host.host.files.real
    (images.private_folder(real(TEMPLATE)) / "dump").write_text("x")
    host.ok(f"cp --sparse=always {TEMPLATE} {STORAGE}/c.img")
    folder = images.private_folder(real(f"{STORAGE}/c.img"))
    assert (folder / "dump").read_text() == "x"
    assert images.of(real(f"{STORAGE}/c.img")).template == "win"
    host.ok(f"rm -f {STORAGE}/c.img")
    assert not folder.exists()


def test_a_new_qcow2_disk_is_empty_and_has_the_size_asked_for(host):
    host.ok("qemu-img create -f qcow2 /root/d.qcow2 20G")
    facts = json.loads(host.ok("qemu-img info --output=json /root/d.qcow2"))
    assert (facts["format"], facts["virtual-size"]) == ("qcow2", 20 << 30)
    assert host.host.files.images.of(host.host.files.real("/root/d.qcow2")).template == ""


def test_a_lock_is_held_by_one_and_freed_with_it(host):
    with host.started("flock -n /root/lock xenstore-watch /tool") as (process, out, thread):
        while not out.getvalue():  # the watch fires once it holds the lock
            thread.join(0.005)
        assert host.run("flock -n /root/lock true").rc == 1
        process.kill()
        thread.join()
        assert host.run("flock -n /root/lock true").rc == 0


def test_loop_devices_are_listed_with_their_files(host):
    host.ok("truncate -s 1M /root/a.raw")
    assert host.ok("losetup -f --show /root/a.raw") == "/dev/loop0\n"
    assert "(/root/a.raw)" in host.ok("losetup -a")
    host.ok("losetup -d /dev/loop0")
    assert host.ok("losetup -a") == ""


def test_a_full_disk_is_full_where_the_storage_is_and_nowhere_else(tmp_path):
    with dom0(tmp_path, faults=("disk-full",)) as host:
        full = host.run(f"cp {TEMPLATE} {STORAGE}/c.img")
        assert (full.rc, full.err) == (1, f"cp: error writing '{STORAGE}/c.img': No space left on device\n")
        overlay = host.run(f"qemu-img create -q -f qcow2 -F qcow2 -b {TEMPLATE} {STORAGE}/d.img")
        assert overlay.rc == 1
        assert "No space left on device" in overlay.err
        assert host.run(f"echo x > {STORAGE}/x").rc != 0
        assert " 100% " in host.ok(f"df -P {STORAGE}")
        host.ok("echo x > /root/x")
        host.ok(f"mkdir -p {STORAGE}/runs/1 && flock -n {STORAGE}/runs/1/alive true")


def test_a_clone_that_fails_is_an_input_output_error(tmp_path):
    with dom0(tmp_path, faults=("clone-fails",)) as host:
        for line in (
            f"cp {TEMPLATE} {STORAGE}/c.img",
            f"qemu-img create -q -f qcow2 -F qcow2 -b {TEMPLATE} {STORAGE}/d.img",
        ):
            ran = host.run(line)
            assert ran.rc == 1
            assert "Input/output error" in ran.err


def test_an_iperf3_server_listens_until_it_is_ended(host):
    with host.started("iperf3 -s -p 5555") as (process, out, thread):
        while not out.getvalue():
            thread.join(0.005)
        assert host.host.ports.in_use() == {5555}
        assert host.run("iperf3 -s -p 5555").rc == 1
        process.kill()
        thread.join()
    assert host.host.ports.in_use() == frozenset()


def test_the_xenstore_tools_speak_as_recorded(host):
    host.ok("xenstore-write /data/a 1 /data/b 'x\ty'")
    assert host.ok("xenstore-read /data/a") == "1\n"
    assert host.ok("xenstore-list /data") == "a\nb\n"
    assert host.ok("xenstore-ls -f /data") == '/data/a = "1"\n/data/b = "x\\ty"\n'
    assert host.run("xenstore-exists /data/c").rc == 1
    host.ok("xenstore-rm /data")
    gone = host.run("xenstore-read /data/a")
    assert (gone.rc, gone.err) == (1, "xenstore-read: couldn't read path /data/a\n")
