"""What the emulated processor spoils on nested Xen is run once more, visibly; nothing else is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

_TESTS = """\
import pytest

log, recovered = [], []

@pytest.fixture(autouse=True, scope="session")
def real(note_real_xen):
    log.append("(XEN) d4v0 Triple fault - invoking HVM shutdown action 1\\n")
    note_real_xen(lambda: "".join(log), lambda: recovered.append(1))

def test_spoilt_once():
    if not recovered:
        log.append("(XEN) d7v0 Triple fault - invoking HVM shutdown action 1\\n")
        raise RuntimeError("the connection is gone")

def test_of_its_own_fault():
    raise RuntimeError("wrong")

def test_good():
    assert recovered == [1]
"""


def test_a_test_with_a_triple_fault_is_run_once_more_and_another_failure_is_not(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[1] / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(_TESTS)
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    words = re.search(r"--reruns 1 --only-rerun \S+", makefile)
    assert words is not None
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words[0].split(), "test_it.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "1 failed, 2 passed, 1 rerun" in ended.stdout, ended.stdout
    assert "FAILED test_it.py::test_of_its_own_fault" in ended.stdout
