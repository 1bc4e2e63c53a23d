"""fio is read as it was recorded, diskspd as it was published."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import GuestError, OutputNotUnderstood
from harness.model import Measurement
from harness.workload.disk import Access, DiskLoad, Order
from harness.workload.diskspd import DiskspdRun
from harness.workload.fio import FioRun

RECORDED = Path(__file__).parents[1] / "fixtures" / "workload"
LOAD = DiskLoad(Access.READ, Order.RANDOM, block_kib=4, depth=32, seconds=1)
SEQUENTIAL_WRITE = DiskLoad(Access.WRITE, Order.SEQUENTIAL, block_kib=64, depth=1, seconds=1.5, warm_up_s=2)


def recorded(name: str) -> str:
    return (RECORDED / name).read_text()


def fio(load: DiskLoad) -> FioRun:
    return FioRun(load, "/dev/xvdg", 64 << 20, windows=False)


def by_name(found: tuple[Measurement, ...]) -> dict[str, Measurement]:
    return {measurement.metric: measurement for measurement in found}


# -- fio


def test_fio_never_makes_a_file_of_a_disk_that_is_gone() -> None:
    assert "--allow_file_create=0" in fio(LOAD).arguments()
    assert "--size=67108864" in fio(LOAD).arguments()


def test_fio_on_windows_uses_its_own_engine_with_threads() -> None:
    arguments = FioRun(SEQUENTIAL_WRITE, r"\\.\PhysicalDrive1", 64 << 20, windows=True).arguments()

    assert {"--ioengine=windowsaio", "--thread", "--rw=write", "--bs=64k", "--runtime=2"} <= set(arguments)
    assert r"--filename=\\.\PhysicalDrive1" in arguments


def test_fios_figures_are_read_with_their_units() -> None:
    found = by_name(fio(LOAD).read(recorded("fio-3.33-rand-read.json")))

    assert found["disk_operations"].value == pytest.approx(36791.2, abs=0.1)
    assert found["disk_throughput"].value == pytest.approx(150696791 / 2**20)
    assert found["disk_latency"].value == pytest.approx(0.8678, abs=0.0001)  # lat_ns, not clat_ns
    assert found["disk_latency_p99"].value == pytest.approx(3.817472)
    assert found["disk_latency"].params == {
        "access": "read",
        "order": "random",
        "block_kib": 4,
        "depth": 32,
        "seconds": 1,
    }
    assert found["disk_latency"].tool_version == "3.33"


def test_writes_are_read_from_the_write_half() -> None:
    found = by_name(fio(SEQUENTIAL_WRITE).read(recorded("fio-3.33-seq-write.json")))

    assert found["disk_operations"].value > 0


def test_windows_fio_talks_before_its_json() -> None:
    note = "fio: this platform does not support process shared mutexes, forcing use of threads.\n"

    assert by_name(fio(LOAD).read(note + recorded("fio-3.33-rand-read.json")))["disk_operations"].value > 0


def test_fio_2_counts_in_kib_and_microseconds() -> None:
    report = json.loads(recorded("fio-3.33-rand-read.json"))
    way = report["jobs"][0]["read"]
    way["bw"] = 1024
    way["lat"] = {"mean": 867.7}
    way["clat"] = {"percentile": {"99.000000": 3817}}
    del way["bw_bytes"], way["lat_ns"], way["clat_ns"]

    found = by_name(fio(LOAD).read(json.dumps(report)))

    assert found["disk_throughput"].value == 1.0
    assert found["disk_latency"].value == pytest.approx(0.8677)
    assert found["disk_latency_p99"].value == pytest.approx(3.817)


def test_a_job_that_did_nothing_is_no_slow_disk() -> None:
    with pytest.raises(GuestError, match="not one read"):
        fio(LOAD).read(recorded("fio-3.33-no-file.json"))


def test_an_error_of_the_job_is_the_guests() -> None:
    report = json.loads(recorded("fio-3.33-rand-read.json"))
    report["jobs"][0]["error"] = 5

    with pytest.raises(GuestError, match="error 5"):
        fio(LOAD).read(json.dumps(report))


# -- diskspd


def test_diskspd_is_told_to_pass_by_every_cache() -> None:
    assert DiskspdRun(LOAD, 1).arguments() == (
        "-b4K", "-d1", "-W0", "-C0", "-t1", "-o32", "-r4K", "-w0", "-Sh", "-L", "-Rxml", "#1",
    )  # fmt: skip
    assert {"-s64K", "-w100", "-d2", "-W2"} <= set(DiskspdRun(SEQUENTIAL_WRITE, 1).arguments())


def test_diskspds_threads_are_added_up() -> None:
    found = by_name(DiskspdRun(LOAD, 1).read(recorded("diskspd-2.0.21a.xml")))

    assert found["disk_operations"].value == pytest.approx((22645 + 22623) / 30.02)
    assert found["disk_throughput"].value == pytest.approx((1484062720 + 1482620928) / 30.02 / 2**20)
    assert "disk_latency" not in found, "without -L there is none"
    assert found["disk_operations"].tool_version == "2.0.21a"


def test_diskspds_latencies_are_those_of_the_access_asked_for() -> None:
    found = by_name(DiskspdRun(SEQUENTIAL_WRITE, 1).read(recorded("diskspd-latency-form.xml")))

    assert found["disk_latency"].value == 0.825
    assert found["disk_latency_p99"].value == 2.125


def test_a_diskspd_run_without_reads_is_no_slow_disk() -> None:
    with pytest.raises(GuestError, match="not one read"):
        DiskspdRun(LOAD, 1).read(recorded("diskspd-latency-form.xml"))


def test_an_interrupted_diskspd_says_so() -> None:
    text = "<Results><TimeSpan><Error>The test was interrupted</Error></TimeSpan></Results>"

    with pytest.raises(GuestError, match="interrupted"):
        DiskspdRun(LOAD, 1).read(text)


@pytest.mark.parametrize(
    "text",
    [
        "<Results></Results>",
        "<Results><TimeSpan></TimeSpan></Results>",
        "<Results><TimeSpan><TestTimeSeconds>nan</TestTimeSeconds></TimeSpan></Results>",
        "<Results><TimeSpan>",
    ],
)
def test_incomplete_xml_is_not_understood(text: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        DiskspdRun(LOAD, 1).read(text)


@given(st.text())
def test_any_text_is_an_error_that_shows_it(text: str) -> None:
    for run in (fio(LOAD), DiskspdRun(LOAD, 1)):
        with pytest.raises(OutputNotUnderstood):
            run.read(text)


@given(cut=st.integers(0, 6000), at=st.integers(0, 6000))
def test_damaged_outputs_are_read_or_refused(cut: int, at: int) -> None:
    for run, name in (
        (fio(LOAD), "fio-3.33-rand-read.json"),
        (DiskspdRun(replace(LOAD), 1), "diskspd-2.0.21a.xml"),
    ):
        text = recorded(name)
        try:
            found = run.read(text[:at] + text[at + cut :])
        except (OutputNotUnderstood, GuestError):
            continue
        assert all(measurement.value >= 0 for measurement in found)
