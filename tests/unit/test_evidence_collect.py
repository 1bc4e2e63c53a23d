"""Evidence: every collector is asked, none stops another, and nothing secret or outside is written."""

from __future__ import annotations

import base64
import dataclasses
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_host import RECORDED_XL, FakeChannel, make_guest, make_host, recorded, shell_of

from harness.deadline import Deadline
from harness.errors import CommandTimedOut, GuestUnreachable, HostUnreachable, OperationFailed
from harness.evidence import COLLECTORS, Collector, Scene, Side, collect
from harness.evidence.collector import TEXT_LIMIT, Put
from harness.evidence.host_side import backends
from harness.guest.channel import Exchange
from harness.guest.guest import Guest
from harness.host.host import Host
from harness.host.toolstack.libvirt import LibvirtToolstack
from harness.host.toolstack.libvirt_xml import HostPrograms
from harness.lab import Redactor, Secret
from harness.libvirtport import PortEvent
from harness.model import GuestKind, XenVersion

TAIL = TEXT_LIMIT - 1023  # one more than is kept tells that there is more
_SETUP = "[Device Install]\r\n!!! dvi: Device not started: Device has problem: 0x0a\r\n"
_GUEST = {
    "event_mark": {"record": 1000},
    "events_since": [{"record": 1000, "provider": "EventLog", "event_id": 6008, "properties": ["geheim"]}],
    "dump_files": [{"path": "C:\\Windows\\MEMORY.DMP", "size": 5, "modified_utc": "x"}],
    "pnp_devices": [{"instance_id": "XENBUS\\..\\..\\x", "problem": 28}],
    "read_file": lambda path, offset, length: {
        "path": path,
        "size": len(_SETUP),
        "content": base64.b64encode(_SETUP.encode()[offset : offset + length]).decode(),
    },
}
_STATE = {
    "xl info -n": "state-info.txt",
    "xl list -l": "state-domains.txt",
    "xl vcpu-list": "state-vcpus.txt",
    "ps": "state-processes.txt",
    "ip -d addr": "state-links.txt",
    "ip route": "state-routes.txt",
    "brctl show": "state-bridges.txt",
    "lvs": "state-volumes.txt",
    "losetup -a": "state-loops.txt",
    "df -Pk": "state-space.txt",
    "cat /proc/partitions": "state-partitions.txt",
    "cat /proc/meminfo": "state-memory.txt",
    "cat /proc/cpuinfo": "state-processors.txt",
    "cat /proc/modules": "state-modules.txt",
    "lspci -v": "state-pci.txt",
    "ls -l": "state-cores.txt",
    "journalctl": "state-journal.txt",
}
_HOST = {
    **RECORDED_XL,
    "xl qemu-monitor-command": "",
    "get /srv/pvhck/win1.ppm": b"P6\n2 1\n255\nabcdef",
    "rm -f /srv/pvhck/win1.ppm": "",
    "xenstore-ls -f -p": '/local/domain/0/backend/x = "4"   (n0,r2)\n',
    f"tail -c {TAIL} /var/log/xen/xl-win1.log": recorded("log-xl-win1"),
    f"tail -c {TAIL} /srv/pvhck/runs/r1/win1.console": "GRUB\npassword geheim\n",
    "dmesg": "xen_netback: up\n",
    **{command: f"answer of {command}\n" for command in _STATE},
    f"tail -c {TAIL} /var/log/syslog": "xenstored: up\n",
    "find": "/usr/lib/xen-4.17/bin/xenctx\n",
    "/usr/lib/xen-4.17/bin/xenctx -C 2": "rip: ffffffff81000000\n",
}


def plain(text: str) -> str:
    return text


def place(**answers: Any) -> tuple[Host, Guest]:
    host = make_host({**_HOST, **answers})
    return host, make_guest(host, _GUEST)


def notes(folder: Path) -> str:
    path = folder / "notes.txt"
    return path.read_text() if path.exists() else ""


