"""What hosts print and what is written for them, read and quoted: leases, neighbours, xenstore, xl.cfg."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_host import recorded
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigurationError, OutputNotUnderstood
from harness.host.address import parse_console, parse_leases, parse_neighbours
from harness.host.domain import DiskSpec, DomainSpec, NicSpec
from harness.host.toolstack.tables import parse_block_list, parse_list, parse_network_list
from harness.host.toolstack.xl_config import disk_spec, nic_words, render
from harness.host.xenstore import parse_tree
from harness.lab import Firmware
from harness.model import XenVersion
from harness.simlab.xl.config import parse_cfg, parse_disk, parse_nic

FIXTURES = Path(__file__).parents[1] / "fixtures"
MAC = "00:16:3e:0a:0b:0c"
RANDOM = bytes(19)
V417 = XenVersion(4, 17)


# -- addresses

DNSMASQ = f"""1700000000 00:16:3e:00:00:01 10.77.0.11 win1 *
1700000100 {MAC.upper()} 10.77.0.12 * 01:00:16:3e:0a:0b:0c
duid 00:01:00:01
1700000100 12345 fd00::12 win2 00:01
1700000200 {MAC} 10.77.0.13 win2 *
"""
# As dhcpd writes them: appended, the newest last (dhcpd.leases(5)).
ISC = f"""# The format of this file is documented in the dhcpd.leases(5) manual page.
lease 192.0.2.10 {{
  starts 4 2026/11/25 10:00:00;
  binding state active;
  hardware ethernet 00:16:3e:00:00:01;
  uid "\\001}}";
}}
lease 192.0.2.20 {{
  hardware ethernet {MAC};
  client-hostname "win}}2";
}}
lease 192.0.2.21 {{
  hardware ethernet {MAC};
}}
"""
LIBVIRT = f"""[
  {{
    "ip-address": "192.168.122.7",
    "mac-address": "52:54:00:00:00:01",
    "expiry-time": 1700000000
  }},
  {{
    "ip-address": "192.168.122.8",
    "mac-address": "{MAC}",
    "hostname": "win2",
    "expiry-time": 1700000000
  }}
]
"""


@pytest.mark.parametrize(
    ("text", "address"),
    [(DNSMASQ, "10.77.0.13"), (ISC, "192.0.2.21"), (LIBVIRT, "192.168.122.8"), ("", None)],
)
def test_the_newest_lease_of_the_mac_is_the_guest_s(text, address):
    assert parse_leases(text, MAC.upper()) == address


@pytest.mark.parametrize("text", [DNSMASQ, ISC, LIBVIRT])
def test_the_lease_of_another_guest_is_not_taken(text):
    assert parse_leases(text, "00:16:3e:ff:ff:ff") is None


def test_a_neighbour_is_found_by_its_mac_in_ipv4():
    text = (
        f"fe80::216:3eff:fe0a:b0c dev xenbr0 lladdr {MAC} STALE\n"
        "10.77.0.9 dev xenbr0  FAILED\n"
        "\n"
        f"10.77.0.12 dev xenbr0 lladdr {MAC} REACHABLE\n"
    )
    assert parse_neighbours(text, MAC.upper()) == "10.77.0.12"
    assert parse_neighbours(text, "00:16:3e:00:00:01") is None


def test_the_last_address_on_the_console_counts():
    text = "GRUB\r\npvhck address 10.77.0.12\r\nlogin: pvhck address nonsense\npvhck address 10.77.0.13\r\n"
    assert parse_console(text) == "10.77.0.13"
    assert parse_console("pvhck address \n") is None


def test_a_lease_of_another_kind_of_address_is_none_that_we_can_use():
    assert parse_leases(f'[{{ "ip-address": "fe80::216", "mac-address": "{MAC}" }}]', MAC) is None


@given(st.text(max_size=400))
def test_no_text_makes_the_address_parsers_fail(text):
    for found in (parse_leases(text, MAC), parse_neighbours(text, MAC), parse_console(text)):
        assert found is None or isinstance(found, str)


addresses = st.ip_addresses(v=4).map(str)
macs = st.binary(min_size=3, max_size=3).map(lambda raw: "00:16:3e:" + raw.hex(":"))


@given(st.dictionaries(macs, addresses, min_size=1, max_size=5), st.data())
def test_every_lease_is_found_among_others(leases, data):
    text = "".join(f"1700000000 {mac} {address} * *\n" for mac, address in leases.items())
    mac = data.draw(st.sampled_from(sorted(leases)))
    assert parse_leases(text, mac) == leases[mac]


# -- xenstore


def stdout_of(name: str, folder: str = "xen-4.17") -> str:
    return recorded(name, folder)[1]


def test_the_recorded_tree_of_a_guest_is_read():
    tree = parse_tree(stdout_of("xenstore-ls-f-guest"))

    assert tree["/local/domain/2/name"] == "win1"
    assert tree["/local/domain/2/control/shutdown"] == ""
    assert len(tree) == len(stdout_of("xenstore-ls-f-guest").splitlines())


def test_the_tree_with_permissions_has_the_same_values():
    assert parse_tree(stdout_of("xenstore-ls-fp-guest")).keys() >= {"/local/domain/2/name"}
    assert parse_tree(stdout_of("xenstore-ls-fp-guest"))["/local/domain/2/name"] == "win1"


def test_a_value_that_was_cut_is_not_taken_for_another():
    with pytest.raises(OutputNotUnderstood, match="xenstore-ls"):
        parse_tree('/local/domain/2/name = "wi')
    assert parse_tree("/local/domain/2/gone:\n") == {}


@given(
    st.dictionaries(
        st.from_regex(r"(/[a-z0-9-]{1,5}){1,3}", fullmatch=True), st.text('ab ="\\()n0', max_size=20)
    )
)
def test_values_with_quotes_and_signs_are_read_back(nodes):
    shown = {path: value.replace("\\", "\\\\") for path, value in nodes.items()}  # as the tool does
    assert parse_tree("".join(f'{path} = "{value}"\n' for path, value in shown.items())) == nodes


# -- lists


@pytest.mark.parametrize("parse", [parse_list, parse_block_list, parse_network_list])
def test_no_output_at_all_is_not_an_empty_list(parse):
    with pytest.raises(OutputNotUnderstood):
        parse("")


# -- xl.cfg

plain = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FFF, blacklist_characters='"\\'), min_size=1, max_size=30
).filter(str.isprintable)
paths = plain.map(lambda text: f"/var/{text}".rstrip())


@given(name=plain, path=paths, console=paths, mac=macs)
def test_a_configuration_says_what_was_meant(name, path, console, mac):
    spec = DomainSpec(
        name=name,
        memory_mib=512,
        vcpus=2,
        disks=(DiskSpec(path, "hda", "qcow2"), DiskSpec("", "hdc", cdrom=True)),
        nics=(NicSpec(mac, "xenbr0"), NicSpec(mac, "xenbr0", None)),
        console_log=console,
        max_memory_mib=1024,
    )

    read = parse_cfg(render(spec, V417), "test.cfg", RANDOM, V417)

    assert (read.name, read.memory, read.maxmem, read.vcpus) == (name, 512, 1024, 2)
    assert read.serial_file == console
    assert [(disk.path, disk.vdev, disk.cdrom) for disk in read.disks] == [
        (path, "hda", False),
        ("", "hdc", True),
    ]
    assert read.disks[0].image_format == "qcow2"
    assert [(nic.mac, nic.bridge, nic.model) for nic in read.nics] == [
        (mac, "xenbr0", "e1000"),
        (mac, "xenbr0", None),
    ]


@pytest.mark.parametrize("character", ['"', "\\", "\n", "\r", "\0", "\x1b"])
def test_what_xl_cfg_cannot_carry_is_refused_before_xl_sees_it(character):
    with pytest.raises(ConfigurationError, match="cannot be written"):
        render(DomainSpec(f"a{character}b", 512, 1, (), ()), V417)


def test_keys_of_the_template_win_as_they_are_written():
    spec = DomainSpec("a", 512, 1, (), (), extra={"vga": '"none"', "hdtype": '"ide"', "usb": "0"})
    read = parse_cfg(render(spec, V417), "test.cfg", RANDOM, V417)

    assert (read.text("vga"), read.text("hdtype"), read.has_screen) == ("none", "ide", False)


def test_a_uefi_guest_gets_its_firmware_and_a_crash_stays_to_be_looked_at():
    spec = DomainSpec("a", 512, 1, (), (), firmware=Firmware.UEFI)
    read = parse_cfg(render(spec, V417), "test.cfg", RANDOM, V417)

    assert (read.text("bios"), read.text("on_crash")) == ("ovmf", "preserve")


@given(path=paths)
def test_a_disk_to_plug_in_keeps_its_path(path):
    read = parse_disk(disk_spec(DiskSpec(path, "xvdg", read_only=True)))
    assert (read.path, read.vdev, read.image_format, read.read_only) == (path, "xvdg", "raw", True)


def test_an_interface_to_plug_in_is_separate_words_without_commas():
    words = nic_words(NicSpec(MAC, "xenbr0", None))
    assert parse_nic(words, RANDOM).model is None
    assert not any("," in word for word in words)
    with pytest.raises(ConfigurationError, match="bridge"):
        nic_words(NicSpec(MAC, "xenbr0,mac=00:16:3e:00:00:77"))
    with pytest.raises(ConfigurationError, match="bridge"):
        nic_words(NicSpec(MAC, " xenbr0"))
