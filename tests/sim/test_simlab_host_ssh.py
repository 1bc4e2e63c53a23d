"""The SSH server, through the real client of harness.host."""

import hashlib
import socket
import threading
from dataclasses import replace

import paramiko
import pytest
from simlab_host_support import MAC, STORAGE, DoubleGuest, Echo, lab, simulated

from harness.deadline import Deadline
from harness.errors import (
    CommandTimedOut,
    HostAuthFailed,
    HostKeyProblem,
    HostUnreachable,
    InfrastructureError,
    ProvisioningFailed,
)
from harness.host.address import GuestPlace, find_address
from harness.host.area import RunArea, leftovers, sweep
from harness.host.clone import FullCopy, Overlay, choose_strategy
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.host import Host
from harness.host.sshlogin import Credentials
from harness.host.toolstack.protocol import Fallback, NoSuchDomain
from harness.lab import AddressSource, SecretRef
from harness.model import XenVersion
from harness.simlab import SimLab
from harness.simlab.clock import Pace

QUICK = Pace(linger=0.01, acknowledge_limit=0.5, unplug_without_driver=0.05)


@pytest.fixture
def doubles(monkeypatch):
    """Guests that are only doubles, in the order they were made."""
    made = []

    def make(template, password, faults, seed, certificate=None, *, agent_for=None):
        made.append(DoubleGuest(template.name))
        return made[-1]

    monkeypatch.setattr("harness.simlab.lab.make_guest", make)
    return made


@pytest.fixture
def sim(tmp_path, doubles):
    with SimLab(lab(), folder=tmp_path, seed=1, pace=QUICK) as running:
        yield running


def open_host(sim, name="sim-a", **changes):
    spec = replace(sim.lab.hosts[name], **changes)
    return Host(spec, Credentials(lambda ref: sim.host_passwords[name] if ref.name == "right" else "wrong"))


@pytest.fixture
def host(sim):
    with open_host(sim) as opened:
        yield opened


def domain_spec(host, sim, name="win1", **more):
    template = sim.lab.templates["win"]
    image, target = str(template.image_on(host.spec)), f"{STORAGE}/{name}.img"
    disk = choose_strategy(host, image, target).clone(image, target)
    keys = {"disks": (DiskSpec(disk.path, "hda", disk.image_format), DiskSpec("", "hdc", cdrom=True)), **more}
    return DomainSpec(name, 256, 1, nics=(NicSpec(MAC, "xenbr0"),), console_log=f"/root/{name}.con", **keys)


# -- logging in


def test_key_or_password_let_in_and_nothing_else(sim):
    with open_host(sim) as host:
        assert host.shell.check(["id", "-u"]) == "0\n"
    with open_host(sim, key_file=None, password=SecretRef("env", "right")) as host:
        assert host.shell.check(["uname", "-n"]) == "sim-a\n"
    with (
        open_host(sim, key_file=None, password=SecretRef("env", "bad")) as host,
        pytest.raises(HostAuthFailed),
    ):
        host.shell.run(["true"])
    with open_host(sim, user="nobody") as host, pytest.raises(HostAuthFailed):
        host.shell.run(["true"])


def test_the_host_key_is_recorded_and_another_one_is_noticed(sim, tmp_path):
    spec = sim.lab.hosts["sim-a"]
    with open_host(sim, known_hosts=tmp_path / "none") as host, pytest.raises(HostKeyProblem, match="not in"):
        host.shell.run(["true"])
    other = paramiko.Ed25519Key.from_private_key_file(str(spec.key_file))
    changed = tmp_path / "changed"
    changed.write_text(f"[127.0.0.1]:{spec.port} {other.get_name()} {other.get_base64()}\n")
    with open_host(sim, known_hosts=changed) as host, pytest.raises(HostKeyProblem, match="has changed"):
        host.shell.run(["true"])


def test_sudo_is_taken_without_a_password(sim):
    with open_host(sim, sudo=True) as host:
        assert host.shell.check(["id", "-u"]) == "0\n"


# -- commands and files


def test_words_stdin_streams_and_exit_codes_arrive(host):
    odd = 'a\'b "c" $HOME `id` ü\n*'
    assert host.shell.check(["printf", "%s", odd]) == odd
    result = host.shell.run(["sh", "-c", "cat; echo err >&2; exit 7"], stdin="in")
    assert (result.rc, result.stdout, result.stderr) == (7, "in", "err\n")
    assert host.shell.run(["frobnicate"]).rc == 127


def test_a_large_output_arrives_whole(host):
    host.shell.put(b"0123456789abcdef" * (1 << 17), "/root/big")
    assert len(host.shell.check(["cat", "/root/big"])) == 2 << 20


