"""Between a program's description and a scenario: running, tools, the peer, disks, memory, offload."""

import contextlib
import dataclasses
import hashlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fake_host import make_guest, make_host, recorded, shell_of
from hypothesis import given
from hypothesis import strategies as st

from harness.deadline import Deadline, WaitTimedOut
from harness.errors import (
    ConfigurationError,
    GuestError,
    InfrastructureError,
    OperationFailed,
    OutputNotUnderstood,
    ToolMissing,
)
from harness.guest.guest import Guest
from harness.host.domain import DiskSpec
from harness.lab import Tool, ToolName
from harness.model import Arch, GuestKind
from harness.operations import FileFacts
from harness.workload.balloon import MemoryView, Tolerance, disagreements
from harness.workload.datadisk import DataDisk, DataDisks
from harness.workload.disk import Access, DiskLoad, Order
from harness.workload.iperf3 import TcpRun
from harness.workload.measure import Direction
from harness.workload.offload import checksum_offload, own_adapter
from harness.workload.pattern import expected_pattern
from harness.workload.peer import Peer, iperf3_server, parse_bridge_address
from harness.workload.run import GuestTool, carry_out, run_in_guest, running
from harness.workload.tools import GuestTools
from harness.workload.traffic import Traffic
from harness.workload.watching import watch_in_guest

RECORDED = Path(__file__).parents[1] / "fixtures" / "workload"
TCP = TcpRun("10.77.0.1", 5301, Direction.OUT, streams=1, seconds=1)
IPERF3 = GuestTool(ToolName.IPERF3, "iperf3")


def job(state: str = "ended", code: int | None = 0, out: str = "", err: str = "") -> dict[str, Any]:
    return {"state": state, "exit_code": code, "stdout": out, "stderr": err}


def ended(out: str) -> dict[str, Any]:
    return job(out=out)


def guest_with(answers: Mapping[str, Any], **changes: Any) -> Guest:
    return make_guest(make_host({}), {"start_tool": {"job": "7"}, "stop_job": job(), **answers}, **changes)


def asked(guest: Guest) -> list[str]:
    channel: Any = guest._channel
    asked: list[str] = channel.asked
    return asked


# -- running


def test_a_program_is_polled_until_it_has_ended() -> None:
    states = iter([job("running", None), job(out="done", code=3)])
    guest = guest_with({"job_status": lambda job: next(states)})

    output = run_in_guest(guest, "iperf3", ["--version"], limit_s=5)

    assert (output.exit_code, output.stdout) == (3, "done")
    assert asked(guest) == ["start_tool", "job_status", "job_status"]


def test_a_program_that_does_not_end_is_stopped_before_the_test_fails() -> None:
    guest = guest_with({"job_status": job("running", None)})

    with pytest.raises(WaitTimedOut, match="iperf3 ends on win1"):
        run_in_guest(guest, "iperf3", [], limit_s=0)

    assert asked(guest)[-1] == "stop_job"


def test_a_program_that_vanished_is_the_guests_fault() -> None:
    guest = guest_with({"job_status": job("lost", None)})

    with pytest.raises(GuestError, match="vanished"):
        run_in_guest(guest, "iperf3", [], limit_s=5)


def test_a_load_that_has_ended_is_no_load() -> None:
    guest = guest_with({"job_status": job(code=1, err="fio: disk full\n")})

    with running(guest, "fio", []) as load, pytest.raises(GuestError, match="exit code 1: fio: disk full"):
        load.check_running()

    assert asked(guest)[-1] == "stop_job"


def test_a_load_that_a_reboot_ended_leaves_no_error() -> None:
    guest = guest_with({"stop_job": GuestError("there is no job 7")})

    with running(guest, "fio", []):
        pass

    assert asked(guest) == ["start_tool", "stop_job"]


def test_measurements_come_out_of_a_run() -> None:
    text = (RECORDED / "iperf3-3.12-tcp-out.json").read_text()
    guest = guest_with({"job_status": job(out=text)})

    assert carry_out(guest, IPERF3, TCP)[0].metric == "tcp_throughput"


def test_an_exit_code_outweighs_readable_figures() -> None:
    text = (RECORDED / "iperf3-3.12-tcp-out.json").read_text()
    guest = guest_with({"job_status": job(out=text, code=1, err="iperf3: interrupt\n")})

    with pytest.raises(GuestError, match="exit code 1: iperf3: interrupt"):
        carry_out(guest, IPERF3, TCP)


