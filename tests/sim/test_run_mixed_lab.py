"""One run over a lab of every toolstack and age of Xen: each host does its part, and says what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_lab import pvhck

from harness.model import Arch, Outcome
from harness.package.synthetic import make_build
from harness.results import load_results

LAB = {
    "old-xm": ("xm", "3.4"),
    "old-xl": ("xl", "4.1"),
    "xl-4.14": ("xl", "4.14"),
    "xl-4.17": ("xl", "4.17"),
    "xl-4.20": ("xl", "4.20"),
    "libvirt": ("libvirt", "4.17"),
}
CHOSEN = "test_xenvbd_works or shutdown_is_acknowledged or a_disk_is_plugged or dom0_reads"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("build") / "new", version="9.1.0.2", arches=[Arch.X64])


def test_every_host_runs_its_part_at_the_same_time(tmp_path: Path, build: Path) -> None:
    sections = [
        f"[host {name}]\nkind = simulated\nxen = {xen}\ntoolstack = {toolstack}\nmax_guests = 1\n"
        for name, (toolstack, xen) in LAB.items()
    ]
    template = "[template win]\nguest = simulated\nos = Windows 10 (simulated)\narch = x64\nmemory = 1g\n"
    (tmp_path / "hosts.ini").write_text("\n".join([*sections, template]))
    (tmp_path / "mixed.toml").write_text('description = "each host"\naxes = ["toolstack", "xen"]\n')
    words = ("--hosts", "hosts.ini", "--profile", "./mixed.toml", "--build", build)
    said = pvhck(tmp_path, "run", *words, "-k", CHOSEN)
    results = load_results(tmp_path / "reports" / "latest")
    said.demand(0, f"{len(LAB) * 4 - 1} passed")
    (skipped,) = (test for test in results.tests if test.outcome is not Outcome.PASSED)
    assert skipped.reason == "old-xm: needs Xen 4.0 or later, host old-xm has 3.4"
    ran = {(test.host, test.toolstack, test.xen_version) for test in results.tests if test is not skipped}
    assert ran == {(name, toolstack, xen) for name, (toolstack, xen) in LAB.items()}