def test_everything_the_list_promises_is_there(tmp_path: Path) -> None:
    host, guest = place()
    guest.log.add(Exchange(1.0, "boot_id", 10, 20, 0.1, "ok"))

    scene = Scene(host, guest, before='/local/domain/2/control/shutdown = "poweroff"\n')
    files = collect(scene, tmp_path / "a" / "b", redact=plain)

    folder = tmp_path / "a" / "b"
    assert set(files) == {
        "channel.jsonl",
        "console.txt",
        "dom0-kernel.txt",
        "domain-config.txt",
        "domains.txt",
        "guest-devices.json",
        "guest-dumps.json",
        "guest-events.jsonl",
        "hypervisor.txt",
        "screen.png",
        "setupapi.txt",
        "guest-vcpus.txt",
        "log-syslog.txt",
        "state-xenstore.txt",
        "xenstore-before.txt",
        "xenstore.txt",
        "xl.txt",
        *_STATE.values(),
    }
    assert {path.name for path in folder.iterdir()} == set(files)
    assert json.loads((folder / "channel.jsonl").read_text())["op"] == "boot_id"
    assert json.loads((folder / "domain-config.txt").read_text())[0]["config"]["c_info"]["name"] == "win1"
    assert "win1" in (folder / "domains.txt").read_text()
    assert (folder / "screen.png").read_bytes().startswith(b"\x89PNG")
    assert '/local/domain/2/control/shutdown = ""' in (folder / "xenstore.txt").read_text()
    assert "/local/domain/0/backend/x" in (folder / "xenstore.txt").read_text()
    assert "poweroff" in (folder / "xenstore-before.txt").read_text()
    assert (folder / "guest-vcpus.txt").read_text().count("rip: ffffffff81000000") == 2
    assert json.loads((folder / "guest-events.jsonl").read_text())["event_id"] == 6008
    assert "MEMORY.DMP" in (folder / "guest-dumps.json").read_text()
    assert "problem: 0x0a" in (folder / "setupapi.txt").read_text()
    assert "Domain 8 has shut down, reason code 1" in (folder / "xl.txt").read_text()


def test_no_secret_reaches_a_file_whatever_brought_it(tmp_path: Path) -> None:
    redactor = Redactor()
    redactor.add(Secret("geheim"))
    failing = {"xl list -l win1": OperationFailed("x", "y", "the password is geheim")}
    host, guest = place(**failing)

    collect(Scene(host, guest), tmp_path, redact=redactor.clean)

    for path in tmp_path.iterdir():
        assert b"geheim" not in path.read_bytes(), path.name
    assert "password ***" in (tmp_path / "console.txt").read_text()
    assert "the password is ***" in notes(tmp_path)


@pytest.mark.parametrize(
    "line", ['/libxl/2/vnc-passwd = "hunter2"   (n0)', '"vnc": {"passwd": "hunter2"}', "password=hunter2"]
)
def test_passwords_that_nobody_told_us_are_masked_where_their_name_stands(tmp_path: Path, line: str) -> None:
    host, guest = place(**{"xenstore-ls -f -p /local/domain/2": f"{line}\n"})
    collect(Scene(host, guest), tmp_path, redact=plain)
    text = (tmp_path / "xenstore.txt").read_text()
    assert "hunter2" not in text
    assert "***" in text


def test_a_failing_collector_leaves_its_reason_and_the_others_their_files(tmp_path: Path) -> None:
    host, guest = place(
        **{
            "get /srv/pvhck/win1.ppm": b"no picture",
            "xl dmesg": CommandTimedOut("host xen1: xl dmesg did not end in 30 s"),
        }
    )
    guest_answers: Any = guest.channel()
    guest_answers.answers["dump_files"] = OperationFailed("dump_files", "access-denied", "Zugriff verweigert")

    files = collect(Scene(host, guest), tmp_path, redact=plain)

    assert {"domain-config.txt", "guest-events.jsonl", "xl.txt", "notes.txt"} <= set(files)
    assert {"screen.png", "hypervisor.txt", "guest-dumps.json"}.isdisjoint(files)
    said = notes(tmp_path)
    assert "screen dump: OutputNotUnderstood" in said
    assert "xl dmesg did not end in 30 s" in said
    assert "guest dump files: OperationFailed" in said
    assert "Zugriff verweigert" in said