def test_without_output_the_programs_last_words_are_shown() -> None:
    guest = guest_with({"job_status": job(code=1, err="iperf3: unrecognized option\nUsage: ...\n")})

    with pytest.raises(GuestError, match=r"Usage: \.\.\."):
        carry_out(guest, IPERF3, TCP)


def test_output_of_a_good_run_that_cannot_be_read_is_no_fault_of_the_guest() -> None:
    guest = guest_with({"job_status": job(out="hello")})

    with pytest.raises(OutputNotUnderstood):
        carry_out(guest, IPERF3, TCP)


# -- tools


def no_carrier(source: Path, target: str) -> None:
    raise AssertionError(f"{source} needs not be carried to {target}")


@pytest.mark.parametrize("kind", [GuestKind.SIMULATED, GuestKind.STAND_IN])
def test_guests_of_ours_have_their_programs_by_name(kind: GuestKind) -> None:
    tools = GuestTools(guest_with({}, guest=kind), [], no_carrier)

    assert tools.find(ToolName.DISKSPD, ToolName.FIO) == GuestTool(ToolName.FIO, "fio")


def a_tool(folder: Path, name: str = "iperf3.exe", **changes: Any) -> Tool:
    path = folder / name
    path.write_bytes(b"program")
    sha256 = hashlib.sha256(b"program").hexdigest()
    return dataclasses.replace(Tool(ToolName.IPERF3, Arch.X64, path, sha256), **changes)


def windows(there: FileFacts | Exception, calls: list[str]) -> Guest:
    def unpack(path: str, folder: str) -> None:
        calls.append(f"expand {path} to {folder}")

    answer = there if isinstance(there, Exception) else dataclasses.asdict(there)
    return guest_with({"file_facts": answer, "expand_zip": unpack})


def missing() -> Exception:
    return OperationFailed("file_facts", "not-found", "no such file")


def test_a_windows_guest_gets_the_file_that_hosts_ini_names(tmp_path: Path) -> None:
    carried: list[str] = []
    tool = a_tool(tmp_path)

    def carry(source: Path, target: str) -> None:
        carried.append(f"{source.name} -> {target}")

    found = GuestTools(windows(missing(), []), [tool], carry).find(ToolName.IPERF3)

    folder = rf"C:\ProgramData\pvhck\tools\iperf3-{tool.sha256[:12]}"
    assert found.path == rf"{folder}\iperf3.exe"
    assert carried == [rf"iperf3.exe -> {folder}\iperf3.exe"]


def test_a_file_that_is_there_already_is_not_carried_again(tmp_path: Path) -> None:
    tool = a_tool(tmp_path)
    guest = windows(FileFacts("x", 7, tool.sha256), [])

    assert GuestTools(guest, [tool], no_carrier).find(ToolName.IPERF3).path.endswith("iperf3.exe")


def test_a_zip_is_unpacked_beside_itself(tmp_path: Path) -> None:
    tool = a_tool(tmp_path, "iperf3-win64.zip")
    calls: list[str] = []

    found = GuestTools(windows(missing(), calls), [tool], lambda source, target: None).find(ToolName.IPERF3)

    folder = rf"C:\ProgramData\pvhck\tools\iperf3-{tool.sha256[:12]}"
    assert calls == [rf"expand {folder}.zip to {folder}"]
    assert found.path == rf"{folder}\iperf3.exe"


def test_a_program_with_another_hash_is_not_what_was_meant(tmp_path: Path) -> None:
    tool = a_tool(tmp_path, sha256="0" * 64)

    with pytest.raises(ConfigurationError, match="SHA-256"):
        GuestTools(windows(missing(), []), [tool], no_carrier).find(ToolName.IPERF3)


def test_a_program_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    tool = a_tool(tmp_path, path=tmp_path / "gone.exe")

    with pytest.raises(ConfigurationError, match=r"gone\.exe"):
        GuestTools(windows(missing(), []), [tool], no_carrier).find(ToolName.IPERF3)


def test_a_program_for_the_other_architecture_does_not_count(tmp_path: Path) -> None:
    tool = a_tool(tmp_path, arch=Arch.X86)

    with pytest.raises(ToolMissing, match=r"no iperf3 for x64 guests.*iperf3\.x64"):
        GuestTools(windows(missing(), []), [tool], no_carrier).find(ToolName.IPERF3)


# -- the peer

