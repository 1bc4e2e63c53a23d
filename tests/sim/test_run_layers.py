"""A build is installed once per host and template: later guests are clones of a guest that has it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_lab import KeptLab, kept_lab, pvhck

from harness.model import Arch
from harness.package.synthetic import make_build
from harness.results import RunResults, load_results
from harness.results.recorder import EVENTS

SCENARIOS = """
import pytest

@pytest.mark.pv_dirties
def test_first(guest):
    assert guest.boot_id
    assert guest.host.toolstack.find(guest.name) is not None, "it is off"

@pytest.mark.pv_dirties
def test_second(guest):
    assert guest.boot_id
    assert guest.host.toolstack.find(guest.name) is not None, "it is off"
"""


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptLab]:
    with kept_lab(tmp_path_factory.mktemp("kept")) as kept:
        yield kept


def build(folder: Path, version: str = "9.1.0.2") -> Path:
    return make_build(folder / version, version=version, arches=[Arch.X64])


def run(folder: Path, lab: KeptLab, driver_build: Path, *words: str, **host: str) -> tuple[RunResults, str]:
    scenarios = folder / "scenarios" / "power"
    scenarios.mkdir(parents=True)
    (scenarios / "test_it.py").write_text(SCENARIOS)
    options = ("--hosts", lab.hosts_ini(host=host), "--scenarios", "scenarios", "--build", driver_build)
    pvhck(folder, "run", *options, *(words or ("-j", "1"))).demand(0, "2 passed")
    home = folder / "reports" / "latest"
    return load_results(home), (home / EVENTS).read_text()


def test_the_second_guest_and_the_next_run_need_no_installation(tmp_path: Path, lab: KeptLab) -> None:
    built = build(tmp_path)
    results, events = run(tmp_path / "one", lab, built)
    assert events.count("install xenbus") == 1
    assert events.count("as a layer for later guests") == 1
    assert events.count(": verify") == 2
    assert {sheet.state for sheet in results.verdict.drivers} == {"verified"}
    results, events = run(tmp_path / "two", lab, built)
    assert "install xenbus" not in events
    assert {sheet.state for sheet in results.verdict.drivers} == {"verified"}
    assert lab.lying == ()


def test_another_build_is_installed_anew(tmp_path: Path, lab: KeptLab) -> None:
    run(tmp_path / "one", lab, build(tmp_path, "9.1.0.2"))
    results, events = run(tmp_path / "two", lab, build(tmp_path, "9.1.0.3"))
    assert events.count("install xenbus") == 1
    assert {sheet.version for sheet in results.verdict.drivers} == {"9.1.0.3"}


def test_a_template_that_has_changed_is_installed_anew(tmp_path: Path, lab: KeptLab) -> None:
    built = build(tmp_path)
    run(tmp_path / "one", lab, built)
    image = lab.model.files.real(f"{lab.spec.storage}/win.qcow2")
    os.utime(image, (1, 1))
    _, events = run(tmp_path / "two", lab, built)
    assert events.count("install xenbus") == 1


def test_a_host_that_keeps_no_layers_installs_each_time(tmp_path: Path, lab: KeptLab) -> None:
    _, events = run(tmp_path / "one", lab, build(tmp_path), layers="none")
    assert events.count("install xenbus") == 2
    assert not lab.model.files.real(f"{lab.spec.storage}/layers").exists()


def test_a_layer_that_cannot_be_kept_costs_an_installation_and_no_test(tmp_path: Path, lab: KeptLab) -> None:
    lab.model.files.real(f"{lab.spec.storage}/layers").touch()  # no folder can be made there
    results, events = run(tmp_path / "one", lab, build(tmp_path))
    assert events.count("could not be kept as a layer") == 1
    assert "could not be kept as a layer" in "".join(results.run.warnings)
    assert lab.lying == ()


def test_slots_of_one_host_share_its_layers(tmp_path: Path, lab: KeptLab) -> None:
    _, events = run(tmp_path / "one", lab, build(tmp_path), "-j", "2")
    assert 1 <= events.count("install xenbus") <= 2
    _, events = run(tmp_path / "two", lab, build(tmp_path / "again"), "-j", "2")
    assert "install xenbus" not in events, "a build of the same packages elsewhere is another"
