"""Whatever a host prints is read or refused with its text; what we write is read back the same."""

from __future__ import annotations

import dataclasses
import json
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_texts import any_text, damaged, json_values, one_line, recorded, torn_text
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.errors import ConfigurationError, HarnessError, OutputNotUnderstood
from harness.host import health, layers, lease
from harness.host.address import parse_console, parse_leases, parse_neighbours
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.logscan import HostLogs, new_lines, scan
from harness.host.numbers import whole_number
from harness.host.space import parse_space
from harness.host.ssh import _STREAM_SCRIPT
from harness.host.state import state_path
from harness.host.status import HostStatus, status_lines
from harness.host.toolstack import libvirt_xml, xl_config, xm_config
from harness.host.toolstack.pvsigns import shows_pv
from harness.host.toolstack.quirks import exit_code_lies
from harness.host.toolstack.sxp import children, parse_sxp, value
from harness.host.toolstack.tables import (
    parse_block_list,
    parse_info,
    parse_json_description,
    parse_list,
    parse_network_list,
    parse_sxp_description,
    parse_uptime,
    parse_vcpu_list,
)
from harness.host.xenstore import parse_tree, unescape
from harness.lab import HostKind, HostSpec
from harness.model import XenVersion
from harness.simlab.libvirt.xml import parse_device, parse_domain
from harness.simlab.xl.config import parse_cfg
from harness.simlab.xm.config import parse_xm_config

MAC = "00:16:3e:00:00:77"
V417, V41, V40 = XenVersion(4, 17), XenVersion(4, 1), XenVersion(4, 0)
SPEC = HostSpec("xen1", HostKind.SSH, "192.0.2.1")

Parser = Callable[[str], object]

TABLES: dict[str, tuple[Parser, str]] = {
    "list": (parse_list, "xl-list"),
    "block-list": (parse_block_list, "xl-block-list"),
    "network-list": (parse_network_list, "xl-network-list"),
    "vcpu-list": (parse_vcpu_list, "xl-vcpu-list"),
    "uptime": (lambda text: parse_uptime(text, "win1"), "xl-uptime"),
    "info": (parse_info, "xl-info"),
    "list -l": (lambda text: parse_json_description(text, "win1"), "xl-list-l-win1"),
    "xenstore": (parse_tree, "xenstore-ls-f-guest"),
}
SXP = (
    "(domain (domid 3) (name win1) (vcpus 2) (maxmem 512)\n"
    " (device (vbd (dev hda:disk) (uname 'file:/a b'))))"
)
XML = libvirt_xml.domain_xml(
    DomainSpec("win1", 512, 2, (DiskSpec("/a", "hda"),), (NicSpec(MAC, "xenbr0"),)),
    libvirt_xml.HostPrograms(),
)
DESCRIBED: dict[str, tuple[Parser, str]] = {
    "xend": (lambda text: parse_sxp_description(text, "win1"), SXP),
    "libvirt": (lambda text: libvirt_xml.parse_xml_description(text, "win1"), XML),
    "its disk": (lambda text: libvirt_xml.disk_of(text, "hda"), XML),
    "its interface": (lambda text: libvirt_xml.nic_of(text, MAC), XML),
    "df": (
        parse_space,
        "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 90 40 50 45% /srv/a b\n",
    ),
}
ALL = {name: (parse, recorded(sample)) for name, (parse, sample) in TABLES.items()} | DESCRIBED


def read_or_refused(parse: Parser, text: str) -> None:
    refusal = None
    try:
        parse(text)
    except OutputNotUnderstood as error:
        refusal = error
    if refusal is not None:
        assert all(line in text for line in refusal.text.splitlines()), "it shows what could not be read"


# -- what a host prints


@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_a_damaged_output_is_read_or_refused_with_its_text(name: str, data: st.DataObject) -> None:
    parse, text = ALL[name]
    read_or_refused(parse, data.draw(damaged(text)))


@pytest.mark.parametrize("name", ALL)
@given(text=any_text)
def test_any_output_is_read_or_refused_with_its_text(name: str, text: str) -> None:
    parse, sample = ALL[name]
    read_or_refused(parse, text)
    read_or_refused(parse, f"{sample.splitlines()[0]}\n{text}\n")


