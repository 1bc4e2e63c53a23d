"""hosts.ini: what it means, and that every mistake is said, with its place, without secrets."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.lab import (
    AddressSource,
    CertificatePolicy,
    CloneMethod,
    Finding,
    Firmware,
    GuestTemplate,
    HostKind,
    HostSpec,
    Lab,
    LabFileError,
    NicModel,
    SecretRef,
    Tool,
    ToolName,
    WinRmTransport,
    lab_warnings,
    load_lab,
)
from harness.lab.keys import HOST_KEYS, TEMPLATE_KEYS
from harness.lab.load import parse_lab
from harness.lab.reference import renew
from harness.model import Arch, GuestKind, ToolstackName, XenVersion

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path("/labs/hosts.ini")
HEX = "0123456789abcdef" * 4

HOST = "[host a]\naddress = a.example\n"
SIMULATED = "[host s]\nkind = simulated\n"
TEMPLATE = "[template t]\nimage = t.qcow2\nos = Windows 10\narch = x64\nsecret = env:PW\n"


def mistakes(text: str) -> LabFileError:
    with pytest.raises(LabFileError) as caught:
        parse_lab(text, SOURCE)
    return caught.value


def attempt(text: str) -> tuple[tuple[Finding, ...], Mapping[str, HostSpec]]:
    """The findings or the hosts; any other exception is the test's failure."""
    try:
        return (), parse_lab(text, SOURCE).hosts
    except LabFileError as error:
        return error.findings, {}


def test_every_key_of_a_host_and_a_template_arrives_in_its_field() -> None:
    lab = parse_lab(
        f"""
[host a]
kind = ssh
address = 192.0.2.1
port = 2222
user = tester
key = ~/.ssh/lab
password = keyring:pvhck/tester
known_hosts = known
sudo = yes
jump = me@gate:2200
toolstack = xl
storage = /srv/pvhck
clone = overlay
bridge = br0
memory = 16g
vcpus = 8
disk = 200g
layers = 1g
max_guests = 3
time_factor = 2.5
legacy_ssh = on
controller = 192.0.2.9
iperf_peer = peer.example
xen = 4.17

[template t]
guest = stand-in
image = /srv/t.qcow2
os = Debian 12
arch = x86
firmware = uefi
memory = 512
vcpus = 1
disk = 30g
nic = rtl8139
user = root
secret = file:secrets/t
transport = http-basic
certificate = sha256:{HEX.upper()}
legacy_tls = true
address = fixed 192.0.2.7
hosts = a
xl.viridian = 1
xl.on_crash = "preserve"

[tools]
iperf3.x64 = tools/my iperf3.exe sha256:{HEX.upper()}
""",
        SOURCE,
    )
    assert lab.hosts == {
        "a": HostSpec(
            name="a",
            kind=HostKind.SSH,
            address="192.0.2.1",
            port=2222,
            user="tester",
            key_file=Path("~/.ssh/lab").expanduser(),
            password=SecretRef("keyring", "pvhck/tester"),
            known_hosts=Path("/labs/known"),
            sudo=True,
            jump="me@gate:2200",
            toolstack=ToolstackName.XL,
            storage="/srv/pvhck",
            clone=CloneMethod.OVERLAY,
            bridge="br0",
            memory_mib=16384,
            vcpus=8,
            disk_mib=200 * 1024,
            layers_mib=1024,
            time_factor=2.5,
            legacy_ssh=True,
            controller="192.0.2.9",
            iperf_peer="peer.example",
            max_guests=3,
            xen=XenVersion(4, 17),
        )
    }
    assert lab.templates == {
        "t": GuestTemplate(
            name="t",
            guest=GuestKind.STAND_IN,
            image="/srv/t.qcow2",
            os="Debian 12",
            arch=Arch.X86,
            firmware=Firmware.UEFI,
            memory_mib=512,
            vcpus=1,
            disk_mib=30 * 1024,
            nic=NicModel.RTL8139,
            user="root",
            secret=SecretRef("file", "/labs/secrets/t"),
            transport=WinRmTransport.HTTP_BASIC,
            certificate=CertificatePolicy(HEX),
            legacy_tls=True,
            address=AddressSource.FIXED,
            fixed_address="192.0.2.7",
            hosts=("a",),
            extra={"viridian": "1", "on_crash": '"preserve"'},
        )
    }
    assert lab.tools == (Tool(ToolName.IPERF3, Arch.X64, Path("/labs/tools/my iperf3.exe"), HEX),)