VERSION = (RECORDED / "iperf3-3.12-version.txt").read_text()
LISTENING = (RECORDED / "iperf3-3.12-server.txt").read_text()
BRIDGE = "4: xenbr0    inet 10.77.0.1/24 brd 10.77.0.255 scope global xenbr0\\       valid_lft forever\n"


class Lines:
    def __init__(self, text: str) -> None:
        self._lines = iter(text.splitlines())

    def next_line(self, deadline: Deadline) -> str | None:
        return next(self._lines, None)


def host_with_streams(texts: list[str], answers: Mapping[str, Any], **changes: Any) -> Any:
    host = make_host(answers, **changes)
    shell = shell_of(host)
    log: list[str] = []

    @contextlib.contextmanager
    def stream(argv: list[str]) -> Iterator[Lines]:
        log.append(f"start {argv[argv.index('-p') + 1]}")
        try:
            yield Lines(texts.pop(0))
        finally:
            log.append("end")

    shell.stream = stream  # type: ignore[attr-defined]
    return host, log


def test_the_server_lives_as_long_as_its_context() -> None:
    answers = {"iperf3 --version": VERSION, "ip -4 -o addr show dev xenbr0": BRIDGE}
    host, log = host_with_streams([LISTENING], answers)

    with iperf3_server(host) as peer:
        assert (peer.address, peer.version) == ("10.77.0.1", (3, 12))
        assert log == [f"start {peer.port}"]
    assert log[-1] == "end"


def test_a_port_in_use_is_given_up_for_another_one() -> None:
    host, log = host_with_streams(["", LISTENING], {"iperf3 --version": VERSION})

    with iperf3_server(host) as peer:
        assert peer.address == host.spec.address, "without an address on the bridge: the one we use"
        assert log[1:] == ["end", f"start {peer.port}"]


def test_a_server_that_never_listens_is_the_hosts_fault() -> None:
    host, log = host_with_streams([""] * 4, {"iperf3 --version": VERSION})

    with pytest.raises(InfrastructureError, match="listens on none"), iperf3_server(host):
        pass
    assert log.count("end") == 4


def test_a_dom0_without_iperf3_is_told_what_to_do() -> None:
    host, _ = host_with_streams([], {})

    with pytest.raises(ToolMissing, match="iperf_peer"), iperf3_server(host):
        pass


def test_a_named_peer_is_used_as_it_is() -> None:
    host, log = host_with_streams([], {}, iperf_peer="198.51.100.20")

    with iperf3_server(host) as peer:
        assert (peer.address, peer.port, peer.version) == ("198.51.100.20", 5201, None)
    assert log == []


@given(st.text())
def test_any_text_of_ip_is_an_address_or_none(text: str) -> None:
    assert parse_bridge_address(text) is None or "inet " in text


# -- patterns and disks


def test_the_expected_pattern_is_the_definition_byte_by_byte() -> None:
    block = b"".join((hashlib.sha256(f"5:{number}".encode()).digest() * 17)[:512] for number in range(3))

    assert expected_pattern(5, 3, 512).sha256 == hashlib.sha256(block).hexdigest()
    assert expected_pattern(6, 3, 512) != expected_pattern(5, 3, 512)


def test_a_block_that_is_no_multiple_of_the_digest_is_cut() -> None:
    digest = hashlib.sha256(b"1:0").digest()

    assert expected_pattern(1, 1, 40).sha256 == hashlib.sha256(digest + digest[:8]).hexdigest()


def disk(number: int = 1, target: int = 6, size: int = 1 << 20, **changes: Any) -> dict[str, Any]:
    return {
        "number": number,
        "name": "XENSRC PVDISK",
        "serial": "0006",
        "target": target,
        "bus": "SCSI",
        "size": size,
        "logical_sector": 512,
        "physical_sector": 4096,
        "offline": False,
        "read_only": False,
        **changes,
    }


def data_disk(answers: Mapping[str, Any], **changes: Any) -> DataDisk:
    guest = guest_with(answers, **changes)
    return DataDisk(guest, DiskSpec("/srv/pvhck/runs/r1/win1.xvdg.raw", "xvdg"), 1 << 20, seed=4)


def test_a_disk_is_found_by_its_target_id_never_by_its_number() -> None:
    found = data_disk({"disks": [disk(0, -1), disk(6, 5), disk(2, 6)]}).find()

    assert found is not None
    assert (found.number, found.target) == (2, 6)


def test_a_disk_of_another_size_is_not_yet_there() -> None:
    with pytest.raises(WaitTimedOut, match=r"1048576 bytes.*size=512"):
        data_disk({"disks": [disk(size=512)]}).wait_there(0)