@given(
    json_values, st.sampled_from(["config", "c_info", "b_info", "disks", "max_memkb", "vdev"]), json_values
)
def test_any_json_is_a_description_or_refused(whole: Any, key: str, odd: Any) -> None:
    entry = json.loads(recorded("xl-list-l-win1"))[0]
    places = {"config": entry, "max_memkb": entry["config"]["b_info"], "vdev": entry["config"]["disks"][0]}
    places.get(key, entry["config"])[key] = odd
    for found in (whole, [entry], entry):
        read_or_refused(lambda text: parse_json_description(text, "win1"), json.dumps(found))


@pytest.mark.parametrize("piece", ["[", '{"a":', "(", "<a>"])
@pytest.mark.parametrize("name", ALL)
def test_a_deep_nest_is_no_end_of_the_run(piece: str, name: str) -> None:
    read_or_refused(ALL[name][0], piece * 50_000)


# Three times as long as the slowest needs on a busy machine: what is cubic, or worse, takes minutes here.
@settings(deadline=10_000, max_examples=15)
@given(
    st.sampled_from(sorted(ALL)),
    st.sampled_from([" ", "1", "1 ", "a 1 ", "(", "'", '"', "\\", "lease x {\n", "<", "- ", ":", "\t1"]),
)
def test_a_long_line_of_the_same_sign_takes_no_long_time(name: str, piece: str) -> None:
    parse, sample = ALL[name]
    read_or_refused(parse, f"{sample.splitlines()[0]}\n{piece * (4000 // len(piece))}!\n")


NAMES = one_line.map(str.strip).filter(lambda name: name and "\ufeff" not in name)


@given(NAMES, st.integers(0, 65535), st.integers(0, 1 << 24), st.integers(1, 128), st.integers(0, 10**7))
def test_a_domain_of_any_name_is_found_in_the_list(
    name: str, domid: int, mib: int, vcpus: int, cpu: int
) -> None:
    header = recorded("xl-list").splitlines()[0]
    line = f"{name:<40} {domid:5} {mib:5} {vcpus:5}     -b---- {cpu:6}.5"
    (found,) = parse_list(f"{header}\n{line}\n")
    assert (found.name, found.domid, found.memory_mib, found.vcpus) == (name, domid, mib, vcpus)


@given(NAMES, st.integers(0, 65535), st.integers(0, 127))
def test_the_processors_and_age_of_a_domain_of_any_name_are_read(name: str, domid: int, cpu: int) -> None:
    header = recorded("xl-vcpu-list").splitlines()[0]
    (found,) = parse_vcpu_list(f"{header}\n{name:<32} {domid:5} {0:5} {cpu:4}   -b-  {3.5:9.1f}  all / all\n")
    assert (found.domain, found.cpu) == (name, cpu)
    header = recorded("xl-uptime").splitlines()[0]
    assert parse_uptime(f"{header}\n{name:<33} {domid:4} 2 days,  1:02:03\n", name) == 2 * 86400 + 3723


@given(st.lists(st.tuples(any_text, any_text), max_size=3), any_text)
def test_what_is_within_an_s_expression_is_found_or_not_there(
    pairs: list[tuple[str, str]], name: str
) -> None:
    form = ["domain", *([key, text] for key, text in pairs)]
    assert value(form, name) in {"", *(text for _, text in pairs)}  # type: ignore[arg-type]
    assert all(child[0] == name for child in children(form, name))  # type: ignore[arg-type]
    assert children("word", name) == ()
    assert parse_sxp("") == ()


# -- xenstore


@given(any_text)
@example("\\777")
@example("\\x")
def test_any_shown_value_has_a_meaning(text: str) -> None:
    assert isinstance(unescape(text), str)


@given(st.data())
def test_of_a_cut_tree_no_value_is_another_one(data: st.DataObject) -> None:
    text = recorded("xenstore-ls-f-guest")
    whole = parse_tree(text)
    cut = text[: data.draw(st.integers(0, len(text)))]
    try:
        found = parse_tree(cut)
    except OutputNotUnderstood:
        return
    assert found.items() <= whole.items()


@given(st.dictionaries(st.from_regex(r"(/[a-z0-9_@-]{1,6}){1,4}", fullmatch=True), any_text, max_size=4))
def test_pv_drivers_are_seen_in_their_nodes_only(nodes: dict[str, str]) -> None:
    class Store:
        def tree(self, path: str) -> dict[str, str]:
            return nodes

    store: Any = Store()
    assert shows_pv(store, 1) <= any(
        path.endswith(("/state", "/feature-suspend")) and text in {"1", "4"} for path, text in nodes.items()
    )


