"""What is on a host now: runs, their guests and locks, and what is left over."""

from __future__ import annotations

from typing import Any

from fake_host import make_host, recorded, shell_of

from harness.errors import HostUnreachable
from harness.host.area import Leftover, RunState
from harness.host.status import host_status, status_lines

_LIST = (
    "Name                                        ID   Mem VCPUs\tState\tTime(s)\n"
    "Domain-0                                     0  2048     2     r-----     12.0\n"
    "pvhck-alive1-1                               3   512     1     -b----      1.0\n"
    "pvhck-dead1-1                                4   256     2     ---sc-      1.0\n"
    "pvhck-someones-own                           5   256     1     --p---      1.0\n"
    "web                                          6   256     1     -b----      1.0\n"
)
_RUNS = "/srv/pvhck/runs"
_ANSWERS: dict[str, Any] = {
    "ps -e -o pid= -o args=": "      1 /sbin/init\n",
    "xl info": recorded("xl-info"),
    "xl list": _LIST,
    f"ls -1 {_RUNS}": "alive1\ndead1\nkept1\n",
    "cat": (1, "", "no such file"),
    f"cat {_RUNS}/kept1/kept-until": "9999999999\n",
    "date +%s": "1700000000\n",
    f"flock -n {_RUNS}/alive1/alive true": (1, "", ""),
    f"flock -n {_RUNS}/dead1/alive true": "",
    "find": "",
    f"find {_RUNS}/dead1 -type f": f"{_RUNS}/dead1/alive\n{_RUNS}/dead1/pvhck-dead1-1.img\n",
    "losetup -a": f"/dev/loop3: [0801]:12 ({_RUNS}/dead1/pvhck-dead1-1.img)\n",
}


def test_runs_are_told_apart_by_their_locks_and_other_people_s_domains_are_only_counted() -> None:
    status = host_status(make_host(_ANSWERS))
    assert status.reachable
    assert (status.total_mib, status.free_mib) == (6143, 4285)
    assert [(run.run_id, run.state, run.locked) for run in status.runs] == [
        ("alive1", RunState.ALIVE, True),
        ("dead1", RunState.DEAD, False),
        ("kept1", RunState.KEPT, False),
    ]
    assert status.other_domains == 2
    (guest,) = status.runs[1].guests
    assert (guest.name, guest.state, guest.memory_mib) == ("pvhck-dead1-1", "crashed", 256)
    assert status.leftovers == (
        Leftover("domain", "pvhck-dead1-1"),
        Leftover("file", f"{_RUNS}/dead1/pvhck-dead1-1.img"),
        Leftover("loop device", "/dev/loop3"),
    )


def test_looking_takes_nothing_away() -> None:
    host = make_host(_ANSWERS)
    host_status(host)
    assert not [line for line in shell_of(host).asked if line.startswith(("rm", "xl destroy", "losetup -d"))]


def test_lines_for_people_name_what_to_do_about_leftovers() -> None:
    lines = list(status_lines(host_status(make_host(_ANSWERS))))
    assert lines[0].startswith("xen1 (192.0.2.1): Xen 4.17")
    assert lines[0].endswith("2 domains of others, free")
    assert "    pvhck-alive1-1: running, 512 MiB, 1 vCPU" in lines
    assert f"    file {_RUNS}/dead1/pvhck-dead1-1.img" in lines
    assert lines[-1] == "  -> pvhck lab sweep xen1"


def test_a_clean_host_has_one_line() -> None:
    quiet = _ANSWERS | {"xl list": recorded("xl-list"), f"ls -1 {_RUNS}": (2, "", "no such file")}
    lines = list(status_lines(host_status(make_host(quiet))))
    assert len(lines) == 1
    assert lines[0].endswith("1 domain of others, free")


def test_an_unreachable_host_says_why_and_what_to_do() -> None:
    gone = HostUnreachable("host xen1: no SSH connection to 192.0.2.1:22", mend="is it up?")
    status = host_status(make_host({"xl info": gone}))
    assert not status.reachable
    assert list(status_lines(status)) == [
        "xen1 (192.0.2.1): no SSH connection to 192.0.2.1:22",
        "  -> is it up?",
    ]