def test_a_section_with_required_keys_only_has_the_defaults_of_the_dataclass() -> None:
    lab = parse_lab(HOST + TEMPLATE, SOURCE)
    assert lab.hosts["a"] == HostSpec(name="a", kind=HostKind.SSH, address="a.example")
    assert lab.templates["t"] == GuestTemplate(
        name="t",
        guest=GuestKind.WINDOWS,
        image="t.qcow2",
        os="Windows 10",
        arch=Arch.X64,
        secret=SecretRef("env", "PW"),
    )


def test_simulated_hosts_and_guests_need_neither_address_nor_image_nor_secret() -> None:
    text = f"{SIMULATED}faults = ssh-drop, disk-full\n[template t]\nguest = simulated\nos = W\narch = x86\n"
    lab = parse_lab(text, SOURCE)
    assert lab.hosts["s"].faults == ("ssh-drop", "disk-full")
    assert lab.templates["t"].secret is None


def test_a_relative_image_lies_in_the_hosts_storage_and_an_absolute_one_where_it_says() -> None:
    host = HostSpec("a", HostKind.SSH, "a", storage="/srv/pvhck")
    template = GuestTemplate("t", GuestKind.WINDOWS, "templates/t.qcow2", "W", Arch.X64)
    assert str(template.image_on(host)) == "/srv/pvhck/templates/t.qcow2"
    assert str(dataclasses.replace(template, image="/img/t.raw").image_on(host)) == "/img/t.raw"


class Bad(NamedTuple):
    """A text with one mistake; ``found`` and ``allowed`` are parts of what has to be said."""

    text: str
    line: int
    section: str
    key: str
    found: str
    allowed: str


