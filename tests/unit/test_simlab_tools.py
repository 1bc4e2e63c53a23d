"""The simulated programs answer in the form of the real ones and are read by the real parsers."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from harness.errors import GuestError, InfrastructureError
from harness.model import Measurement
from harness.simlab.tools import DiskFound, ToolConditions, ToolRun, play, play_on_dom0
from harness.workload.disk import Access, DiskLoad, Order
from harness.workload.diskspd import DiskspdRun
from harness.workload.fio import FioRun
from harness.workload.iperf3 import TcpRun, UdpRun, parse_version
from harness.workload.measure import Direction, Workload
from harness.workload.ntttcp import NtttcpRun

RECORDED = Path(__file__).parents[1] / "fixtures" / "workload"
DISKS = {0: DiskFound(pv=False, size=1 << 30), 1: DiskFound(pv=True, size=1 << 26)}
PV = ToolConditions(seed=7, pv_network=True, disks=DISKS, ports={5301})
EMULATED = ToolConditions(seed=7, pv_network=False, disks=DISKS, ports={5301})
SLOW = ToolConditions(seed=7, pv_network=True, ports={5301}, slow_network=True)
ONE_WAY = ToolConditions(seed=7, pv_network=True, ports={5301}, one_way=True)
DRIVE = r"\\.\PhysicalDrive1"


def tcp(direction: Direction = Direction.OUT, streams: int = 1) -> TcpRun:
    return TcpRun("127.0.0.1", 5301, direction, streams, seconds=1)


def disk_load(**changes: Any) -> DiskLoad:
    return DiskLoad(
        **{"access": Access.READ, "order": Order.RANDOM, "block_kib": 4, "depth": 1, "seconds": 1, **changes}
    )


def played(run: Workload, conditions: ToolConditions, path: str = "") -> ToolRun:
    answer = play(path or run.tool.value, run.arguments(), conditions)
    assert answer is not None
    return answer


def value(metric: str, run: Workload, conditions: ToolConditions = PV) -> float:
    found: tuple[Measurement, ...] = run.read(played(run, conditions).stdout)
    return next(measurement.value for measurement in found if measurement.metric == metric)


def keys(node: Any, path: str = "") -> Iterator[str]:
    """All paths of a JSON value; lists count by their first element."""
    if isinstance(node, dict):
        for name, inner in node.items():
            # what was asked for is echoed there, and differs by the asking
            if path.endswith("/job options") or re.search(r"/(percentile|disk_util)$", path):
                continue
            yield f"{path}/{name}"
            yield from keys(inner, f"{path}/{name}")
    elif isinstance(node, list) and node:
        yield from keys(node[0], f"{path}[]")


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (tcp(), "iperf3-3.12-tcp-out"),
        (tcp(Direction.IN, 8), "iperf3-3.12-tcp-in-8"),
        (tcp(Direction.BOTH), "iperf3-3.12-tcp-both"),
        (tcp(Direction.BOTH, 8), "iperf3-3.12-tcp-both-8"),
        (UdpRun("127.0.0.1", 5301, Direction.OUT, 10, 1), "iperf3-3.12-udp"),
        (UdpRun("127.0.0.1", 5301, Direction.IN, 10, 1, 1), "iperf3-3.12-udp-in-omit"),
        (FioRun(disk_load(), DRIVE, 1 << 26, windows=True), "fio-3.33-rand-read"),
        (
            FioRun(disk_load(access=Access.WRITE, order=Order.SEQUENTIAL), DRIVE, 1 << 26, windows=True),
            "fio-3.33-seq-write",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_json_has_the_keys_of_the_recorded_one(run: Workload, name: str) -> None:
    real = set(keys(json.loads((RECORDED / f"{name}.json").read_text())))
    simulated = set(keys(json.loads(played(run, PV).stdout)))

    linux_only = {path for path in real if path.startswith("/disk_util")}
    assert simulated == real - linux_only


def test_fio_with_fsync_counts_them_as_recorded() -> None:
    run = FioRun(disk_load(access=Access.WRITE), DRIVE, 1 << 26, windows=True)
    answer = play("fio", [*run.arguments(), "--fsync=1"], PV)
    assert answer is not None
    real = json.loads((RECORDED / "fio-3.33-rand-write-fsync.json").read_text())["jobs"][0]["sync"]
    simulated = json.loads(answer.stdout)["jobs"][0]["sync"]

    assert simulated.keys() == real.keys()
    assert simulated["lat_ns"].keys() == real["lat_ns"].keys()
    assert simulated["total_ios"] > 0


def test_diskspds_xml_has_no_element_the_published_forms_lack() -> None:
    def names(text: str) -> set[str]:
        return {element.tag for element in ET.fromstring(text).iter()}

    published = names((RECORDED / "diskspd-2.0.21a.xml").read_text())
    published |= names((RECORDED / "diskspd-latency-form.xml").read_text())
    run = DiskspdRun(disk_load(access=Access.WRITE), 1)

    assert names(played(run, PV, "diskspd.exe").stdout) == published


@pytest.mark.parametrize("direction", [Direction.OUT, Direction.IN])
def test_a_pv_interface_is_faster_than_an_emulated_one(direction: Direction) -> None:
    assert value("tcp_throughput", tcp(direction)) > 2 * value("tcp_throughput", tcp(direction), EMULATED)


def test_the_slow_network_passes_a_twentieth() -> None:
    assert value("tcp_throughput", tcp(), SLOW) < value("tcp_throughput", tcp()) / 10
    run = UdpRun("127.0.0.1", 5301, Direction.OUT, 10, 1)
    assert value("udp_loss", run, PV) == 0
    assert value("udp_loss", run, SLOW) == pytest.approx(95, abs=1)


def test_on_a_one_way_network_tcp_starves_and_no_datagram_is_counted_inwards() -> None:
    assert value("tcp_throughput", tcp(Direction.OUT), ONE_WAY) > 0
    assert value("tcp_throughput", tcp(Direction.IN), ONE_WAY) == 0
    assert value("udp_loss", UdpRun("127.0.0.1", 5301, Direction.OUT, 10, 1), ONE_WAY) == 0
    with pytest.raises(GuestError, match="not one datagram"):
        value("udp_loss", UdpRun("127.0.0.1", 5301, Direction.IN, 10, 1), ONE_WAY)


def test_eight_streams_carry_more_than_one() -> None:
    assert value("tcp_throughput", tcp(streams=8)) > value("tcp_throughput", tcp())


@pytest.mark.parametrize("kind", ["fio", "diskspd"])
def test_a_disk_does_more_with_more_in_flight_and_larger_blocks_carry_more(kind: str) -> None:
    def run(load: DiskLoad) -> Workload:
        return FioRun(load, DRIVE, 1 << 26, windows=True) if kind == "fio" else DiskspdRun(load, 1)

    assert value("disk_operations", run(disk_load(depth=32))) > value("disk_operations", run(disk_load()))
    assert value("disk_throughput", run(disk_load(block_kib=64))) > value("disk_throughput", run(disk_load()))
    assert value("disk_latency_p99", run(disk_load())) > value("disk_latency", run(disk_load()))


def test_a_pv_disk_is_faster_than_an_emulated_one() -> None:
    assert value("disk_operations", DiskspdRun(disk_load(), 1)) > value(
        "disk_operations", DiskspdRun(disk_load(), 0)
    )


def test_ntttcp_is_read_from_its_screen() -> None:
    run = NtttcpRun("127.0.0.1", 5301, streams=2, seconds=1)

    assert value("tcp_throughput", run) > value("tcp_throughput", run, EMULATED)
    assert value("tcp_retransmits", run) == 0


def test_the_same_seed_and_turn_give_the_same_figures_and_another_turn_others() -> None:
    again = ToolConditions(seed=7, pv_network=True, ports={5301}, turn=1)

    assert value("tcp_throughput", tcp()) == value("tcp_throughput", tcp())
    assert value("tcp_throughput", tcp(), again) != value("tcp_throughput", tcp())


def test_a_run_takes_as_long_as_it_was_told_warm_up_included() -> None:
    assert played(TcpRun("x", 5301, Direction.OUT, 1, 3, 2), PV).seconds == 5
    assert played(FioRun(disk_load(seconds=3, warm_up_s=2), DRIVE, 1, windows=True), PV).seconds == 5
    assert played(DiskspdRun(disk_load(seconds=3, warm_up_s=2), 1), PV).seconds == 5


def test_without_a_server_the_client_is_refused_as_recorded() -> None:
    answer = played(TcpRun("127.0.0.1", 5999, Direction.OUT, 1, 1), PV)

    assert answer.exit_code == 0, "iperf3 3.12 with -J exits 0: recorded"
    with pytest.raises(InfrastructureError, match="Connection refused"):
        tcp().read(answer.stdout)
    plain = play("iperf3", ["-c", "127.0.0.1", "-p", "5999"], PV)
    assert plain is not None
    assert (plain.exit_code, plain.stderr) == (
        1,
        "iperf3: error - unable to connect to server: Connection refused\n",
    )


def test_a_disk_that_is_not_there_is_refused_as_recorded() -> None:
    run = FioRun(disk_load(), r"\\.\PhysicalDrive9", 1 << 26, windows=True)
    answer = played(run, PV)

    assert answer.exit_code == 1
    assert answer.stderr == (RECORDED / "fio-3.33-no-file.stderr.txt").read_text()
    with pytest.raises(GuestError):
        run.read(answer.stdout)
    assert played(DiskspdRun(disk_load(), 9), PV).exit_code == 1


@pytest.mark.parametrize(
    ("program", "arguments", "words"),
    [
        ("iperf3", ["--nonsense"], "iperf3: unrecognized option '--nonsense'"),
        ("iperf3", ["-c", "x", "-b"], "iperf3: option requires an argument -- 'b'"),
        ("iperf3", ["-P", "8"], "must either be a client (-c) or server (-s)"),
        ("fio", ["--nonsense=1"], "fio: unrecognized option '--nonsense"),
        ("fio", ["--name=x", "--rw=nonsense"], "fio: failed parsing rw=nonsense"),
        ("fio", ["--name=x", "--bs=abc"], "fio: failed parsing bs=abc"),
        ("fio", [], "No job(s) defined"),
        ("diskspd", ["-Q1", "#1"], "-Q1"),
        ("diskspd", ["-b4X", "#1"], "-b4X"),
        ("diskspd", [], "target"),
        ("ntttcp", ["-s"], "-m"),
        ("ntttcp", ["--what"], "parameter"),
    ],
)
def test_wrong_arguments_end_with_an_error_text_and_exit_code_1(
    program: str, arguments: list[str], words: str
) -> None:
    answer = play(program, arguments, PV)

    assert answer is not None
    assert answer.exit_code == 1
    assert words in answer.stderr


def test_the_server_on_dom0_says_that_it_listens_as_recorded() -> None:
    answer = play_on_dom0(["/usr/bin/iperf3", "-s", "-p", "5399", "--one-off", "--forceflush"])

    assert answer is not None
    assert answer.listens == 5399
    recorded = (RECORDED / "iperf3-3.12-server.txt").read_text()
    assert recorded.startswith(answer.stdout)


def test_versions_are_told_on_both_sides() -> None:
    on_dom0, in_guest = play_on_dom0(["iperf3", "--version"]), play("iperf3.exe", ["--version"], PV)
    assert on_dom0 is not None
    assert in_guest is not None
    assert parse_version(on_dom0.stdout) == parse_version(in_guest.stdout) == (3, 12)


def test_other_programs_are_not_ours() -> None:
    assert play(r"C:\Windows\System32\cmd.exe", [], PV) is None
    assert play_on_dom0(["fio"]) is None
    assert play_on_dom0([]) is None
    assert play(r"C:\ProgramData\pvhck\tools\DiskSpd.exe", ["-L", "#1"], PV) is not None
