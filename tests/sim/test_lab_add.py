"""``pvhck lab add``: a host is asked for, trusted, looked at and written, or nothing is written at all."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from cli_lab import KeptLab, Said, kept_lab, pvhck

import harness
from harness.deadline import Deadline, Done, NotYet, wait_until
from harness.lab import load_lab

OLD = (
    "# our lab: do not touch\n[template win]\r\nimage = w.img\r\nos = W\narch = x64\nsecret = env:W\n"
    "; the end"
)
_END_S = 60
_ROOT = Path(harness.__file__).parents[1]
_COMMAND = "import sys; from harness.cli.main import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptLab]:
    with kept_lab(tmp_path_factory.mktemp("kept")) as kept:
        yield kept


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    file = tmp_path / "hosts.ini"
    file.write_bytes(OLD.encode())
    return file


def how_to_reach(lab: KeptLab) -> list[str]:
    spec = lab.spec
    return ["--address", spec.address, "--port", str(spec.port), "--key", str(spec.key_file)]


def add(folder: Path, hosts: Path, *words: str) -> Said:
    return pvhck(folder, "lab", "add", "xen-b", "--hosts", hosts, *words)


def test_with_options_alone_the_host_is_found_out_and_written(
    tmp_path: Path, lab: KeptLab, hosts: Path
) -> None:
    said = add(tmp_path, hosts, *how_to_reach(lab), "--yes", "--max-guests", "3", "--memory", "1g")
    said.demand(0, "SHA256:", "Xen 4.17", "bridges: xenbr0", "written; next: pvhck doctor xen-b")
    assert hosts.read_bytes().startswith(OLD.encode())
    spec = load_lab(hosts).hosts["xen-b"]
    assert (spec.address, spec.port, spec.key_file) == (lab.spec.address, lab.spec.port, lab.spec.key_file)
    assert (str(spec.xen), spec.memory_mib, spec.max_guests, spec.bridge) == ("4.17", 1024, 3, "xenbr0")
    known = (tmp_path / ".config" / "pvhck" / "known_hosts").read_text()
    assert f"[{lab.spec.address}]:{lab.spec.port}" in known
    # and it is usable at once
    pvhck(tmp_path, "lab", "status", "xen-b", "--hosts", hosts, env={"W": "x"}).demand(0, "xen-b")


def test_a_file_that_is_not_there_is_begun(tmp_path: Path, lab: KeptLab) -> None:
    add(tmp_path, tmp_path / "new.ini", *how_to_reach(lab), "--yes").demand(0, "written")
    assert list(load_lab(tmp_path / "new.ini").hosts) == ["xen-b"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--yes",), ("nobody is there to be asked for the address", "--address A")),
        (("--address", "a b", "--yes"), ("address", "a host name or an IP address")),
        (
            ("--address", "192.0.2.1", "--password", "geheim!", "--yes"),
            ("password", "never the secret itself"),
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_reached(
    tmp_path: Path, hosts: Path, words: tuple[str, ...], told: tuple[str, ...]
) -> None:
    said = add(tmp_path, hosts, *words)
    said.demand(2, *told)
    assert "geheim" not in said.all
    assert hosts.read_bytes() == OLD.encode()


def test_a_name_that_is_taken_is_refused(tmp_path: Path, lab: KeptLab) -> None:
    file = lab.hosts_ini()
    before = file.read_bytes()
    said = pvhck(tmp_path, "lab", "add", "far", "--hosts", file, *how_to_reach(lab), "--yes")
    said.demand(2, "has a host 'far' already")
    assert file.read_bytes() == before


def test_without_a_terminal_no_key_is_recorded_unasked(tmp_path: Path, lab: KeptLab, hosts: Path) -> None:
    add(tmp_path, hosts, *how_to_reach(lab)).demand(2, "nobody is there to be asked", "--yes")
    assert not (tmp_path / ".config").exists()
    assert hosts.read_bytes() == OLD.encode()


def test_a_host_that_is_not_ready_is_not_written(tmp_path: Path, lab: KeptLab, hosts: Path) -> None:
    said = add(tmp_path, hosts, *how_to_reach(lab), "--yes", "--bridge", "nosuch")
    said.demand(2, "there is no nosuch", "host xen-b is not ready: nothing is written")
    assert hosts.read_bytes() == OLD.encode()


# -- at a terminal


class Terminal:
    """A command at a terminal of its own; its questions are waited for, then answered."""

    def __init__(self, folder: Path, *words: str | Path) -> None:
        self._master, slave = pty.openpty()
        self.said = ""
        self._process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND, *map(str, words)],
            cwd=folder, stdin=slave, stdout=slave, stderr=slave,
            env=os.environ | {"HOME": str(folder), "TERM": "dumb", "PYTHONPATH": str(_ROOT)},
        )  # fmt: skip
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def answer(self, question: str, line: str) -> None:
        """Wait until it asks, then say that."""
        at = len(self.said)

        def probe() -> Done[None] | NotYet:
            self._read()
            if question in self.said[at:]:
                return Done(None)
            assert self._process.poll() is None, f"it ended without asking {question!r}: {self.said}"
            return NotYet(self.said[-300:])

        wait_until(probe, subject=question, deadline=Deadline.after(_END_S), interval_s=0.01)
        os.write(self._master, line.encode() + b"\n")

    def end(self) -> int:
        """Wait for its end; gives the exit code."""

        def probe() -> Done[int] | NotYet:
            self._read()
            code = self._process.poll()
            return NotYet(self.said[-300:]) if code is None else Done(code)

        code = wait_until(probe, subject="its end", deadline=Deadline.after(_END_S), interval_s=0.01)
        self._read()
        return code

    def _read(self) -> None:
        while select.select([self._master], [], [], 0)[0]:
            try:
                data = os.read(self._master, 4096)
            except OSError:  # it has ended, and nobody has the other end
                return
            if not data:
                return
            self.said += data.decode(errors="replace")


def test_at_a_terminal_everything_is_asked_and_what_is_wrong_is_asked_again(
    tmp_path: Path, lab: KeptLab, hosts: Path
) -> None:
    spec = lab.spec
    with Terminal(tmp_path, "lab", "add", "xen-b", "--hosts", hosts) as terminal:
        terminal.answer("address [none]: ", "not an address")
        terminal.answer("That cannot be: a host name", spec.address)
        terminal.answer("port [22]: ", str(spec.port))
        terminal.answer("user [root]: ", "")
        terminal.answer("key [none]: ", str(spec.key_file))
        terminal.answer("Record it? [y/N]", "y")
        terminal.answer("storage [/var/lib/pvhck]: ", "")
        terminal.answer("xen [4.17]: ", "")
        terminal.answer("bridge [xenbr0]: ", "")
        terminal.answer("memory [", "2g")
        terminal.answer("vcpus [", "2")
        terminal.answer("Write it into", "y")
        assert terminal.end() == 0
    added = hosts.read_bytes().decode().removeprefix(OLD)
    assert added == (
        f"\r\n\r\n[host xen-b]\r\naddress = {spec.address}\r\nport = {spec.port}\r\nkey = {spec.key_file}\r\n"
        "bridge = xenbr0\r\nmemory = 2g\r\nvcpus = 2\r\nxen = 4.17\r\n"
    )


@pytest.mark.parametrize("declined", ["Record it?", "Write it into"])
def test_who_says_no_has_an_unchanged_file(tmp_path: Path, lab: KeptLab, hosts: Path, declined: str) -> None:
    words = (*how_to_reach(lab), "--user", "root", "--storage", "/var/lib/pvhck", "--xen", "4.17")
    rest = ("--bridge", "xenbr0", "--memory", "2g", "--vcpus", "2")
    with Terminal(tmp_path, "lab", "add", "xen-b", "--hosts", hosts, *words, *rest) as terminal:
        if declined == "Write it into":
            terminal.answer("Record it?", "yes")
        terminal.answer(declined, "")
        assert terminal.end() == 1
    assert hosts.read_bytes() == OLD.encode()
    assert (tmp_path / ".config").exists() is (declined == "Write it into")
