"""What a test leaves of its guest on the host fails that test, by name, and is taken away."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from own_scenarios import run_scenarios

from harness.model import FailureKind, Outcome
from harness.results import load_results

# A guest of the test's own, with a raw disk: that one goes through a loop device.
_GUEST = """\
from harness.host.domain import DiskSpec

def test_it(bare_guest):
    path = bare_guest.domain.disks[0].path.removesuffix(".qcow2") + ".data.raw"
    bare_guest.host.shell.check(["truncate", "-s", "1M", path])
    bare_guest.host.toolstack.attach_disk(bare_guest.name, DiskSpec(path, "xvdg"))
    {more}

def test_the_next(bare_guest):
    pass
"""


def _ran(folder: Path, *, faults: str = "", more: str = "pass") -> tuple[list[tuple[Outcome, str]], str]:
    said = run_scenarios(folder, _GUEST.format(more=more), faults=faults)
    results = load_results(folder / "reports" / "latest")
    assert {test.kind for test in results.tests} <= {None, FailureKind.ASSERTION}
    return [(test.outcome, test.reason) for test in results.tests], said.stdout + said.stderr


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("process", r"process \d+ \(xen-qemu-system-i386 of pvhck-\S+-1\)"),
        ("store", r"xenstore path /local/domain/0/backend/vif/1\b"),
        ("device", r"network device vif1\.0\b"),
        ("loop", r"loop device /dev/loop0\b"),
    ],
)
def test_what_the_toolstack_forgets_of_a_guest_fails_the_test_that_had_it(
    tmp_path: Path, what: str, words: str
) -> None:
    (first, second), said = _ran(tmp_path, faults=f"leaks:{what}")

    assert first[0] is Outcome.FAILED, said
    assert first[1].startswith("left behind on the host: ")
    assert re.search(words, first[1]), first[1]
    if what == "loop":
        assert second[0] is Outcome.PASSED, "its guest has no disk that is raw, and what was left is gone"


def test_a_file_that_a_test_leaves_fails_it_and_is_gone_for_the_next(tmp_path: Path) -> None:
    area = "bare_guest.host.shell.check(['touch', path.rpartition('/')[0] + '/forgotten'])"
    (first, second), said = _ran(tmp_path, more=area)

    assert first[0] is Outcome.FAILED, said
    assert first[1].startswith("left behind on the host: file /")
    assert first[1].endswith("/forgotten")
    assert second[0] is Outcome.PASSED


@pytest.mark.parametrize(
    ("what", "words"), [("memory", "64 MiB of memory that no domain has"), ("file", "file /var/core/1.core")]
)
def test_what_leaks_without_a_name_fails_a_test_that_has_its_host_alone(
    tmp_path: Path, what: str, words: str
) -> None:
    alone = "from harness.scenario import exclusive\n\n@exclusive\ndef test_it(bare_guest):\n    pass\n"
    said = run_scenarios(tmp_path, alone, faults=f"leaks:{what}")
    results = load_results(tmp_path / "reports" / "latest")

    (test,) = results.tests
    assert (test.outcome, test.reason) == (Outcome.FAILED, f"left behind on the host: {words}"), said.stdout
    assert f"host sim: leaked in this run: {words}" in results.run.warnings


def test_what_stays_of_a_guest_that_served_to_the_end_is_a_warning(tmp_path: Path) -> None:
    said = run_scenarios(tmp_path, "def test_it(guest):\n    pass\n", faults="leaks:device")
    results = load_results(tmp_path / "reports" / "latest")

    assert [test.outcome for test in results.tests] == [Outcome.PASSED], said.stdout
    assert any(
        re.search(r"host sim: left behind at the end: network device vif\d+\.0", warning)
        for warning in results.run.warnings
    )


def test_a_guest_that_goes_whole_leaves_nothing_to_complain_of(tmp_path: Path) -> None:
    found, said = _ran(tmp_path)

    assert [outcome for outcome, _ in found] == [Outcome.PASSED, Outcome.PASSED], said