BAD = [
    Bad("", 0, "", "", "no host", "[host NAME]"),
    Bad("[tools]\n", 0, "", "", "no host", "[host NAME]"),
    Bad(HOST + "prot = 22\n", 3, "host a", "prot", "nobody knows", "did you mean 'port'?"),
    Bad(HOST + "Port = 22\n", 3, "host a", "Port", "nobody knows", "did you mean 'port'?"),
    Bad(HOST + "[hots b]\n", 3, "hots b", "", "nobody knows", "did you mean 'host'?"),
    Bad(HOST + "[tools x]\n", 3, "tools x", "", "nobody knows", "[tools]"),
    Bad(HOST + "[host]\n", 3, "host", "", "no name", "a name of"),
    Bad(HOST + "[host b c]\n", 3, "host b c", "", "'b c'", "a name of"),
    Bad(HOST + f"[host {'b' * 41}]\n", 3, f"host {'b' * 41}", "", "bbb", "at most 40"),
    Bad(HOST + "[host a]\naddress = b\n", 3, "host a", "", "the first is on line 1", "once"),
    Bad(HOST + "[host  a]\naddress = b\n", 3, "host a", "", "the first is on line 1", "once"),
    Bad(HOST + "port = 1\nport = 2\n", 4, "host a", "port", "the first is on line 3", "once"),
    Bad(HOST + "[template\n", 3, "", "", "'[template'", "[host NAME]"),
    Bad(HOST + "[template x] y\n", 3, "", "", "'[template x] y'", "[host NAME]"),
    Bad("port = 1\n" + HOST, 1, "", "", "'port' before any section", "[host NAME]"),
    Bad(HOST + "port 22\n", 3, "", "", "neither section nor key", "KEY = VALUE"),
    Bad(HOST + "port: 22\n", 3, "", "", "neither section nor key", "KEY = VALUE"),
    Bad(HOST + "= 22\n", 3, "", "", "neither section nor key", "KEY = VALUE"),
    Bad(HOST + "port =\n", 3, "host a", "port", "empty", "1 to 65535"),
    Bad(HOST + "port = 1\n  vcpus = 2\n", 3, "host a", "port", "indented", "1 to 65535"),
    Bad(HOST + "bridge = br0 # lan\n", 3, "host a", "bridge", "comment", "network device"),
    Bad(HOST + "user = a\x07b\n", 3, "host a", "user", "control character", "text"),
    Bad(HOST + "port = ssh\n", 3, "host a", "port", "'ssh'", "1 to 65535"),
    Bad(HOST + "port = 65536\n", 3, "host a", "port", "'65536'", "1 to 65535"),
    Bad(HOST + "port = \u0662\u0662\n", 3, "host a", "port", "'\u0662\u0662'", "1 to 65535"),
    Bad(HOST + f"port = {'9' * 5000}\n", 3, "host a", "port", "'999", "1 to 65535"),
    Bad(HOST + "kind = shh\n", 3, "host a", "kind", "'shh'", "did you mean 'ssh'? ssh | simulated"),
    Bad(HOST + "toolstack = xn\n", 3, "host a", "toolstack", "'xn'", "auto | xl | xm | libvirt"),
    Bad(HOST + "sudo = maybe\n", 3, "host a", "sudo", "'maybe'", "yes | no"),
    Bad(HOST + "memory = lots\n", 3, "host a", "memory", "'lots'", "2048m or 2g"),
    Bad(HOST + "memory = 0\n", 3, "host a", "memory", "'0'", "64 MiB"),
    Bad(HOST + "time_factor = nan\n", 3, "host a", "time_factor", "'nan'", "0.1 to 1000"),
    Bad(HOST + "time_factor = 0\n", 3, "host a", "time_factor", "'0'", "0.1 to 1000"),
    Bad(HOST + "storage = srv\n", 3, "host a", "storage", "'srv'", "absolute"),
    Bad(HOST + "clone = zfs\n", 3, "host a", "clone", "'zfs'", "reflink | lvm | copy"),
    Bad(HOST + "bridge = a-name-much-too-long\n", 3, "host a", "bridge", "too-long", "at most 15"),
    Bad(HOST + "jump = a b\n", 3, "host a", "jump", "'a b'", "USER@HOST:PORT"),
    Bad(HOST + "jump = gate:70000\n", 3, "host a", "jump", "70000", "USER@HOST:PORT"),
    Bad(HOST + "controller = 300.1.1.1\n", 3, "host a", "controller", "300.1.1.1", "IP address"),
    Bad(HOST + "controller = a:80\n", 3, "host a", "controller", "'a:80'", "without port"),
    Bad(HOST + "xen = four\n", 3, "host a", "xen", "'four'", "4.17"),
    Bad(
        HOST + "toolstack = xm\nxen = 4.17\n", 4, "host a", "xen", "Xen 4.17 with toolstack xm", "before 4.5"
    ),
    Bad(HOST + "toolstack = xl\nxen = 3.4\n", 4, "host a", "xen", "Xen 3.4 with toolstack xl", "from 4.1"),
    Bad(HOST + "faults = ssh-drop\n", 3, "host a", "faults", "kind ssh", "simulated only"),
    Bad("[host a]\n", 1, "host a", "address", "nothing", "host name"),
    Bad(SIMULATED + "port = 22\n", 3, "host s", "port", "kind simulated", "ssh only"),
    Bad(HOST + TEMPLATE + "firmware = efi\n", 8, "template t", "firmware", "'efi'", "did you mean 'uefi'?"),
    Bad(HOST + TEMPLATE + "vcpus = 0\n", 8, "template t", "vcpus", "'0'", "1 to 128"),
    Bad(HOST + TEMPLATE + "transport = https\n", 8, "template t", "transport", "'https'", "https-ntlm | "),
    Bad(HOST + TEMPLATE + "certificate = any\n", 8, "template t", "certificate", "'any'", "first-use"),
    Bad(HOST + TEMPLATE + "certificate = abcd\n", 8, "template t", "certificate", "'abcd'", "64"),
    Bad(HOST + TEMPLATE + "address = dhcp\n", 8, "template t", "address", "'dhcp'", "leases | neighbour"),
    Bad(HOST + TEMPLATE + "address = fixed there\n", 8, "template t", "address", "there", "fixed IP"),
    Bad(HOST + TEMPLATE + "hosts = b\n", 8, "template t", "hosts", "host 'b'", "hosts of this file: a"),
    Bad(HOST + TEMPLATE + "hosts = a, a\n", 8, "template t", "hosts", "'a, a'", "each once"),
    Bad(HOST + TEMPLATE + "hosts = ,\n", 8, "template t", "hosts", "','", "words"),
    Bad(
        HOST + SIMULATED + TEMPLATE + "hosts = s\n",
        10,
        "template t",
        "hosts",
        "kind simulated",
        "simulated guests on",
    ),
    Bad(HOST + TEMPLATE + "xl.memory = 5\n", 8, "template t", "xl.memory", "the harness sets", "xl.cfg"),
    Bad(HOST + TEMPLATE + "xl. = 5\n", 8, "template t", "xl.", "''", "xl.cfg"),
    Bad(HOST + TEMPLATE + "xl.a b = 5\n", 8, "template t", "xl.a b", "'a b'", "xl.cfg"),
    Bad(HOST + TEMPLATE + "faults = panic\n", 8, "template t", "faults", "kind windows", "simulated only"),
    Bad(
        HOST + "[template t]\nimage = x\nos = W\narch = x64\n",
        3,
        "template t",
        "secret",
        "nothing",
        "env:NAME",
    ),
    Bad(
        HOST + "[tools]\niperf.x64 = a\n",
        4,
        "tools",
        "iperf.x64",
        "nobody knows",
        "did you mean 'iperf3.x64'?",
    ),
    Bad(HOST + "[tools]\nfio.x64 = fio.exe\n", 4, "tools", "fio.x64", "'fio.exe'", "sha256:"),
    Bad(HOST + f"[tools]\nfio.arm = f sha256:{HEX}\n", 4, "tools", "fio.arm", "nobody knows", "fio.x64"),
]