def test_even_a_fault_in_a_collector_does_not_stop_the_others(tmp_path: Path) -> None:
    def broken(_scene: Scene, _deadline: Deadline, _put: Put) -> None:
        raise ZeroDivisionError

    host, guest = place()
    faulty = [Collector(f"bad {side}", side, broken) for side in Side]
    files = collect(Scene(host, guest), tmp_path, redact=plain, collectors=(*faulty, *COLLECTORS))
    assert "xenstore.txt" in files
    assert notes(tmp_path).count("ZeroDivisionError") == 3


def test_an_unreachable_host_is_asked_once_and_the_channel_log_is_still_kept(tmp_path: Path) -> None:
    lost = HostUnreachable("host xen1: connection lost")
    host, guest = place(**dict.fromkeys(("xl qemu-monitor-command", "xl info", "xl list", "xl dmesg"), lost))
    channel: Any = guest.channel()

    files = collect(Scene(host, guest), tmp_path, redact=plain)

    assert "channel.jsonl" in files
    assert "hypervisor log: not tried: HostUnreachable above" in notes(tmp_path)
    assert len(shell_of(host).asked) == 1
    # the guest's channel was open: it may live though the host's SSH does not
    assert "guest-events.jsonl" in files
    assert "dump_files" in channel.asked


_LATE = CommandTimedOut("host xen1: it did not end in 30 s")


@pytest.mark.parametrize(("sign", "is_asked_on"), [("", True), (_LATE, False)])
def test_a_host_that_is_late_is_asked_on_only_if_it_does_anything_at_all(
    tmp_path: Path, sign: Any, *, is_asked_on: bool
) -> None:
    host, guest = place(**{"xl qemu-monitor-command": _LATE, "true": sign})

    files = collect(Scene(host, guest), tmp_path, redact=plain)

    assert ("hypervisor.txt" in files) is is_asked_on
    assert ("hypervisor log: not tried: CommandTimedOut above" not in notes(tmp_path)) is is_asked_on


def test_a_silent_guest_is_asked_once(tmp_path: Path) -> None:
    host, guest = place()
    channel: Any = guest.channel()
    channel.answers["event_mark"] = GuestUnreachable("no WinRM")

    files = collect(Scene(host, guest), tmp_path, redact=plain)

    assert channel.asked == ["event_mark", "close"]
    assert "guest devices: not tried: GuestUnreachable above" in notes(tmp_path)
    assert {"domain-config.txt", "console.txt"} <= set(files)


@pytest.mark.parametrize(
    ("sample", "folder", "state"),
    [
        ("all-xl-list", "stand-in-4.17", ""),
        ("legacy-all-sysrq-c-xl-list", "stand-in-4.17", "crashed"),
        ("list-paused-win1", "xen-4.17", "paused"),
        ("list-after-save", "xen-4.17", "not there"),
    ],
)
def test_a_guest_that_cannot_answer_is_not_waited_for(
    tmp_path: Path, sample: str, folder: str, state: str
) -> None:
    listing = recorded(sample, folder)
    host, guest = place(**{"xl list": listing})
    name = listing[1].splitlines()[-1].split()[0]
    guest.domain = dataclasses.replace(guest.domain, name=name if state != "not there" else "win1")
    channel: Any = guest.channel()

    collect(Scene(host, guest), tmp_path, redact=plain)

    assert bool(channel.asked) == (not state)
    if state:
        assert f"guest event log: not tried: its domain is {state}" in notes(tmp_path)


def test_without_a_guest_the_host_is_still_looked_at(tmp_path: Path) -> None:
    host = make_host(_HOST)
    files = collect(Scene(host), tmp_path, redact=plain)
    assert files[0] == "domains.txt"
    of_the_host = {
        "hypervisor.txt",
        "dom0-kernel.txt",
        "state-xenstore.txt",
        "log-syslog.txt",
        *_STATE.values(),
    }
    assert set(files) == {"domains.txt", *of_the_host}


