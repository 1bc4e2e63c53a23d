"""The nested lab and the stand-in guest read what other programs wrote: any text is read or refused."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from hostile_texts import any_text, damaged, one_line, torn_text
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import OutputNotUnderstood
from harness.lab import LabFileError
from harness.lab.load import parse_lab
from harness.model import DriverName
from harness.xenlab.debian import parse_repositories, parse_versions
from harness.xenlab.guesttree import parse_modules_dep, with_dependencies
from harness.xenlab.hostsini import HOST, HostFacts, hosts_ini_text
from harness.xenlab.pvstate import front_ends, installed_text, parse_installed, pv_cmdline
from harness.xenlab.standin.eventlog import EventLog
from harness.xenlab.standin.inf import parse_package
from harness.xenlab.standin.network import feature_of, wanted_state

APT = "http://a/debian|bookworm|main|Debian\nhttp://b|x|main|Ubuntu\n"
POLICY = "bash:\n  Installed: 5.2\n  Candidate: 5.2.15-2\nzsh:\n  Candidate: 5.9\n"
MODULES = "kernel/a-b.ko.xz: kernel/c.ko.xz kernel/d.ko.xz\nkernel/c.ko.xz:\nkernel/d.ko.xz:\n"
INF = "[Version]\nDriverVer=01/02/2026,9.1.0.1\n[Manufacturer]\na=M,NTamd64\n[M.NTamd64]\nb=I,PCI\\X\n"


@given(st.data())
def test_what_apt_and_the_kernel_wrote_is_read_or_refused(data: st.DataObject) -> None:
    with contextlib.suppress(OutputNotUnderstood):
        assert len(parse_repositories(data.draw(damaged(APT)))) <= 4
    assert len(parse_versions(data.draw(damaged(POLICY)))) <= 4
    dependencies = parse_modules_dep(data.draw(damaged(MODULES)))
    assert with_dependencies(dependencies, ["a_b", "none"]) <= {
        *dependencies,
        *(path for needed in dependencies.values() for path in needed),
    }


@given(st.sets(st.sampled_from(list(DriverName))))
def test_what_is_installed_is_read_back(installed: set[DriverName]) -> None:
    assert parse_installed(installed_text(installed)) == installed
    assert set(front_ends(pv_cmdline(installed))) <= {"xen-netfront", "xen-blkfront"}


@given(any_text)
def test_any_text_means_something_or_nothing_to_the_stand_in(text: str) -> None:
    assert isinstance(front_ends(text), tuple)
    with contextlib.suppress(ValueError):
        assert parse_package(text, original="x.inf").models
    assert wanted_state("*Jumbo", "1") is True
    assert feature_of(text, frozenset({"rx"})) in {None, "rx"}


@given(st.data())
def test_a_damaged_package_is_read_or_refused(data: st.DataObject) -> None:
    with contextlib.suppress(ValueError):
        assert parse_package(data.draw(damaged(INF)), original="x.inf").rank


PATHS = one_line.map(lambda text: Path("/lab", text.replace("/", "_").strip()))


@given(PATHS, PATHS, st.integers(1, 65535))
def test_the_lab_s_own_hosts_ini_says_what_was_meant_or_is_refused(key: Path, known: Path, port: int) -> None:
    text = hosts_ini_text(HostFacts("4.17", port, key, known, Path("/lab/secret"), "ab" * 32))
    with contextlib.suppress(LabFileError):
        host = parse_lab(text, Path("/lab/hosts.ini")).hosts[HOST]
        assert (host.key_file, host.known_hosts, host.port) == (key, known, port)


@settings(deadline=None, max_examples=40)
@given(
    st.binary(max_size=60) | torn_text.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.integers(0, 300),
)
def test_an_event_log_cut_by_a_power_loss_goes_on(odd: bytes, cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "events.jsonl")
        log = EventLog(path)
        log.note_start("one")
        whole = path.read_bytes()
        path.write_bytes(whole[:cut] + odd)
        again = EventLog(path)
        before = again.last_record
        again.note_start("two")
        assert again.last_record > before
        assert EventLog(path).last_record == again.last_record