@pytest.mark.parametrize("bad", BAD)
def test_a_mistake_names_its_place_what_was_found_and_what_is_allowed(bad: Bad) -> None:
    error = mistakes(bad.text)
    assert len(error.findings) == 1, str(error)
    (finding,) = error.findings
    assert (finding.file, finding.line, finding.section, finding.key) == (
        SOURCE,
        bad.line,
        bad.section,
        bad.key,
    )
    assert bad.found in finding.found
    assert bad.allowed in finding.allowed
    assert str(finding) in str(error)


def test_all_mistakes_of_a_file_are_said_at_once_in_the_order_of_the_file() -> None:
    host = "[host a]\nport = x\nuser = u\nuser = v\nno key\n[hots b]\n"
    text = f"{host}[template t]\nos = W\narch = arm\nhosts = z\n"
    error = mistakes(text)
    assert [(finding.line, finding.key) for finding in error.findings] == [
        (1, "address"),
        (2, "port"),
        (4, "user"),
        (5, ""),
        (6, ""),
        (7, "image"),
        (7, "secret"),
        (9, "arch"),
        (10, "hosts"),
    ]
    shown = str(error).splitlines()
    assert shown[0] == "/labs/hosts.ini: 9 mistakes"
    assert (
        shown[2] == "  /labs/hosts.ini:2: [host a] port: found 'x'; allowed: a whole number from 1 to 65535"
    )


@pytest.mark.parametrize(
    "lines",
    [
        "password = hunter2",
        "password = env:hunter2!",
        "password = file:",
        "password = keyring:hunter2",
        "password = vault:hunter2",
        "password = hunter2 # mine",
        "password = env:A\n  hunter2",
        "password = hunter2\x01",
        "password hunter2",
        "password: hunter2",
        "pasword = hunter2",
    ],
)
def test_a_password_in_clear_text_is_refused_and_never_shown(lines: str) -> None:
    error = mistakes(f"{HOST}{lines}\n")
    assert "hunter2" not in str(error)
    assert "hunter2" not in repr(error.findings)
    assert error.findings[0].line == 3


def test_windows_line_ends_a_byte_order_mark_and_indented_keys_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "hosts.ini"
    file.write_bytes(b"\xef\xbb\xbf; mine\r\n[host a]\r\n  address = a\r\n  # note\r\n  port = 23\r\n")
    assert load_lab(file).hosts["a"].port == 23


def test_line_numbers_are_those_of_an_editor_behind_odd_characters() -> None:
    assert mistakes(f"# \x0c \x85 \u2028 \x1c\n{HOST}port = x\n").findings[0].line == 4