# -- where a guest is


LEASES = """1700000000 00:16:3e:00:00:77 192.0.2.9 win1 *
lease 192.0.2.10 {
  hardware ethernet 00:16:3e:00:00:77;
}
[ { "ip-address": "192.0.2.11", "mac-address": "00:16:3e:00:00:77", "expiry-time": 1 } ]
"""
NEIGHBOURS = (
    "192.0.2.9 dev xenbr0 lladdr 00:16:3e:00:00:77 REACHABLE\nfe80::1 dev xenbr0 lladdr 00:16:3e:00:00:77\n"
)


@given(st.data())
@example(None)
def test_an_address_is_one_whatever_became_of_the_text(data: st.DataObject | None) -> None:
    six = '[{ "ip-address": "fe80::216", "mac-address": "00:16:3e:00:00:77" }]'
    leases = data.draw(damaged(LEASES)) if data else six
    neighbours = data.draw(damaged(NEIGHBOURS)) if data else NEIGHBOURS
    console = data.draw(damaged("pvhck address 192.0.2.9\npvhck address x\n")) if data else ""
    for found in (parse_leases(leases, MAC), parse_neighbours(neighbours, MAC), parse_console(console)):
        assert found is None or found.count(".") == 3, found


@given(any_text | st.integers().map(str))
def test_a_number_is_one_or_refused(text: str) -> None:
    read_or_refused(lambda shown: whole_number(shown, "a size"), text)


# -- logs


@given(st.data(), st.booleans())
def test_any_log_is_scanned(data: st.DataObject, nested: bool) -> None:  # noqa: FBT001  # drawn
    text = recorded("xl-dmesg-head")
    old, new = data.draw(damaged(text)), data.draw(damaged(f"{text}\nBUG: x\n"))
    found = scan(HostLogs(old, old), HostLogs(new, new), nested=nested)
    assert len(found) <= 20
    assert all(one.line.strip() == one.line for one in found)
    assert set(new_lines(old, new)) <= set(new.splitlines())


# -- notes in JSON, of another version of ours or of a hand that slipped


FULL = {
    "health": {"health": "good", "since": 1.0, "reason": ""},
    "lease": {"owner": "a", "run": "", "since": 1.0, "until": 2.0, "reason": ""},
    "layer": {
        "name": "a",
        "image": "/a",
        "template": "t",
        "made_by": "r",
        "made": 1.0,
        "expires": 2.0,
        "size_mib": 1,
    },
}
notes = st.dictionaries(
    st.sampled_from([field for fields in FULL.values() for field in fields]),
    json_values | st.sampled_from(["good", 1.0, 1e300, float("inf"), float("nan"), 10**400, "1", "-5"]),
)


def health_noted(text: str) -> health.HealthNote:
    with tempfile.TemporaryDirectory() as folder:
        state_path(SPEC, "health.json", Path(folder)).write_text(
            text, encoding="utf-8", errors="surrogateescape"
        )
        return health.health_of(SPEC, Path(folder))


@given(st.sampled_from(sorted(FULL)), notes, any_text)
def test_any_note_is_read_or_passed_over_and_can_be_shown(kind: str, odd: dict[str, Any], text: str) -> None:
    for note in (json.dumps(FULL[kind] | odd), json.dumps(odd), text):
        holder = lease._holder(note)
        layer = layers._parse(note)
        found = health_noted(note)
        status = HostStatus(
            "xen1", "a", reserved=holder, holder=holder, health=found, layers=(layer,) if layer else ()
        )
        assert [line for line in status_lines(status) if line]


@pytest.mark.parametrize("piece", ["[", '{"since":'])
def test_a_note_of_endless_brackets_is_passed_over(piece: str) -> None:
    note = piece * 100_000
    assert (lease._holder(note), layers._parse(note)) == (None, None)
    assert health_noted(note) == health.HealthNote()


@given(json_values.map(str), st.floats(0, 4e9), st.floats(0, 4e9))
def test_a_holder_s_note_says_who_it_is(reason: str, since: float, until: float) -> None:
    holder = lease.Holder("me@here", "run-1", since, until, reason)
    assert lease._holder(lease._plain(holder)) == holder
    layer = layers.Layer(reason, reason, reason, reason, since, until, 7)
    assert layers._parse(json.dumps(dataclasses.asdict(layer))) == layer


