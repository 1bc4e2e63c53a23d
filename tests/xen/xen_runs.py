"""``pvhck`` as people call it, on the nested real Xen."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.host.area import run_states
from harness.host.host import Host
from harness.host.lease import lease_holder
from harness.results import RunResults, load_results

__all__ = ["assert_free", "run_pvhck"]

_PVHCK = Path(sys.executable).with_name("pvhck")
_LIMIT_S = 1500


def run_pvhck(folder: Path, hosts_ini: str, words: Sequence[str], *, code: int = 0) -> RunResults:
    """Run a command that leaves results in a folder of its own; gives them. It must end with that code."""
    (folder / "hosts.ini").write_text(hosts_ini)
    ended = subprocess.run(
        [str(_PVHCK), *words, "--hosts", "hosts.ini", "--profile", "nested", "--reports", "reports"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    print(ended.stdout)  # noqa: T201  # pytest shows it when a test fails
    assert ended.returncode == code, f"{ended.stdout[-2000:]}{ended.stderr[-2000:]}"
    return load_results(folder / "reports" / "latest")


def assert_free(host: Host) -> None:
    """Nobody holds the host, and no run has anything on it."""
    assert lease_holder(host.shell) is None
    assert run_states(host.shell, host.toolstack) == {}
