"""Runs whose guests come from LVM snapshots or reflinks: they boot, and take their disks along."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_lab import Command, KeptLab, begin, kept_lab, pvhck

from harness.model import Arch
from harness.package.synthetic import make_build
from harness.results import load_results
from harness.results.recorder import EVENTS

SCENARIOS = """
import threading
from pathlib import Path

import pytest

@pytest.mark.pv_dirties
def test_first(guest):
    (Path(__file__).parents[2] / "disk").write_text(guest.domain.disks[0].path)
    assert guest.boot_id

@pytest.mark.pv_dirties
def test_second(guest):
    assert guest.boot_id
"""
HOLDING = """
import threading
from pathlib import Path

def test_holds(guest):
    (Path(__file__).parents[2] / "held").touch()
    threading.Event().wait(60)
"""


@pytest.fixture(scope="module")
def on_lvm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptLab]:
    lines = {"host": "clone = lvm", "template": "image = vg0/win"}
    with kept_lab(tmp_path_factory.mktemp("lvm"), **lines) as lab:
        yield lab


def volumes(lab: KeptLab) -> list[str]:
    return [f"{volume.group}/{volume.name}" for volume in lab.model.volumes.all()]


def begin_run(
    folder: Path, lab: KeptLab, text: str, *words: str | Path, image: str = "", **host: str
) -> Command:
    scenarios = folder / "scenarios" / "power"
    scenarios.mkdir(parents=True)
    (scenarios / "test_it.py").write_text(text)
    hosts = lab.hosts_ini(host=host, template={"image": image} if image else None)
    return begin(folder, "run", "--hosts", hosts, "--scenarios", "scenarios", "-j", "1", *words)


def test_guests_run_on_snapshots_and_none_is_left(tmp_path: Path, on_lvm: KeptLab) -> None:
    before = volumes(on_lvm)
    with begin_run(tmp_path, on_lvm, SCENARIOS, clone="lvm") as command:
        command.end().demand(0, "2 passed")
    assert (tmp_path / "disk").read_text().startswith("/dev/vg0/pvhck-")
    assert volumes(on_lvm) == before == ["vg0/pool", "vg0/win"]
    assert on_lvm.lying == ()


def test_a_volume_is_chosen_by_itself_and_cannot_be_a_layer(tmp_path: Path, on_lvm: KeptLab) -> None:
    build = make_build(tmp_path / "build", version="9.1.0.2", arches=[Arch.X64])
    with begin_run(tmp_path, on_lvm, SCENARIOS, "--build", build, image="/dev/vg0/win") as command:
        command.end().demand(0, "2 passed", "a logical volume cannot be kept as a layer")
    events = (tmp_path / "reports" / "latest" / EVENTS).read_text()
    assert events.count("install xenbus") == 2
    assert events.count("cannot be kept as a layer") == 1
    assert on_lvm.lying == ()


def test_what_a_killed_run_left_in_the_group_is_swept(tmp_path: Path, on_lvm: KeptLab) -> None:
    with begin_run(tmp_path, on_lvm, HOLDING, clone="lvm") as command:
        command.wait_for((tmp_path / "held").exists, "its test")
        (left,) = set(volumes(on_lvm)) - {"vg0/pool", "vg0/win"}
        command.signal(signal.SIGKILL)
        command.end()
    said = pvhck(tmp_path / "sweep", "lab", "sweep", "--hosts", on_lvm.hosts_ini(host={"clone": "lvm"}))
    said.demand(0, f"removing logical volume {left}", "1 dead run(s) swept")
    assert volumes(on_lvm) == ["vg0/pool", "vg0/win"]
    assert on_lvm.lying == ()


def test_guests_run_on_reflinks_and_none_is_left(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    with kept_lab(tmp_path / "lab", host="clone = reflink") as lab:
        with begin_run(tmp_path / "run", lab, SCENARIOS) as command:  # found out by itself
            command.end().demand(0, "2 passed")
        disk = Path((tmp_path / "run" / "disk").read_text())
        assert disk.suffix == ".img"
        assert lab.lying == ()


@pytest.mark.parametrize(("clone", "image"), [("lvm", "vg0/win"), ("reflink", "win.qcow2")])
@pytest.mark.parametrize(
    ("fault", "words"),
    [("disk-full", ("free", "in")), ("clone-fails", ("cannot clone", "nput/output error"))],
)
def test_a_host_that_cannot_clone_is_at_fault(
    tmp_path: Path, clone: str, image: str, fault: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "hosts.ini").write_text(
        f"[host sim]\nkind = simulated\nxen = 4.17\nclone = {clone}\nfaults = {fault}\n\n"
        f"[template win]\nguest = simulated\nimage = {image}\nos = Windows 10 (simulated)\narch = x64\n"
    )
    scenarios = tmp_path / "scenarios" / "power"
    scenarios.mkdir(parents=True)
    (scenarios / "test_it.py").write_text(SCENARIOS)
    pvhck(tmp_path, "run", "--hosts", "hosts.ini", "--scenarios", "scenarios", "-j", "1").demand(3)
    results = load_results(tmp_path / "reports" / "latest")
    assert {test.outcome.value for test in results.tests} == {"broken"}
    for word in words:
        assert word in results.tests[0].reason
