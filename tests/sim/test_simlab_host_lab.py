"""The lab as a whole: what it fills in, that two live side by side, that nothing of it stays."""

import socket
import threading
from pathlib import Path

import pytest
from simlab_host_support import MAC, WAIT_S, DoubleGuest, lab, simulated, template

from harness.errors import ConfigurationError
from harness.lab import HostKind, HostSpec
from harness.model import XenVersion
from harness.simlab import SimLab
from harness.simlab.machine import QCOW2_MAGIC


@pytest.fixture(autouse=True)
def doubles(monkeypatch):
    monkeypatch.setattr("harness.simlab.lab.make_guest", lambda *_: DoubleGuest())


def test_simulated_hosts_are_filled_in_and_real_ones_left_alone(tmp_path):
    real = HostSpec("real", HostKind.SSH, "192.0.2.1")
    with SimLab(lab(simulated("a", max_guests=3), simulated("b"), real), folder=tmp_path, seed=1) as sim:
        a, b = sim.lab.hosts["a"], sim.lab.hosts["b"]
        assert sim.lab.hosts["real"] == real
        assert (a.kind, a.address, a.controller, a.max_guests) == (
            HostKind.SIMULATED,
            "127.0.0.1",
            "127.0.0.1",
            3,
        )
        assert a.port != b.port
        assert a.key_file.exists()
        assert f"[127.0.0.1]:{a.port} ssh-ed25519 " in a.known_hosts.read_text()
        image = sim.host("a").files.real(str(sim.lab.templates["win"].image_on(a)))
        assert image.read_bytes().startswith(QCOW2_MAGIC)


def test_passwords_are_made_up_by_seed_and_never_the_same_for_two(tmp_path):
    both = (template("one"), template("two"))
    with SimLab(lab(templates=both), folder=tmp_path / "1", seed=1) as first:
        assert len(set(first.passwords.values())) == 2
        with SimLab(lab(templates=both), folder=tmp_path / "2", seed=1) as second:
            assert second.passwords == first.passwords
        with SimLab(lab(templates=both), folder=tmp_path / "3", seed=2) as third:
            assert third.passwords["one"] != first.passwords["one"]


def test_two_labs_at_once_give_their_guests_different_addresses(tmp_path):
    with (
        SimLab(lab(), folder=tmp_path / "1", seed=1) as first,
        SimLab(lab(), folder=tmp_path / "2", seed=1) as second,
    ):
        networks = {sim.host("sim-a").leases.ask(MAC).rpartition(".")[0] for sim in (first, second)}
        assert len(networks) == 2


def test_nothing_is_left_when_a_lab_has_closed(tmp_path):
    before = set(threading.enumerate())
    with SimLab(lab(simulated("a"), simulated("b")), folder=tmp_path, seed=1) as sim:
        ports = [host.port for host in sim.lab.hosts.values()]
        idle = socket.create_connection(("127.0.0.1", ports[0]))
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
    idle.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(WAIT_S)
    assert set(threading.enumerate()) <= before


def test_a_mistake_in_the_simulator_comes_out_at_the_end(tmp_path):
    sim = SimLab(lab(), folder=tmp_path, seed=1)
    sim.__enter__()
    done = threading.Event()

    def fail() -> None:
        done.set()
        raise RuntimeError("a mistake")

    sim.host("sim-a").clock.after(0, fail)
    assert done.wait(WAIT_S)
    with pytest.raises(BaseExceptionGroup):
        sim.close()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"xen": XenVersion(3, 3)}, "plays Xen 3.4 and later"),
        ({"faults": ("disk-ful",)}, "did you mean disk-full"),
    ],
)
def test_what_cannot_be_played_is_said_before_anything_starts(tmp_path, changes, words):
    before = set(threading.enumerate())
    with (
        pytest.raises(ConfigurationError, match=words),
        SimLab(lab(simulated(**changes)), folder=tmp_path, seed=1),
    ):
        pass
    for thread in set(threading.enumerate()) - before:
        thread.join(WAIT_S)
    assert set(threading.enumerate()) <= before


def test_the_range_gives_addresses_again_when_all_were_taken(tmp_path):
    with SimLab(lab(), folder=tmp_path, seed=1) as sim:
        leases = sim.host("sim-a").leases
        given = [leases.ask(f"00:16:3e:00:{number // 256:02x}:{number % 256:02x}") for number in range(300)]
        assert len(set(given)) == 253
        assert given[253] == given[0]
        assert (
            Path(sim.host("sim-a").files.real("/var/lib/misc/dnsmasq.leases")).read_text().count("\n") == 253
        )
