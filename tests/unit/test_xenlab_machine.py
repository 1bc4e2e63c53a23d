"""The nested lab's machinery without a nested Xen: cache, locks, QEMU and its monitor, hosts.ini."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.errors import ConfigurationError, InfrastructureError
from harness.lab.load import parse_lab
from harness.model import INSTALL_ORDER, GuestKind
from harness.xenlab import lab as module
from harness.xenlab import pvstate, qemu
from harness.xenlab.build import Layers
from harness.xenlab.cache import Cache, Layer
from harness.xenlab.debian import Repository, parse_repositories, parse_versions, repositories_of
from harness.xenlab.dom0 import drop_cpu_features
from harness.xenlab.guesttree import parse_modules_dep, with_dependencies
from harness.xenlab.hostsini import HOST, HostFacts, hosts_ini_text
from harness.xenlab.lab import XenLab
from harness.xenlab.sshclient import ssh_argv, write_known_hosts

_SAMPLES = Path(__file__).parents[1] / "fixtures/stand-in-4.17"

# -- hosts.ini


def test_the_labs_hosts_ini_is_taken_by_the_loader_and_its_guests_fit(tmp_path):
    password = tmp_path / "password"
    password.write_text("secret\n")
    password.chmod(0o600)
    facts = HostFacts("4.17", 2222, tmp_path / "key", tmp_path / "known_hosts", password, "ab" * 32)
    lab = parse_lab(hosts_ini_text(facts), tmp_path / "hosts.ini")
    host = lab.hosts[HOST]
    assert (host.address, host.port, host.controller) == ("127.0.0.1", 2222, "10.0.2.2")
    assert {template.guest for template in lab.templates.values()} == {GuestKind.STAND_IN}
    for template in lab.templates.values():
        assert template.memory_mib * host.max_guests <= host.memory_mib
        assert template.certificate.fingerprint == "ab" * 32
        assert template.extra["viridian"] == "0", "without PV drivers Linux would find Hyper-V"


# -- which drivers a boot has


@pytest.mark.parametrize(
    ("state", "installed"),
    [
        ("nopv", ()),
        ("nics", INSTALL_ORDER[:4]),
        ("all", INSTALL_ORDER),
    ],
)
def test_the_command_line_of_a_set_of_drivers_is_the_recorded_one(state, installed):
    recorded = (_SAMPLES / f"{state}-guest-cmdline.txt").read_text()
    assert pvstate.pv_cmdline(installed) in recorded.split()


def test_front_ends_are_loaded_only_for_what_is_unplugged():
    assert pvstate.front_ends("quiet xen_emul_unplug=nics") == ("xen-netfront",)
    assert pvstate.front_ends("xen_emul_unplug=ide-disks") == ("xen-blkfront",)
    assert pvstate.front_ends("xen_emul_unplug=never") == pvstate.front_ends("xen_nopv") == ()


def test_xeniface_alone_opens_no_xenstore():
    assert not pvstate.opens_xenstore(["xeniface"])
    assert pvstate.opens_xenstore(["xenbus", "xeniface"])


# -- cache


def test_a_layer_whose_making_fails_is_not_there_and_leaves_nothing(tmp_path):
    cache = Cache(tmp_path)

    def broken(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise InfrastructureError("no mirror")

    with pytest.raises(InfrastructureError):
        cache.make(Layer("dom0", "1"), broken)
    assert not cache.has(Layer("dom0", "1"))
    assert list(tmp_path.iterdir()) == []


def test_a_layer_is_made_once(tmp_path):
    cache = Cache(tmp_path)
    made = []
    for _ in range(2):
        cache.make(Layer("dom0", "1"), made.append)
    assert len(made) == 1


def test_layers_of_before_go_when_nobody_used_them_for_two_weeks(tmp_path):
    cache = Cache(tmp_path)
    layers = [Layer("dom0", key) for key in ("now", "recent", "old")]
    for layer in layers:
        cache.make(layer, lambda _: None)
    other = tmp_path / "mine-old"
    other.mkdir()
    for path in (cache.folder(layers[0]), cache.folder(layers[2]), other):
        os.utime(path, (0, 0))
    (tmp_path / "scratch-dom0-x").mkdir()
    cache.drop_unused(frozenset({layers[0]}))
    assert not (tmp_path / "scratch-dom0-x").exists()
    assert [cache.has(layer) for layer in layers] == [True, True, False]
    assert other.is_dir(), "a folder that is no layer of ours was removed"


def test_a_second_lab_is_refused_while_a_child_holds_the_lock(tmp_path):
    cache = Cache(tmp_path)
    lock = cache.qemu_lock()
    with subprocess.Popen(["sleep", "600"], pass_fds=(lock.fileno(),)) as child:
        lock.close()
        with pytest.raises(InfrastructureError, match="already running"):
            cache.qemu_lock()
        child.kill()
        child.wait()
    cache.qemu_lock().close()


def test_what_is_not_built_is_not_started(tmp_path, monkeypatch):
    lab = XenLab(cache=Cache(tmp_path))
    layers = _fake_layers(monkeypatch)
    with pytest.raises(ConfigurationError, match="pvhck lab xen build"):
        lab.up()
    assert set(lab.status().missing) == {*layers, "snapshot"}
    assert lab.down() is False


def _fake_layers(monkeypatch):
    names = ("bios", "minbase", "dom0", "guest_base", "guest", "store")
    monkeypatch.setattr(module, "missing_build_packages", tuple)
    monkeypatch.setattr(module, "current_layers", lambda *_: Layers(*(Layer(name, "1") for name in names)))
    monkeypatch.setattr(module, "snapshot_layer", lambda _: Layer("snapshot", "1"))
    return names


# -- Debian


KNOWN = (
    Repository("http://m.example/debian", "bookworm", "main"),
    Repository("http://m.example/debian-security", "bookworm-security", "main"),
    Repository("http://m.example/debian", "trixie", "main"),
)


def test_only_debians_own_repositories_are_taken():
    text = (
        "http://m.example/debian|bookworm|main|Debian\nhttp://m.example/debian|bookworm|main|Debian\n"
        "http://m.example/debian-security|bookworm-security|main|Debian\n"
        "http://m.example/debian|bookworm|contrib|Debian\nhttp://m.example/debian|trixie|main|Debian\n"
        "http://other.example/x|bookworm|main|Docker\n"
    )
    assert parse_repositories(text) == KNOWN


def test_a_release_the_machine_knows_is_had_from_there():
    assert repositories_of("bookworm", KNOWN) == KNOWN[:2]
    assert repositories_of("trixie", KNOWN) == KNOWN[2:]


def test_another_release_is_had_from_the_same_mirrors_with_its_security_updates():
    assert repositories_of("bullseye", KNOWN) == (
        Repository("http://m.example/debian", "bullseye", "main"),
        Repository("http://m.example/debian-security", "bullseye-security", "main"),
    )
    assert repositories_of("bullseye", ()) == ()


def test_a_xen_that_is_no_package_of_any_release_is_refused():
    with pytest.raises(ConfigurationError, match=r"4\.16.*4\.17, 4\.14, 4\.20"):
        XenLab("4.16")


def test_candidates_are_read_from_apts_policy():
    text = (
        "qemu:\n  Installed: (none)\n  Candidate: 1:7.2+dfsg-7\n  Version table:\nxen:\n  Candidate: (none)\n"
    )
    assert parse_versions(text) == {"qemu": "1:7.2+dfsg-7", "xen": "(none)"}


def test_cpu_features_that_nested_xen_hides_are_dropped_and_no_others():
    lines = [
        "<model name='486'>",
        *(f"  <feature name='{name}'/>" for name in ("fpu", "vme", "sep")),
        "</model>",
    ]
    assert drop_cpu_features("\n".join(lines)) == "\n".join([lines[0], lines[1], lines[4]])


def test_modules_come_with_all_they_need_and_built_in_ones_are_left_out():
    dependencies = parse_modules_dep(
        "a/xen-blkfront.ko:\nb/sd_mod.ko: c/t10.ko d/scsi.ko\nc/t10.ko: d/scsi.ko\nd/scsi.ko:\n"
    )
    assert with_dependencies(dependencies, ["xen_blkfront", "sd-mod", "ext4"]) == {
        "a/xen-blkfront.ko", "b/sd_mod.ko", "c/t10.ko", "d/scsi.ko"
    }  # fmt: skip


# -- QEMU


def _machine(folder: Path) -> qemu.Machine:
    return qemu.Machine(folder, folder / "boot", 2222)


def test_qemu_listens_on_loopback_only_and_runs_the_cpu_that_works(tmp_path):
    argv = qemu.machine_argv(_machine(tmp_path), snapshot="ready")
    line = " ".join(argv)
    assert "hostfwd=tcp:127.0.0.1:2222-10.0.2.9:22" in line
    assert argv[argv.index("-cpu") + 1] == "qemu64,+svm,+npt"
    assert argv[-2:] == ["-loadvm", "ready"]


def test_a_comma_in_a_path_does_not_end_an_option(tmp_path):
    line = " ".join(qemu.machine_argv(_machine(tmp_path / "a,b")))
    assert f"file={tmp_path}/a,,b/root.qcow2,format" in line


def test_a_cache_path_too_long_for_a_socket_is_said_before_qemu_starts(tmp_path):
    cache = Cache(tmp_path)
    lock = cache.qemu_lock()
    with pytest.raises(ConfigurationError, match="PVHCK_CACHE"):
        qemu.start(_machine(tmp_path / ("x" * 120)), lock, snapshot=None, ends_with_us=True)
    lock.close()


@pytest.fixture
def fake_qemu(tmp_path, monkeypatch):
    """A program of QEMU's name that opens the monitor's socket and stays."""
    program = tmp_path / "bin/qemu-system-x86_64"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\n"
        "import socket, sys, time\n"
        "path = next(word for word in sys.argv if word.startswith('unix:'))[5:].split(',')[0]\n"
        "s = socket.socket(socket.AF_UNIX); s.bind(path); s.listen()\n"
        "time.sleep(600)\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    folder = tmp_path / "run"
    folder.mkdir()
    return folder, program


def test_qemu_dies_with_the_process_that_started_it(fake_qemu, tmp_path):
    folder, _ = fake_qemu
    program = (
        "import os, sys; from pathlib import Path; from harness.xenlab import qemu; "
        "from harness.xenlab.cache import Cache; "
        f"m = qemu.Machine(Path({str(folder)!r}), Path('boot'), 1); "
        f"p = qemu.start(m, Cache(Path({str(tmp_path)!r})).qemu_lock(), snapshot=None, ends_with_us=True); "
        "print(p.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    started = qemu.Process.of(int(done.stdout))
    assert started.wait_gone(20), "QEMU outlived its parent"


def test_a_qemu_that_is_to_stay_outlives_its_parent_and_can_be_ended(fake_qemu, tmp_path):
    folder, _ = fake_qemu
    cache = Cache(tmp_path)
    lock = cache.qemu_lock()
    process = qemu.start(_machine(folder), lock, snapshot=None, ends_with_us=False)
    lock.close()
    with pytest.raises(InfrastructureError, match="already running"):
        cache.qemu_lock()
    assert process.alive
    process.kill()
    assert process.wait_gone(20)


def test_a_lab_that_is_ending_is_waited_for(tmp_path):
    held = Cache(tmp_path).qemu_lock()
    closing = threading.Timer(0.3, held.close)
    closing.start()
    Cache(tmp_path).qemu_lock(patience_s=30).close()
    closing.join()
    held = Cache(tmp_path).qemu_lock()
    with pytest.raises(InfrastructureError, match="already running"):
        Cache(tmp_path).qemu_lock(patience_s=0.1)
    held.close()


def test_what_qemu_said_when_it_ended_at_once_is_told(fake_qemu, tmp_path):
    folder, program = fake_qemu
    program.write_text("#!/bin/sh\necho 'no such machine: q35' >&2; exit 1\n")
    lock = Cache(tmp_path).qemu_lock()
    with pytest.raises(InfrastructureError, match="no such machine: q35"):
        qemu.start(_machine(folder), lock, snapshot=None, ends_with_us=True)
    lock.close()


def test_a_process_number_used_again_is_another_process():
    ours = qemu.Process.of(os.getpid())
    assert ours.alive
    assert not qemu.Process(ours.pid, ours.started - 1).alive
    assert not qemu.Process.of(2**22 + 1).alive


@pytest.fixture
def monitor(tmp_path):
    """A monitor's socket; the test scripts what comes out of it."""
    path = tmp_path / "qmp.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    asked: list[str] = []
    answers: list[list[str]] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rw") as lines:
            lines.write('{"QMP": {}}\n')
            lines.flush()
            for line in lines:
                asked.append(json.loads(line)["execute"])
                batch = answers.pop(0) if answers else ['{"return": {}}']
                lines.writelines(f"{answer}\n" for answer in batch)
                lines.flush()

    thread = threading.Thread(target=serve)
    thread.start()
    yield path, asked, answers
    thread.join(10)
    listener.close()