@given(one_line, st.integers(1, 65535))
def test_what_is_kept_of_a_host_lies_in_the_folder_for_it(address: str, port: int) -> None:
    spec = HostSpec("xen1", HostKind.SSH, address, port)
    path = state_path(spec, "json", Path("/state"))
    assert path.parent == Path("/state")
    assert path.resolve() == path


# -- what a shell on the host makes of our words


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(one_line | any_text, max_size=4), min_size=20, max_size=20))
def test_a_real_shell_reads_each_argument_as_it_was_meant(lines: list[list[str]]) -> None:
    """Twenty lines in one shell; what sshd gives to the login shell is the joined line."""
    words = [[word.replace("\0", "") for word in line] for line in lines]
    script = "".join(shlex.join(("printf", "%s\\0", *line, "end")) + "\n" for line in words)
    told = subprocess.run(["/bin/sh"], input=script.encode(), capture_output=True, check=True)
    assert told.stdout.decode().split("\0")[:-1] == [word for line in words for word in (*line, "end")]


@settings(max_examples=20, deadline=None)
@given(st.lists(one_line, min_size=1, max_size=4))
def test_what_is_watched_gets_its_arguments_through_the_script_around_it(words: list[str]) -> None:
    line = shlex.join(("sh", "-c", _STREAM_SCRIPT, "sh", "printf", "%s\\0", *words))
    told = subprocess.run(["/bin/sh", "-c", f"(sleep 0.1) | {line}"], capture_output=True, check=False)
    assert told.stdout.decode().split("\0")[:-1] == words


# -- domains as each toolstack reads them


def spec_of(name: str, path: str, bridge: str) -> DomainSpec:
    return DomainSpec(
        name=name,
        memory_mib=512,
        vcpus=2,
        disks=(DiskSpec(path, "hda", "qcow2"), DiskSpec("", "hdc", cdrom=True)),
        nics=(NicSpec(MAC, bridge), NicSpec(MAC, bridge, None)),
        console_log=path,
    )


SYNTAXES: dict[str, Callable[[DomainSpec], Any]] = {
    "xl 4.17": lambda spec: parse_cfg(xl_config.render(spec, V417), "a.cfg", bytes(19), V417),
    "xl 4.1": lambda spec: parse_cfg(xl_config.render(spec, V41), "a.cfg", bytes(19), V41),
    "xm 4.0": lambda spec: parse_xm_config(xm_config.render(spec, V40), bytes(19)),
    "libvirt": lambda spec: parse_domain(libvirt_xml.domain_xml(spec, libvirt_xml.HostPrograms()), bytes(16)),
}


@pytest.mark.parametrize("syntax", SYNTAXES)
@given(name=one_line | torn_text, path=one_line | torn_text, bridge=one_line | torn_text)
def test_a_domain_is_read_as_it_was_meant_or_refused_before_anything_is_sent(
    syntax: str, name: str, path: str, bridge: str
) -> None:
    spec = spec_of(name or "a", f"/srv/{path}", bridge or "b")
    try:
        read = SYNTAXES[syntax](spec)
    except ConfigurationError:
        return
    assert read.name == spec.name
    assert read.serial_file == spec.console_log
    assert [disk.path for disk in read.disks] == [spec.disks[0].path, ""]
    assert [nic.bridge for nic in read.nics] == [nic.bridge for nic in spec.nics]
    assert [nic.mac for nic in read.nics] == [MAC, MAC]


@given(one_line | torn_text, one_line | torn_text)
def test_a_device_is_read_as_it_was_meant_or_refused(path: str, bridge: str) -> None:
    disk, nic = DiskSpec(f"/srv/{path}", "xvdg"), NicSpec(MAC, bridge or "b")
    try:
        assert parse_device(libvirt_xml.disk_xml(disk)).path == disk.path  # type: ignore[union-attr]
        assert parse_device(libvirt_xml.nic_xml(nic)).bridge == nic.bridge  # type: ignore[union-attr]
    except ConfigurationError:
        return


@given(one_line, st.integers(0, 99), st.integers(0, 99))
def test_of_a_command_nobody_knows_the_exit_code_is_believed(command: str, major: int, minor: int) -> None:
    assert exit_code_lies(command, XenVersion(major, minor)) <= command.replace("-", "").isalpha()


def test_errors_of_parsers_are_of_our_tree() -> None:
    assert issubclass(OutputNotUnderstood, HarnessError)