def test_each_pattern_is_another_one_and_a_false_one_is_noticed() -> None:
    def write(target: int, seed: int, blocks: int, block_size: int) -> dict[str, Any]:
        return dataclasses.asdict(expected_pattern(min(seed, 5), blocks, block_size))

    found = data_disk({"write_pattern": write})

    assert found.write_pattern(blocks=2, block_size=4096) == expected_pattern(5, 2, 4096)
    with pytest.raises(GuestError, match="another pattern"):
        found.write_pattern(blocks=2, block_size=4096)


@pytest.mark.parametrize(
    ("kind", "tool", "word"),
    [
        (GuestKind.WINDOWS, ToolName.DISKSPD, "#1"),
        (GuestKind.WINDOWS, ToolName.FIO, r"--filename=\\.\PhysicalDrive1"),
        (GuestKind.SIMULATED, ToolName.FIO, "--ioengine=windowsaio"),
        (GuestKind.STAND_IN, ToolName.FIO, "--filename=/dev/xvdg"),
        (GuestKind.STAND_IN, ToolName.FIO, "--ioengine=libaio"),
    ],
)
def test_the_disk_is_named_as_the_guests_programs_name_it(kind: GuestKind, tool: ToolName, word: str) -> None:
    started: list[tuple[str, ...]] = []

    def start(path: str, arguments: list[str]) -> dict[str, str]:
        started.append(tuple(arguments))
        return {"job": "7"}

    found = data_disk({"disks": [disk()], "start_tool": start}, guest=kind)
    with found.load(GuestTool(tool, "x"), DiskLoad(Access.READ, Order.RANDOM, 4, 1, 1)):
        pass

    assert word in started[0]


@pytest.mark.parametrize(
    ("blocks", "block_kib", "mib"), [(16, 64, 1), (17, 64, 2), (1, 48, 3), (1, 4096, 4), (300, 4, 2)]
)
def test_a_disk_for_blocks_is_filled_by_them_to_its_end(blocks: int, block_kib: int, mib: int) -> None:
    made: list[int] = []

    class Disks(DataDisks):
        def attach(self, mib: int, *, seconds: float) -> DataDisk:
            made.append(mib)
            raise GuestError("far enough")

    area: Any = None
    with pytest.raises(GuestError):
        Disks(guest_with({}), area, 1).attach_blocks(blocks, block_kib, seconds=1)

    assert made == [mib]
    assert (mib << 10) % block_kib == 0
    assert mib << 10 >= blocks * block_kib


# -- memory

FULL = MemoryView(guest_total=2047, guest_free=1500, listed=2048, host_free=4000)
TOLERANCE = Tolerance(settled=4, moving=32)


def after(total: float, free: float, listed: float = 512, host: float = 512) -> MemoryView:
    """A view in which so many MiB are gone from each side and come to the host."""
    return MemoryView(
        FULL.guest_total - total,
        FULL.guest_free - free,
        FULL.listed - int(listed),
        FULL.host_free + int(host),
    )


@pytest.mark.parametrize("view", [after(512, 512), after(512, 300), after(0, 512), after(-2, 490)])
def test_the_guest_may_show_it_in_its_total_or_in_what_is_free(view: MemoryView) -> None:
    assert disagreements(FULL, view, 512, TOLERANCE) == ()


@pytest.mark.parametrize("view", [after(256, 512), after(0, 0), after(0, 256), after(256, 256)])
def test_half_of_each_is_neither(view: MemoryView) -> None:
    assert len(disagreements(FULL, view, 512, TOLERANCE)) == 1


def test_each_side_is_named_that_does_not_agree() -> None:
    found = disagreements(FULL, after(512, 512, listed=500, host=0), 512, TOLERANCE)

    assert len(found) == 2
    assert "the list of domains shows 500 MiB" in found[0]
    assert "the host has 0 MiB more" in found[1]


# -- offload


def adapter(value: str = "3", *, up: bool = True, mac: str = "00:16:3e:00:00:01") -> dict[str, Any]:
    counters = dict.fromkeys(
        (
            "received_bytes",
            "sent_bytes",
            "received_packets",
            "sent_packets",
            "received_errors",
            "sent_errors",
        ),
        0,
    )
    return {
        "name": "Ethernet 2",
        "description": "Xen PV Network Device #0",
        "mac": mac,
        "instance_id": "XENVIF\\VEN_XP0001&DEV_NET&REV_0900000B\\0",
        "up": up,
        "speed_bps": 10**11,
        "mtu": 1500,
        "addresses": [],
        "driver_version": "9.1.0.0",
        "statistics": counters,
        "settings": [["*LSOV2IPv4", "1"], ["*TCPChecksumOffloadIPv4", value]],
    }


