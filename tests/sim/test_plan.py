"""``pvhck plan`` says what would run where, and why not, without touching anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from harness.model import Arch
from harness.package import make_build

_PVHCK = (sys.executable, "-c", "import sys; from harness.cli import main; sys.exit(main())")


def _plan(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_PVHCK, "plan", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **env},
    )


def test_a_build_without_packages_for_a_template_is_a_reason_before_anything_runs(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", version="9.1.0.1", arches=(Arch.X64,))

    planned = _plan("--build", build, "-k", "test_xenbus_works")

    assert planned.returncode == 0
    lines = planned.stdout.splitlines()
    assert any("win10-x64" in line and "sim-a, sim-b" in line for line in lines)
    assert any("win7-x86" in line and "the driver build has nothing for x86" in line for line in lines)
    assert "2 tests: 1 can run, 1 cannot" in planned.stdout
    assert "4 guests at once: 2 on sim-a, 2 on sim-b" in planned.stdout


def test_warnings_of_the_build_and_of_hosts_ini_are_said(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", version="9.1.0.1", arches=(Arch.X64,))
    other = make_build(tmp_path / "other", version="9.1.0.7", arches=(Arch.X64,))
    shutil.copytree(other / "xennet", build / "xennet", dirs_exist_ok=True)
    hosts = tmp_path / "hosts.ini"
    hosts.write_text(
        "[host sim]\nkind = simulated\nxen = 4.17\nfaults = disk-full\n"
        "[template win]\nguest = simulated\nos = Windows\narch = x64\n"
    )

    planned = _plan("--hosts", hosts, "--build", build, "-k", "test_xenbus_works")

    assert planned.returncode == 0
    warnings = [line for line in planned.stdout.splitlines() if line.startswith("warning: ")]
    assert any("faults" in line for line in warnings), planned.stdout
    assert any("packages of several versions" in line for line in warnings), planned.stdout


def test_what_a_user_keeps_for_tests_of_his_own_is_no_word_of_ours(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", version="9.1.0.1", arches=(Arch.X64,))

    planned = _plan("--build", build, "-k", "test_xenbus_works", PYTEST_ADDOPTS="--durations=5 --tb=short")

    assert planned.returncode == 0, planned.stderr
    assert "2 tests: 1 can run, 1 cannot" in planned.stdout
