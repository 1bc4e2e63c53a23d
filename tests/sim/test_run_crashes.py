"""A crash from the switch to the page: its dump is brought, read, named, counted with its like.

The dumps are the simulator's, written to the public layout; none written by Windows was at hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_runs import FaultRun, Runs, RunSpec
from own_scenarios import run_scenarios

from harness.dump import Dump, DumpType, read_dump
from harness.model import FailureKind, Outcome
from harness.results import TestResult, load_results

_DISK = "(test_disk_speed and (sequential-read or random-read))"
_LOAD = RunSpec(_DISK, guest=("bugcheck-load:xenvbd",))
_X86 = RunSpec("(test_tcp_one_way and out)", guest=("bugcheck-load:xenvif",), template={"arch": "x86"})
_INSTALL = RunSpec("test_xenvif_works or test_xennet_works", guest=("bugcheck-install:xenvif",))
_WHOLE = RunSpec(
    "(test_disk_speed and sequential-read)", guest=("bugcheck-load:xenvbd",), words=("--full-dumps",)
)
_KEPT = RunSpec(
    "(test_disk_speed and sequential-read)", guest=("bugcheck-load:xenvbd",), words=("--keep", "on-failure")
)
_HANG = RunSpec(
    "test_xenbus_works",
    guest=("winrm-freeze",),
    time_factor=0.1,
    template={"memory": "128m"},
    profile={"install": {"boot_s": 300}},
    words=("--core-dumps",),
)
_WELL = RunSpec("(test_disk_speed and sequential-read)")

_UNDER_A_NMI = """\
from harness.host.toolstack.protocol import Trigger

def test_it(bare_guest, crash_watch):
    boot = bare_guest.boot_id
    bare_guest.host.toolstack.trigger(bare_guest.name, Trigger.NMI)
    bare_guest.disconnect(polite=False)
    bare_guest.wait_ready(bare_guest.deadline(60), old_boot=boot)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    with Runs(tmp_path_factory.mktemp("runs")) as found:
        for spec in (_HANG, _LOAD, _X86, _INSTALL, _WHOLE, _KEPT, _WELL):
            found.begin(spec)
        yield found


def dump_of(run: FaultRun, test: TestResult, name: str = "minidump-1.dmp") -> Dump:
    return read_dump(run.evidence(test)[name].read_bytes())


def test_a_crash_is_named_by_code_name_and_driver_in_reason_dump_and_signature(runs: Runs) -> None:
    run = runs.of(_LOAD)
    test = run.test("test_disk_speed")

    assert (test.outcome, test.kind) == (Outcome.FAILED, FailureKind.CRASH)
    assert "0xD1 DRIVER_IRQL_NOT_LESS_OR_EQUAL in xenvbd.sys" in test.reason
    assert test.signature == "0xD1 in xenvbd.sys"
    assert {"minidump-1.dmp", "memory-header.dmp", "crash.txt", "hypervisor.txt"} <= set(run.evidence(test))
    dump = dump_of(run, test)
    assert dump.header.type is DumpType.TRIAGE
    assert dump.crash.signature == test.signature
    assert str(dump_of(run, test, "memory-header.dmp").crash) == "0xD1 DRIVER_IRQL_NOT_LESS_OR_EQUAL"
    assert run.left == ()
    assert "Traceback" not in run.said


def test_crashes_alike_are_one_line_on_the_terminal_and_on_the_page(runs: Runs) -> None:
    run = runs.of(_LOAD)
    first, second = run.results.tests

    assert first.signature == second.signature
    parameters = {dump_of(run, test).header.bugcheck.parameters for test in (first, second)}
    assert len(parameters) == 2, "two boots: the addresses are others, the signature is not"
    assert "2 tests crashed alike: 0xD1 in xenvbd.sys" in run.said
    home = run.folder / "reports" / run.results.run.id
    assert "2 tests crashed alike: 0xD1 in xenvbd.sys" in (home / "index.html").read_text()
    written = json.loads((home / "results.json").read_text())
    assert written["schema"] == 1
    assert {test["signature"] for test in written["tests"]} == {"0xD1 in xenvbd.sys"}


def test_the_build_s_pdbs_are_kept_for_a_debugger_when_something_crashed_and_only_then(runs: Runs) -> None:
    run = runs.of(_LOAD)
    store = run.folder / "reports" / run.results.run.id / "symbols"

    pdb = next((store / "xenvbd.pdb").rglob("xenvbd.pdb"))
    assert pdb.name == "xenvbd.pdb"
    assert len(pdb.parent.name) == 33
    well = runs.of(_WELL)
    assert not (well.folder / "reports" / well.results.run.id / "symbols").exists()
    assert well.results.tests[0].signature == ""


def test_a_guest_of_32_bits_has_dumps_of_32_bits(runs: Runs) -> None:
    run = runs.of(_X86)
    test = run.test("test_tcp_one_way")

    dump = dump_of(run, test)
    assert (dump.header.wide, dump.header.machine) == (False, "x86")
    assert test.signature == dump.crash.signature == "0xD1 in xenvif.sys"


def test_a_crash_that_no_test_got_a_guest_by_is_named_in_all_of_them(runs: Runs) -> None:
    run = runs.of(_INSTALL)

    for name in ("test_xenvif_works", "test_xennet_works"):
        test = run.test(name)
        assert test.signature == "0xD1 in xenvif.sys", test.reason
        assert "in xenvif.sys" in test.reason
        assert dump_of(run, test).crash.signature == test.signature
    assert "2 tests crashed alike" in run.said


def test_memory_dmp_comes_whole_when_it_is_asked_for(runs: Runs) -> None:
    run = runs.of(_WHOLE)

    found = run.evidence(run.test("test_disk_speed"))

    assert found["memory.dmp"].stat().st_size == 256 << 10
    assert read_dump(found["memory.dmp"].read_bytes()).header.bugcheck.code == 0xD1


def test_a_guest_that_people_keep_is_not_reset(runs: Runs) -> None:
    run = runs.of(_KEPT)
    test = run.test("test_disk_speed")

    assert test.signature == "0xD1 in xenvbd.sys", "the hypervisor heard of it"
    assert "minidump-1.dmp" not in run.evidence(test)
    assert "is left as it is" in run.evidence(test)["notes.txt"].read_text()


def test_a_hang_leaves_a_core_dump_if_asked_and_no_signature(runs: Runs) -> None:
    run = runs.of(_HANG)
    test = run.test("test_xenbus_works")

    assert test.kind is FailureKind.HANG
    assert test.signature == ""
    found = run.evidence(test)
    assert {"nmi.txt", "guest.core"} <= set(found)
    assert found["guest.core"].stat().st_size > 100 << 20
    assert run.left == ()


def test_a_crash_that_only_the_guest_knows_of_is_named_by_its_dump(tmp_path: Path) -> None:
    ended = run_scenarios(tmp_path, _UNDER_A_NMI)

    results = load_results(tmp_path / "reports" / "latest")
    (test,) = results.tests
    assert test.kind is FailureKind.CRASH, ended.stdout
    assert test.signature == "0x80"
    assert "new crash dumps" in test.reason
    assert "0x80 NMI_HARDWARE_FAILURE" in test.reason
