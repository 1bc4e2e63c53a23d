"""What is copied into the stand-in guest is complete, and light enough for an emulated processor."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness.operations import OPERATIONS
from harness.winrmd import ServerCertificate
from harness.xenlab.guestdisk import harness_files
from harness.xenlab.standin.guest import StandIn

_SLOW = ("ssl", "cryptography", "spnego", "urllib.request", "zipfile", "http.client", "asyncio")


@pytest.fixture(scope="module")
def copied(tmp_path_factory) -> Path:
    top = tmp_path_factory.mktemp("guest")
    home = Path(harness.__file__).parent
    for path in harness_files():
        place = top / "harness" / path.relative_to(home)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return top


def test_the_agent_starts_with_the_standard_library_and_no_slow_imports(copied):
    # -I and -S: nothing of this machine's packages can be found
    program = (
        f"import sys; sys.path.insert(0, {str(copied)!r}); import harness.xenlab.standin.__main__, json; "
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    assert not set(_SLOW) & set(loaded)


def test_every_operation_is_answered_by_the_stand_in():
    missing = [name for name in OPERATIONS if not callable(getattr(StandIn, name, None))]
    assert not missing


def test_the_layer_of_the_guests_disk_changes_with_the_agent():
    names = {path.name for path in harness_files()}
    assert {"guest.py", "pvstate.py", "operations.py", "server.py", "__main__.py"} <= names
    assert not any("__pycache__" in path.parts for path in harness_files())


def test_the_certificate_of_all_stand_ins_is_valid_whatever_their_clock_says():
    assert len(ServerCertificate.make("standin").fingerprint) == 64