def test_events_between_an_order_and_its_answer_are_passed_over(monitor):
    path, asked, answers = monitor
    answers[:] = [['{"return": {}}'], ['{"event": "STOP"}', '{"return": ""}']]
    with qemu.Monitor(path) as qmp:
        qmp.save_snapshot("ready")
    assert asked == ["qmp_capabilities", "human-monitor-command"]


def test_a_snapshot_that_cannot_be_written_is_an_error_with_qemus_words(monitor):
    path, _, answers = monitor
    answers[:] = [['{"return": {}}'], ['{"return": "Error: No space left on device\\r\\n"}']]
    with qemu.Monitor(path) as qmp, pytest.raises(InfrastructureError, match="No space left"):
        qmp.save_snapshot("ready")


def test_a_monitor_that_nobody_serves_is_the_labs_fault(tmp_path):
    with pytest.raises(InfrastructureError, match="does not answer"):
        qemu.Monitor(tmp_path / "none")


# -- SSH


def test_the_ssh_line_checks_the_host_key_and_never_asks(tmp_path):
    key = tmp_path / "host_key.pub"
    key.write_text("ssh-ed25519 AAAA comment\n")
    write_known_hosts(tmp_path / "known", host_key=key, port=4022)
    assert (tmp_path / "known").read_text() == "[127.0.0.1]:4022 ssh-ed25519 AAAA\n"
    argv = ssh_argv(port=4022, key_file=Path("k"), known_hosts=tmp_path / "known", command=("xl", "list"))
    assert {"StrictHostKeyChecking=yes", "PasswordAuthentication=no"} <= set(argv)
    assert argv[-3:] == ["root@127.0.0.1", "xl", "list"]