@pytest.mark.parametrize(
    ("content", "found"), [(None, "No such file"), (b"[host \xff]", "no UTF-8 at offset 6")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, found: str) -> None:
    file = tmp_path / "hosts.ini"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(LabFileError, match=found) as caught:
        load_lab(file)
    assert str(file) in str(caught.value)


WORDS = [
    "[host a]",
    "[template t]",
    "[tools]",
    "address = a",
    "hosts = a",
    "\n",
    " ",
    "=",
    "[",
    "]",
    "#",
    "xl.",
]


@given(st.one_of(st.text(), st.lists(st.sampled_from([*WORDS, "\n"]) | st.text(max_size=4)).map("".join)))
def test_no_text_raises_anything_but_a_lab_file_error_with_lines_that_exist(text: str) -> None:
    findings, hosts = attempt(text)
    assert bool(findings) != bool(hosts)
    assert all(0 <= finding.line <= text.count("\n") + 1 for finding in findings)


VALUES = st.text(max_size=30) | st.sampled_from(
    ["fixed 1.2.3.4", "~x/y", "file:~nobody", "1.2", "a, b", "1e9"]
)


@given(st.sampled_from(HOST_KEYS), st.sampled_from(TEMPLATE_KEYS), VALUES)
def test_no_value_of_any_key_raises_anything_but_a_lab_file_error(host_key, template_key, value: str) -> None:
    text = f"{HOST}{host_key.name} = {value}\n{TEMPLATE}{template_key.name} = {value}\n"
    findings, hosts = attempt(text)
    assert bool(findings) != bool(hosts)
    if len(f".{value}.".splitlines()) == 1:  # what stands on a line of its own is no value of a key
        assert {finding.key for finding in findings} <= {host_key.name, template_key.name}


@given(st.integers(64, 16 * 1024 * 1024))
def test_memory_in_mib_is_taken_as_it_stands(mib: int) -> None:
    assert parse_lab(f"{HOST}memory = {mib}m\n", SOURCE).hosts["a"].memory_mib == mib


def shipped(*, uncommented: bool) -> Lab:
    text = (ROOT / "hosts.ini").read_text(encoding="utf-8")
    if uncommented:
        text = re.sub(r"(?m)^#(?=\[|[a-z0-9_.]+ = )", "", text)
    return parse_lab(text, ROOT / "hosts.ini")


def test_the_shipped_file_needs_nothing_and_gives_two_simulated_hosts_and_both_architectures() -> None:
    lab = shipped(uncommented=False)
    assert {host.kind for host in lab.hosts.values()} == {HostKind.SIMULATED}
    assert len(lab.hosts) == 2
    assert {template.arch for template in lab.templates.values()} == {Arch.X64, Arch.X86}
    assert {template.guest for template in lab.templates.values()} == {GuestKind.SIMULATED}
    assert lab_warnings(lab) == ()


def test_the_examples_in_the_shipped_file_load_once_uncommented() -> None:
    lab = shipped(uncommented=True)
    stacks = {host.toolstack for host in lab.hosts.values() if host.kind is HostKind.SSH}
    assert stacks == {ToolstackName.XL, ToolstackName.LIBVIRT, ToolstackName.XM}
    assert {tool.name for tool in lab.tools} == {ToolName.IPERF3, ToolName.DISKSPD}
    warnings = "\n".join(lab_warnings(lab))
    assert "xen-34: legacy_ssh" in warnings
    assert "no host can carry" not in warnings


@pytest.mark.parametrize("transport", ["https-basic", "http-ntlm", "http-basic"])
def test_a_transport_weaker_than_the_default_is_warned_about(transport: str) -> None:
    lab = parse_lab(f"{HOST}{TEMPLATE}transport = {transport}\n", SOURCE)
    (warning,) = lab_warnings(lab)
    assert f"template t: transport {transport} is weak" in warning


def test_legacy_switches_faults_and_homeless_templates_are_warned_about() -> None:
    text = f"{SIMULATED}faults = slow\n{TEMPLATE}legacy_tls = yes\n"
    warnings = lab_warnings(parse_lab(text, SOURCE))
    assert [warning.split(": ")[0:2] for warning in warnings] == [
        ["host s", "plays faults"],
        ["template t", "legacy_tls allows TLS 1.0 and old ciphers, which are weak"],
        ["template t", "no host can carry it"],
    ]


def test_the_documented_tables_are_those_of_the_loader() -> None:
    page = (ROOT / "docs" / "hosts-ini.md").read_text(encoding="utf-8")
    assert renew(page) == page, "run: python -m harness.lab.reference docs/hosts-ini.md"
    for key in (*HOST_KEYS, *TEMPLATE_KEYS):
        assert f"| `{key.name}` |" in page


@pytest.mark.parametrize(("keys", "kind"), [(HOST_KEYS, HostSpec), (TEMPLATE_KEYS, GuestTemplate)])
def test_every_field_can_be_written_in_the_file(keys, kind) -> None:
    renamed = {
        "key_file": "key",
        "memory_mib": "memory",
        "disk_mib": "disk",
        "layers_mib": "layers",
        "snapshot_percent": "snapshot",
        "fixed_address": "address",
        "extra": "guest",
        "name": None,
    }
    fields = {renamed.get(field.name, field.name) for field in dataclasses.fields(kind)} - {None}
    assert fields == {key.name for key in keys} | (fields & {"guest"})