def test_a_domain_of_somebody_else_is_looked_at_from_its_host(tmp_path: Path) -> None:
    host = make_host(_HOST)
    files = collect(Scene(host, named="win1"), tmp_path, redact=plain)
    assert {"screen.png", "domain-config.txt", "xenstore.txt", "xl.txt"} <= set(files)
    assert not [name for name in files if name.startswith(("guest-devices", "channel"))]


@pytest.mark.parametrize(("command", "file"), _STATE.items())
def test_an_answer_stands_under_the_command_that_gave_it(tmp_path: Path, command: str, file: str) -> None:
    host, _ = place()
    collect(Scene(host), tmp_path, redact=plain)
    first, rest = (tmp_path / file).read_text().split("\n", 1)
    assert first.startswith(f"$ {command}")
    assert rest


def test_a_command_that_a_host_lacks_is_noted_and_one_that_fails_says_how(tmp_path: Path) -> None:
    lvs = (5, "", "  No volume groups found\n")
    host, _ = place(**{"lspci -v": (127, "", "sh: 1: lspci: not found\n"), "lvs": lvs})
    files = collect(Scene(host), tmp_path, redact=plain)
    assert "state-pci.txt" not in files
    assert "host xen1 has no lspci" in notes(tmp_path)
    assert (tmp_path / "state-volumes.txt").read_text() == "$ lvs (ended with 5)\n  No volume groups found\n"


def test_a_host_is_asked_for_several_things_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(3)

    def meet(_scene: Scene, _deadline: Deadline, put: Put) -> None:
        together.wait(30)
        put("met.txt", "x")

    host, _ = place()
    alone, *three = (Collector(name, Side.HOST, meet, of_domain=False) for name in "abcd")
    alone = dataclasses.replace(alone, gather=lambda *_: None)
    assert collect(Scene(host), tmp_path, redact=plain, collectors=(alone, *three)) == ("met.txt",)


def test_a_guest_is_asked_while_its_host_still_answers(tmp_path: Path) -> None:
    asked = threading.Event()

    def wait(_scene: Scene, _deadline: Deadline, put: Put) -> None:
        put("waited.txt", str(asked.wait(30)))

    def answer(_scene: Scene, _deadline: Deadline, _put: Put) -> None:
        asked.set()

    host, guest = place()
    first = Collector("first", Side.HOST, lambda *_: None)
    host_side, guest_side = Collector("host", Side.HOST, wait), Collector("guest", Side.GUEST, answer)
    collect(Scene(host, guest), tmp_path, redact=plain, collectors=(first, host_side, guest_side))
    assert (tmp_path / "waited.txt").read_text() == "True"


@pytest.fixture
def stuck() -> Iterator[Collector]:
    """A collector that hangs after its first find, until the test is over."""
    over = threading.Event()

    def gather(_scene: Scene, _deadline: Deadline, put: Put) -> None:
        put("first.txt", "found before")
        over.wait(60)
        put("late.txt", "too late")

    yield Collector("stuck", Side.HOST, gather, limit_s=0.0)
    over.set()


def test_a_collector_that_hangs_is_left_behind_with_what_it_had(tmp_path: Path, stuck: Collector) -> None:
    host, guest = place()
    files = collect(Scene(host, guest), tmp_path, redact=plain, collectors=(stuck, *COLLECTORS))
    assert "first.txt" in files
    assert "late.txt" not in files
    assert "xenstore.txt" in files
    assert "stuck: TimeoutError: did not end in 0 s" in notes(tmp_path)


@pytest.mark.parametrize(
    "name", ["../out.txt", "a/b", "/etc/x", "", ".hidden", "a\\b", "C:x", "A.txt", "a\n.txt"]
)
def test_no_name_can_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    def gather(_scene: Scene, _deadline: Deadline, put: Put) -> None:
        put(name, "x")

    host, _ = place()
    wicked = Collector("wicked", Side.HERE, gather, of_domain=False)
    files = collect(Scene(host), tmp_path / "in", redact=plain, collectors=[wicked])
    assert files == ("notes.txt",)
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "notes.txt"]