def test_files_arrive_with_the_same_hash_both_ways(host, tmp_path):
    data = bytes(range(256)) * 5000
    source = tmp_path / "source"
    source.write_bytes(data)
    host.shell.put(source, "/root/file")
    assert host.shell.get("/root/file") == data
    assert host.shell.check(["sha256sum", "/root/file"]).split()[0] == hashlib.sha256(data).hexdigest()
    with pytest.raises(InfrastructureError, match="cannot read"):
        host.shell.get("/root/none")
    with pytest.raises(InfrastructureError, match="cannot write"):
        host.shell.put(b"x", "/nowhere/file")


def test_many_commands_at_once_answer_each_its_own(host):
    answers = {}

    def ask(number):
        answers[number] = host.shell.check(["sh", "-c", f"echo {number}"])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: f"{number}\n" for number in range(24)}


def test_the_eleventh_session_is_refused_as_by_sshd(host):
    host.shell.run(["true"])
    transport = host.shell._client.get_transport()
    held = [transport.open_session() for _ in range(10)]
    with pytest.raises(paramiko.ChannelException):
        transport.open_session()
    held.pop().close()
    host.shell.run(["true"])
    for channel in held:
        channel.close()


def test_a_watch_tells_of_changes_and_ends_when_it_is_left(sim, host):
    with host.xenstore.watch("/data") as watch:
        host.xenstore.write("/data/x", "1")
        assert watch.wait(Deadline.after(20)) == "/data/x"
    server = sim._running["sim-a"].server
    assert host.shell.run(["true"]).ok
    deadline = Deadline.after(20)
    while any("watch" in " ".join(process.argv) for process in server.processes.items()):
        assert not deadline.expired, "the watch still runs"
        host.shell.run(["true"])


# -- toolstack


def test_the_toolstack_of_the_harness_drives_a_domain_from_create_to_off(sim, host, doubles):
    assert host.info.version == XenVersion(4, 17)
    assert host.info.hvm
    made = host.toolstack.create(domain_spec(host, sim))
    assert (made.domid, made.memory_mib, made.crashed) == (1, 256, False)
    assert host.toolstack.config("win1").name == "win1"
    assert [disk.vdev for disk in host.toolstack.disks("win1")] == [768, 5632]
    assert host.toolstack.nics("win1")[0].mac == MAC
    assert host.toolstack.set_memory("win1", 200) == (200 - 16) * 1024
    host.toolstack.pause("win1")
    host.toolstack.unpause("win1")
    host.shell.put(b"\0" * 4096, "/root/d.raw")
    host.toolstack.attach_disk("win1", DiskSpec("/root/d.raw", "xvdg"))
    host.toolstack.detach_disk("win1", "xvdg")
    host.toolstack.attach_nic("win1", NicSpec("00:16:3e:00:00:02", "xenbr0", model=None))
    host.toolstack.detach_nic("win1", "00:16:3e:00:00:02")
    host.toolstack.insert_cd("win1", "hdc", "/root/d.raw")
    host.toolstack.eject_cd("win1", "hdc")
    assert host.toolstack.screen_dump("win1").startswith(b"P6")
    with open_host(sim, time_factor=0.01) as hasty:  # it looks until the file grows no more
        assert hasty.toolstack.dump_core("win1", "/root/core", timeout_s=2000) > 200 << 20
    assert len(host.toolstack.vcpus("win1")) == 1
    assert host.toolstack.uptime_s("win1") >= 0
    host.toolstack.save("win1", "/root/win1.save")
    host.toolstack.restore("/root/win1.save")
    assert host.toolstack.find("win1").domid == 2
    assert not host.toolstack.reboot("win1").refused
    assert doubles[0].heard("power_on", 2)
    assert not host.toolstack.shutdown("win1").refused
    sim.host("sim-a").hypervisor.wait(lambda: not sim.host("sim-a").hypervisor.domains(), 20)
    with pytest.raises(NoSuchDomain):
        host.toolstack.destroy("win1")


def test_a_guest_without_drivers_refuses_the_harness_too(sim, host, monkeypatch):
    monkeypatch.setattr("harness.simlab.lab.make_guest", lambda *_, **__: DoubleGuest(pv=False))
    host.toolstack.create(domain_spec(host, sim))
    assert host.toolstack.shutdown("win1").refused
    assert not host.toolstack.shutdown("win1", Fallback.ACPI).refused


def test_both_ways_to_clone_give_a_disk_that_boots(sim, host, doubles):
    image = str(sim.lab.templates["win"].image_on(host.spec))
    overlay = Overlay(host.shell).clone(image, f"{STORAGE}/o.img")
    copy = FullCopy(host.shell).clone(image, f"{STORAGE}/c.img")
    assert overlay.image_format == copy.image_format == "qcow2"
    for number, disk in enumerate((overlay, copy)):
        spec = DomainSpec(f"w{number}", 256, 1, (DiskSpec(disk.path, "hda", "qcow2"),), ())
        host.toolstack.create(spec)
    assert [guest.calls for guest in doubles] == [["power_on"]] * 2
    with pytest.raises(ProvisioningFailed):
        Overlay(host.shell).clone("/none.qcow2", f"{STORAGE}/x.img")