def test_offload_is_switched_and_put_back_whatever_happens() -> None:
    state = {"value": "3"}
    log: list[str] = []

    def change(mac: str, keyword: str, value: str) -> None:
        log.append(f"{keyword}={value}")
        state["value"] = value

    guest = guest_with({"network_adapters": lambda: [adapter(state["value"])], "set_network_setting": change})

    with pytest.raises(ZeroDivisionError), checksum_offload(guest, on=False):
        raise ZeroDivisionError

    assert log == ["*TCPChecksumOffloadIPv4=0", "*TCPChecksumOffloadIPv4=3"]


def test_an_adapter_of_another_mac_is_not_the_guests() -> None:
    guest = guest_with({"network_adapters": [adapter(mac="00:16:3e:ff:ff:ff")]})

    with pytest.raises(GuestError, match="0 adapters"):
        own_adapter(guest)


def test_two_adapters_with_one_mac_show_that_the_emulated_one_is_still_there() -> None:
    guest = guest_with({"network_adapters": [adapter(), adapter()]})

    with pytest.raises(GuestError, match="2 adapters"):
        own_adapter(guest)


# -- traffic both ways


def speaker(version: str, runs: list[tuple[str, ...]]) -> Guest:
    """A guest whose iperf3 answers with recorded outputs."""
    jobs: dict[str, str] = {}

    def start(path: str, arguments: list[str]) -> dict[str, str]:
        name = "tcp-both" if "--bidir" in arguments else "tcp-in-8" if "-R" in arguments else "tcp-out"
        text = version if "--version" in arguments else (RECORDED / f"iperf3-3.12-{name}.json").read_text()
        number = str(len(jobs))
        jobs[number] = text
        runs.append(tuple(arguments))
        return {"job": number}

    host, _ = host_with_streams([LISTENING] * 4, {"iperf3 --version": VERSION})
    return make_guest(
        host, {"start_tool": start, "job_status": lambda job: ended(jobs[job]), "stop_job": ended("")}
    )


def test_one_run_goes_both_ways_where_both_ends_can() -> None:
    runs: list[tuple[str, ...]] = []
    guest = speaker(VERSION, runs)

    with Traffic.between(guest, IPERF3) as traffic:
        found = traffic.tcp(Direction.BOTH, streams=1, seconds=1)

    assert [run for run in runs if "--bidir" in run] == [runs[-1]]
    assert {m.params["direction"] for m in found} == {"out", "in"}


def test_an_old_iperf3_goes_both_ways_by_two_runs_on_two_ports() -> None:
    runs: list[tuple[str, ...]] = []
    guest = speaker("iperf 3.1.3\nCYGWIN_NT-10.0\n", runs)

    with Traffic.between(guest, IPERF3) as traffic:
        found = traffic.tcp(Direction.BOTH, streams=8, seconds=1)

    _, inwards, out = runs
    assert "-R" in inwards
    assert "-R" not in out
    rates = [m for m in found if m.metric == "tcp_throughput"]
    assert {m.params["direction"]: m.params["other_way"] for m in rates} == {"out": "busy", "in": "busy"}


def test_a_named_peer_cannot_serve_two_runs() -> None:
    guest = speaker("iperf 3.1.3\n", [])
    traffic = Traffic(guest, IPERF3, Peer("198.51.100.20", 5201, None))

    with pytest.raises(ToolMissing, match="two servers"):
        traffic.tcp(Direction.BOTH, streams=1, seconds=1)


# -- watches


def test_dom0_keeps_writing_until_the_guests_watch_has_fired() -> None:
    written: list[str] = []
    heard = threading.Event()

    def write(argv: Any) -> tuple[int, str, str]:
        written.append(argv[-1])
        if len(written) > 1:
            heard.set()
        return 0, "", ""

    def watch(path: str, seconds: int) -> dict[str, Any]:
        # it takes a second write to fire: the first may come before the watch is set
        return {"path": path, "fired": heard.wait(10)}

    host = make_host({"xl list": recorded("xl-list"), "xenstore-write": write})
    event = watch_in_guest(make_guest(host, {"xenstore_watch": watch}), "data/x", seconds=10)

    assert event.fired
    assert written[:2] == ["change 1", "change 2"]
