"""xl's output is read as it was recorded on Xen 4.17."""

import pytest
from fake_host import recorded
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import OutputNotUnderstood
from harness.host.toolstack.tables import (
    parse_block_list,
    parse_info,
    parse_json_description,
    parse_list,
    parse_network_list,
    parse_uptime,
    parse_vcpu_list,
)
from harness.model import XenVersion


def stdout_of(name: str) -> str:
    return recorded(name)[1]


def test_a_running_guest_is_read_from_the_list() -> None:
    dom0, guest = parse_list(stdout_of("xl-list"))

    assert (dom0.name, dom0.domid, dom0.running) == ("Domain-0", 0, True)
    assert (guest.name, guest.domid, guest.memory_mib, guest.vcpus) == ("win1", 2, 256, 1)
    assert guest.blocked
    assert not guest.crashed


@pytest.mark.parametrize(
    ("sample", "paused", "shutdown", "reason"),
    [
        ("list-paused-win1", True, False, ""),
        ("list-after-shutdown", True, True, ""),
        ("list-after-reboot", True, True, "r"),
    ],
)
def test_a_domain_that_goes_down_is_not_taken_for_a_running_one(
    sample: str,
    *,
    paused: bool,
    shutdown: bool,
    reason: str,
) -> None:
    guest = parse_list(stdout_of(sample))[-1]

    assert (guest.paused, guest.shutdown, guest.reason, guest.running) == (paused, shutdown, reason, False)


def test_a_crashed_domain_is_seen() -> None:
    assert parse_list(recorded("legacy-all-xl-list-all", "stand-in-4.17")[1])[-1].crashed


def test_a_long_name_with_blanks_does_not_move_the_columns() -> None:
    header = "Name                                        ID   Mem VCPUs\tState\tTime(s)\n"
    row = f"{'a name of more than forty characters with blanks':40s} 12  2048     2     -b----      34.6\n"

    (guest,) = parse_list(header + row)

    assert (guest.name, guest.domid) == ("a name of more than forty characters with blanks", 12)


def test_what_is_no_list_is_an_error_that_shows_the_text() -> None:
    with pytest.raises(OutputNotUnderstood, match="libxl: error"):
        parse_list("libxl: error: cannot reach xenstore\n")


def test_the_devices_of_a_guest_are_read() -> None:
    disks = parse_block_list(stdout_of("block-list-2"))
    nics = parse_network_list(stdout_of("network-list-2"))

    assert [(disk.vdev, disk.state) for disk in disks] == [(51712, 4), (51728, 4), (51744, 4)]
    assert disks[2].backend_path == "/local/domain/0/backend/vbd/2/51744"
    assert [(nic.index, nic.mac, nic.state) for nic in nics] == [
        (0, "00:16:3e:00:00:01", 4),
        (1, "00:16:3e:00:00:79", 4),
    ]


def test_a_header_alone_means_no_devices() -> None:
    assert parse_block_list(stdout_of("err-blocklist-unknown")) == ()


def test_the_host_s_figures_are_read() -> None:
    info = parse_info(stdout_of("xl-info"))

    assert info.version == XenVersion(4, 17)
    assert info.version_text == "4.17.5"
    assert (info.total_mib, info.free_mib, info.hvm) == (6143, 4285, True)
    assert "guest_loglvl=all" in info.command_line


def test_a_guest_s_own_description_is_found_among_all() -> None:
    described = parse_json_description(stdout_of("xl-list-l"), "win1")

    assert (described.max_memory_mib, described.max_vcpus) == (256, 1)
    assert described.disks == ("xvda",)
    assert described.text == stdout_of("xl-list-l")


@pytest.mark.parametrize(
    "text",
    [
        '[{"config": []}]',
        '[{"config": {"c_info": ["name"]}}]',
        '{"config": {"c_info": {"name": "win1"}, "b_info": {"max_memkb": "much"}}}',
        '{"config": {"c_info": {"name": "win1"}, "disks": [{}]}}',
        "[" * 100_000,
    ],
)
def test_json_of_another_shape_is_no_description(text: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        parse_json_description(text, "win1")


def test_a_description_that_misses_for_want_of_a_device_model_says_so() -> None:
    with pytest.raises(OutputNotUnderstood, match="device model does not answer"):
        parse_json_description(stdout_of("model-gone-list-l"), "win1")


def test_a_number_of_thousands_of_digits_is_none() -> None:
    text = stdout_of("xl-list").replace("256", "9" * 5000)
    with pytest.raises(OutputNotUnderstood, match="a line cannot be read"):
        parse_list(text)


def test_uptime_and_processors_are_read() -> None:
    assert parse_uptime(stdout_of("xl-uptime"), "win1") == 4 * 60 + 16
    assert [vcpu.cpu for vcpu in parse_vcpu_list(stdout_of("xl-vcpu-list"))] == [0, 1, 0]


@given(st.text(max_size=300))
def test_no_text_makes_the_parsers_fail_otherwise(text: str) -> None:
    for parse in (parse_list, parse_block_list, parse_network_list, parse_vcpu_list, parse_info):
        try:
            parse(text)
        except OutputNotUnderstood:
            continue