@pytest.mark.parametrize("source", [AddressSource.LEASES, AddressSource.NEIGHBOUR])
def test_a_guests_address_is_found_where_a_real_host_shows_it(sim, host, doubles, source):
    host.toolstack.create(domain_spec(host, sim))
    address = doubles[0].machine.lease(MAC)
    place = GuestPlace("win1", MAC, "/root/win1.con", "")
    assert find_address(host.shell, host.toolstack, source, place) == address


# -- areas of runs


def test_the_lock_of_a_run_is_freed_when_its_client_dies(sim, host):
    client = open_host(sim)
    area = RunArea(client.shell, "run1")
    area.__enter__()
    host.shell.put(b"x", area.path("pvhck-run1-1.img"))
    assert sweep(host.shell, host.toolstack, lambda line: None) == 0
    assert len(leftovers(host.shell, host.toolstack, "run1")) == 1

    client.shell._client.get_transport().sock.close()  # as after SIGKILL: nothing is said good-bye to

    said = []
    deadline = Deadline.after(20)
    while sweep(host.shell, host.toolstack, said.append) == 0:
        assert not deadline.expired, "the lock is still held"
    assert said == ["sim-a: removing file /var/lib/pvhck/runs/run1/pvhck-run1-1.img"]
    assert leftovers(host.shell, host.toolstack, "run1") == ()


def test_a_sweep_takes_domains_and_loop_devices_of_dead_runs(sim, host):
    with RunArea(host.shell, "run2") as area:
        folder = area.folder
    host.shell.check(["mkdir", "-p", folder])
    host.shell.check(["truncate", "-s", "1M", f"{folder}/pvhck-run2-1.raw"])
    host.shell.check(["losetup", "-f", f"{folder}/pvhck-run2-1.raw"])
    host.toolstack.create(domain_spec(host, sim, "pvhck-run2-1"))
    said = []
    assert sweep(host.shell, host.toolstack, said.append) == 1
    assert len(said) == 3
    assert [domain.name for domain in host.toolstack.domains()] == ["Domain-0"]


# -- tunnels


def test_a_tunnel_leads_to_the_hosts_guests_and_nowhere_else(sim, host, doubles):
    host.toolstack.create(domain_spec(host, sim))
    address = doubles[0].machine.lease(MAC)
    server = Echo(address, 5985)
    try:
        with (
            host.shell.tunnel(address, 5985) as tunnel,
            socket.create_connection(("127.0.0.1", tunnel.port)) as sock,
        ):
            sock.sendall(b"hello")
            assert sock.recv(16) == b"hello"
        spec = sim.lab.hosts["sim-a"]
        for place in (("127.0.0.1", spec.port), (address, 5986)):
            with (
                host.shell.tunnel(*place) as tunnel,
                socket.create_connection(("127.0.0.1", tunnel.port)) as sock,
            ):
                sock.settimeout(20)
                assert sock.recv(16) == b"", place
    finally:
        server.close()


# -- faults, as the harness sees them


def with_faults(tmp_path, *faults, **more):
    return SimLab(lab(simulated(faults=faults, **more)), folder=tmp_path, seed=1, pace=QUICK)


def test_a_dropped_connection_is_an_unreachable_host(tmp_path, doubles):
    with with_faults(tmp_path, "ssh-drop:create") as sim, open_host(sim) as host:
        spec = domain_spec(host, sim)
        with pytest.raises(HostUnreachable, match="xl create"):
            host.toolstack.create(spec)
        assert host.toolstack.find("win1") is None, "the next command connects again"


def test_a_hanging_command_ends_at_its_time_limit(tmp_path, doubles):
    with with_faults(tmp_path, "command-hang:create") as sim, open_host(sim, time_factor=0.01) as host:
        spec = domain_spec(host, sim)
        with pytest.raises(CommandTimedOut, match="xl create"):
            host.toolstack.create(spec)


def test_a_full_disk_is_seen_by_clones_and_uploads(tmp_path, doubles):
    with with_faults(tmp_path, "disk-full") as sim, open_host(sim) as host:
        with pytest.raises(ProvisioningFailed, match="No space left"):
            domain_spec(host, sim)
        with pytest.raises(InfrastructureError, match=r"cannot write|another SHA-256"):
            host.shell.put(b"x", f"{STORAGE}/x")


def test_a_failing_clone_is_a_provisioning_failure(tmp_path, doubles):
    with (
        with_faults(tmp_path, "clone-fails") as sim,
        open_host(sim) as host,
        pytest.raises(ProvisioningFailed, match="Input/output error"),
    ):
        domain_spec(host, sim)


def test_no_memory_fails_the_create(tmp_path, doubles):
    with with_faults(tmp_path, "no-memory") as sim, open_host(sim) as host:
        spec = domain_spec(host, sim)
        with pytest.raises(InfrastructureError, match="exit code 3"):
            host.toolstack.create(spec)
        assert host.toolstack.info().free_mib < 100