def test_a_long_text_is_cut_in_the_middle_and_says_so(tmp_path: Path) -> None:
    lines = "".join(f"line {number}\n" for number in range(200_000))
    host, guest = place(**{"xl dmesg": lines})
    collect(Scene(host, guest), tmp_path, redact=plain)
    text = (tmp_path / "hypervisor.txt").read_text()
    assert len(text) <= TEXT_LIMIT + 100
    assert text.startswith("line 0\n")
    assert text.endswith("\nline 199999\n")
    assert "characters are left out here]\n" in text
    assert "hypervisor.txt" in notes(tmp_path)


def test_a_secret_at_the_cut_leaves_no_half(tmp_path: Path) -> None:
    redactor = Redactor()
    redactor.add(Secret("geheimnis"))
    text = "x\n" + "geheimnis" * (TEXT_LIMIT // 4) + "\n"
    host, guest = place(**{"xl dmesg": text})
    collect(Scene(host, guest), tmp_path, redact=redactor.clean)
    assert "eheim" not in (tmp_path / "hypervisor.txt").read_text()


def test_the_end_of_a_long_log_begins_with_a_whole_line(tmp_path: Path) -> None:
    def tail(argv: Sequence[str]) -> tuple[int, str, str]:
        return 0, "half of geh\n" + "y" * TAIL, ""

    host, guest = place(**{f"tail -c {TAIL} /var/log/xen/xl-win1.log": tail})
    collect(Scene(host, guest), tmp_path, redact=plain)
    text = (tmp_path / "xl.txt").read_text()
    assert text.startswith("[pvhck: the end of a longer file]\nyyy")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_end_of_a_long_setup_log_is_read_in_either_encoding(tmp_path: Path, encoding: str) -> None:
    data = ("".join(f">>> [Device Install {number}]\r\n" for number in range(20_000))).encode(encoding)

    def read_file(path: str, offset: int, length: int) -> dict[str, Any]:
        content = base64.b64encode(data[offset : offset + length]).decode()
        return {"path": path, "size": len(data), "content": content}

    host, guest = place()
    channel: Any = guest.channel()
    channel.answers["read_file"] = read_file
    collect(Scene(host, guest), tmp_path, redact=plain)
    text = (tmp_path / "setupapi.txt").read_text()
    first, *lines = text.splitlines()
    assert first.startswith("[pvhck:")
    assert lines[-1] == ">>> [Device Install 19999]"
    assert lines[0].startswith(">>> [Device Install ")
    assert len(lines) > 3000


def test_a_stand_in_has_no_setup_log(tmp_path: Path) -> None:
    host = make_host(_HOST)
    guest = make_guest(host, _GUEST, guest=GuestKind.STAND_IN)
    channel: Any = guest.channel()
    assert "setupapi.txt" not in collect(Scene(host, guest), tmp_path, redact=plain)
    assert "read_file" not in channel.asked
    assert isinstance(channel, FakeChannel)


def test_a_folder_that_cannot_be_written_does_not_end_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    host, guest = place()
    assert collect(Scene(host, guest), tmp_path / "file", redact=plain) == ()


def test_back_ends_are_found_in_the_recorded_subtree() -> None:
    assert backends(recorded("xenstore-ls-f-guest")[1]) == (
        "/local/domain/0/backend/console/2/0",
        "/local/domain/0/backend/qdisk/2/51712",
        "/local/domain/0/backend/vif/2/0",
        "/local/domain/0/backend/vkbd/2/0",
    )


def test_what_libvirt_told_of_a_guest_is_kept_in_words(tmp_path: Path) -> None:
    host, guest = place()
    told = (("win1", 2, 0, 1_700_000_000), ("other", 5, 1, 0), ("win1", 99, 1, 0))
    port: Any = SimpleNamespace(events=lambda: tuple(PortEvent(*one) for one in told), domains=tuple)
    shell: Any = host.shell
    libvirt = LibvirtToolstack(shell, XenVersion(4, 17), connect=lambda: port, programs=HostPrograms)
    host._chosen = replace(host.chosen, toolstack=libvirt)
    collect(Scene(host, guest), tmp_path, redact=plain)
    assert (tmp_path / "libvirt-events.txt").read_text() == (
        "2023-11-14T22:13:20Z started, detail 0\n1970-01-01T00:00:00Z 99, detail 1\n"
    )
