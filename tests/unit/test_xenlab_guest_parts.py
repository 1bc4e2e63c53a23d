"""Jobs, raw patterns, disk targets and adapter settings of the stand-in."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xenlab_guest_tree import GuestTree

from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.operations import OperationRefused
from harness.xenlab.standin import ethtool, pattern, xenstore
from harness.xenlab.standin.hardware import Hardware
from harness.xenlab.standin.jobs import Jobs
from harness.xenlab.standin.network import feature_of, settings_of, wanted_state
from harness.xenlab.standin.storage import Storage, target_of


@pytest.fixture
def jobs(tmp_path):
    return Jobs(tmp_path / "jobs")


def _ended(jobs, job):
    def probe():
        status = jobs.status(job)
        return NotYet("running") if status.state == "running" else Done(status)

    return wait_until(probe, subject="the job ends", deadline=Deadline.after(30), interval_s=0.01)


def test_a_job_gives_its_output_and_exit_code(jobs):
    status = _ended(jobs, jobs.start("sh", ("-c", "echo out; echo err >&2; exit 3")).job)
    assert (status.state, status.exit_code, status.stdout, status.stderr) == ("ended", 3, "out\n", "err\n")


@settings(deadline=None, max_examples=20)
@given(words=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=4))
def test_arguments_reach_the_program_as_they_are(tmp_path_factory, words):
    jobs = Jobs(tmp_path_factory.mktemp("jobs"))
    status = _ended(jobs, jobs.start("printf", ("%s\\0", *words)).job)
    assert status.stdout.split("\0")[:-1] == (words or [""])


def test_a_job_outlives_the_object_that_started_it_and_can_be_ended_with_all_it_started(jobs, tmp_path):
    job = jobs.start("sh", ("-c", "sleep 600 & echo $!; wait")).job
    other = Jobs(tmp_path / "jobs")
    child = wait_until(
        lambda: Done(int(text)) if (text := other.status(job).stdout) else NotYet("no output"),
        subject="the job's child",
        deadline=Deadline.after(30),
        interval_s=0.01,
    )
    assert other.stop(job).state == "ended"
    wait_until(
        lambda: NotYet("alive") if _runs(child) else Done(None),
        subject="the job's child ends",
        deadline=Deadline.after(30),
        interval_s=0.01,
    )


def _runs(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_job_whose_process_vanished_without_an_exit_code_is_lost(jobs, tmp_path):
    job = jobs.start("true", ()).job
    _ended(jobs, job)
    (tmp_path / "jobs" / job / "exit").unlink()
    # the shell around the program may still be ending
    assert _ended(jobs, job).state == "lost"


def test_programs_and_jobs_that_are_not_there_are_refused(jobs):
    for ask in (
        lambda: jobs.start("/no/such/program", ()),
        lambda: jobs.status("0" * 32),
        lambda: jobs.stop("../x"),
    ):
        with pytest.raises(OperationRefused) as refusal:
            ask()
        assert refusal.value.kind == "not-found"
    assert _ended(jobs, jobs.start("no-such-program-anywhere", ()).job).exit_code == 127


def test_long_output_is_cut_to_its_end(jobs):
    status = _ended(jobs, jobs.start("sh", ("-c", "yes 0123456 | head -c 100000; echo end")).job)
    assert len(status.stdout) == 65536
    assert status.stdout.endswith("end\n")


# -- patterns


def test_a_pattern_is_what_the_operation_promises(tmp_path):
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(8192))
    written = pattern.write_pattern(str(disk), seed=7, blocks=3, block_size=1024)
    blocks = [hashlib.sha256(f"7:{number}".encode()).digest() * 32 for number in range(3)]
    assert disk.read_bytes() == b"".join(blocks) + bytes(8192 - 3072)
    assert written.sha256 == hashlib.sha256(b"".join(blocks)).hexdigest()
    assert pattern.read_pattern(str(disk), blocks=3, block_size=1024) == written


def test_one_changed_byte_on_the_disk_changes_what_is_read(tmp_path):
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(4096))
    written = pattern.write_pattern(str(disk), seed=1, blocks=4, block_size=1024)
    data = bytearray(disk.read_bytes())
    data[2000] ^= 1
    disk.write_bytes(data)
    assert pattern.read_pattern(str(disk), blocks=4, block_size=1024).sha256 != written.sha256


@pytest.mark.parametrize(("blocks", "size"), [(0, 512), (1, 0), (1, 511), (1, 513), (-1, 512)])
def test_pattern_sizes_out_of_range_are_refused(tmp_path, blocks, size):
    with pytest.raises(OperationRefused, match="bad-parameter"):
        pattern.read_pattern(str(tmp_path / "disk"), blocks=blocks, block_size=size)


def test_a_disk_that_ends_before_the_pattern_is_an_error(tmp_path):
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(4096))
    with pytest.raises(OperationRefused, match="ends in block 4"):
        pattern.read_pattern(str(disk), blocks=5, block_size=1024)


# -- disks


@pytest.mark.parametrize(
    ("vdev", "target"),
    [
        (51712, 0), (51728, 1), (51808, 6), (51952, 15),  # xvda, xvdb, xvdg, xvdp
        (768, 0), (832, 1), (5632, 2), (5696, 3),  # hda to hdd
        (2048, 0), (2064, 1),  # sda, sdb
        (268439552, 16), (51713, -1), (769, -1),  # xvdq; partitions are no disks
    ],
)  # fmt: skip
def test_target_ids_are_those_xenvbd_gives(vdev, target):
    assert target_of(vdev) == target


def test_a_pv_disk_is_found_by_its_target_and_an_emulated_one_never(tmp_path):
    tree = GuestTree(tmp_path)
    for name, device in (("sda", "pci/0:0:0:0"), ("xvdg", "vbd-51808")):
        (tmp_path / "sys/devices" / device).mkdir(parents=True)
        tree.write(f"sys/block/{name}/size", "2048\n")
        tree.write(f"sys/block/{name}/queue/logical_block_size", "512\n")
        tree.write(f"sys/block/{name}/queue/physical_block_size", "4096\n")
        tree.write(f"sys/block/{name}/ro", "0\n")
        (tmp_path / "sys/block" / name / "device").symlink_to(tmp_path / "sys/devices" / device)
    (tmp_path / "sys/devices/pci/0:0:0:0/model").write_text("QEMU HARDDISK   \n")
    storage = Storage(Hardware(tmp_path), tmp_path / "run")
    assert [(disk.name, disk.target, disk.bus) for disk in storage.disks()] == [
        ("QEMU HARDDISK", -1, "ATA"),
        ("Xen PV disk xvdg", 6, "SCSI"),
    ]
    assert storage.pv_device(6) == "/dev/xvdg"
    for target in (-1, 0, 5):
        with pytest.raises(OperationRefused, match="no PV disk"):
            storage.pv_device(target)


# -- adapter settings


def _feature(name, *, on=True, changeable=True):
    return ethtool.Feature(name, 0, on=on, changeable=changeable)


def test_settings_carry_the_names_and_values_of_xennet():
    features = {
        one.name: one
        for one in (
            _feature("tx-checksum-ipv4"),
            _feature("tx-checksum-ipv6", on=False),
            _feature("rx-checksum"),
            _feature("tx-tcp-segmentation", on=False),
        )
    }
    assert dict(settings_of(features)) == {
        "*LSOV2IPv4": "0",
        "*TCPChecksumOffloadIPv4": "3",
        "*TCPChecksumOffloadIPv6": "2",
        "*UDPChecksumOffloadIPv4": "3",
        "*UDPChecksumOffloadIPv6": "2",
    }


def test_what_the_driver_has_fixed_is_no_setting():
    # xen-netfront of Linux 6.1, by `ethtool -k`
    fixed = (_feature("tx-checksum-ipv4", changeable=False), _feature("rx-checksum", changeable=False))
    features = {one.name: one for one in (*fixed, _feature("tx-checksum-ipv6"))}
    assert dict(settings_of(features)) == {"*TCPChecksumOffloadIPv6": "3", "*UDPChecksumOffloadIPv6": "3"}


def test_an_interface_with_one_checksum_switch_has_it_under_every_protocol():
    names = frozenset({"tx-checksum-ip-generic"})
    assert feature_of("*TCPChecksumOffloadIPv4", names) == "tx-checksum-ip-generic"
    assert feature_of("*LSOV2IPv4", names) is None
    assert feature_of("*RSS", names) is None


def test_a_value_that_a_setting_does_not_take_is_refused():
    assert (wanted_state("*TCPChecksumOffloadIPv4", "2"), wanted_state("*LSOV2IPv4", "1")) == (False, True)
    for keyword, value in (("*LSOV2IPv4", "3"), ("*TCPChecksumOffloadIPv4", "on"), ("*LSOV2IPv6", "")):
        with pytest.raises(OperationRefused, match="takes"):
            wanted_state(keyword, value)


def test_the_kernels_answer_about_a_real_interface_is_understood():
    features = ethtool.features("lo")
    assert features["tx-checksum-ip-generic"].on, "the loopback never computes checksums"
    assert features["loopback"].changeable is False


# -- xenstore


@pytest.fixture
def daemon(monkeypatch, tmp_path):
    """A xenstored of ours at the other end of the device file."""
    ours, theirs = socket.socketpair()
    os.set_blocking(theirs.fileno(), False)
    monkeypatch.setattr(xenstore.os, "open", lambda *_: os.dup(theirs.fileno()))
    with ours, theirs, xenstore.XenstoreConnection(tmp_path) as connection:
        ours.settimeout(10)
        yield connection, ours


def _message(kind, request, payload):
    return struct.pack("<IIII", kind, request, 0, len(payload)) + payload


def test_a_node_is_read_with_its_children_sorted(daemon):
    connection, ours = daemon
    answers = _message(2, 1, b"value") + _message(1, 2, b"b\0a\0")
    ours.sendall(answers)
    assert connection.read("data") == xenstore.XenstoreValue("data", "value", ("a", "b"))
    assert ours.recv(4096) == _message(2, 1, b"data\0") + _message(1, 2, b"data\0")


@pytest.mark.parametrize(
    ("word", "kind"), [("ENOENT", "not-found"), ("EACCES", "access-denied"), ("EQUOTA", "command-failed")]
)
def test_what_xenstored_says_no_with_has_its_own_word(daemon, word, kind):
    connection, ours = daemon
    ours.sendall(_message(16, 1, word.encode() + b"\0"))
    with pytest.raises(OperationRefused) as refusal:
        connection.write("domid", "1")
    assert refusal.value.kind == kind


def test_the_event_that_a_new_watch_fires_at_once_is_no_change(daemon):
    connection, ours = daemon
    # some daemons send it before the watch's own answer
    ours.sendall(_message(15, 0, b"data\0pvhck\0") + _message(4, 1, b"OK\0"))
    assert connection.wait_for_change("data", 0.05).fired is False


def test_a_second_event_is_a_change(daemon):
    connection, ours = daemon
    event = _message(15, 0, b"data\0pvhck\0")
    ours.sendall(_message(4, 1, b"OK\0") + event + event)
    assert connection.wait_for_change("data", 10).fired is True


def test_without_its_device_file_xenstore_is_not_offered(tmp_path):
    with pytest.raises(OperationRefused, match="XENIFACE offers no xenstore"):
        xenstore.XenstoreConnection(tmp_path / "none")


def test_a_value_that_is_too_long_never_reaches_xenstored(daemon):
    connection, _ = daemon
    with pytest.raises(OperationRefused, match="4096"):
        connection.write("data", "x" * 5000)
