"""LVM on a host as its own words tell it (recorded: LVM 2.03 of Debian 12)."""

from __future__ import annotations

import pytest
from fake_host import RECORDED_XL, make_host, recorded, shell_of
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import CommandFailed, InfrastructureError, OutputNotUnderstood
from harness.host.area import Leftover, leftovers, remove_leftover
from harness.host.health import look_at
from harness.host.volumes import (
    Room,
    Volume,
    find_volume,
    is_device,
    parse_pool,
    parse_volume,
    remove_volume,
    room_for,
    volume_at,
    volume_names,
)

LVS = "lvs --noheadings --units b --nosuffix --separator '|' -o"
OF_VOLUME = f"{LVS} vg_name,lv_name,segtype,lv_size,vg_size,vg_free"


def lvm(name: str) -> tuple[int, str, str]:
    return recorded(name, "lvm-2.03")


def test_a_volume_is_read_with_the_room_beside_it():
    host = make_host({f"{OF_VOLUME} /dev/pvtest/win10": lvm("lvs-thick")})
    found = volume_at(host.shell, "/dev/pvtest/win10")
    assert (found.group, found.name, found.thin, found.size_mib) == ("pvtest", "win10", False, 64)
    assert (found.group_size_mib, found.group_free_mib) == (296, 160)


def test_a_thin_volume_has_the_room_of_its_pool():
    host = make_host(
        {
            f"{OF_VOLUME} pvtest/winthin": lvm("lvs-thin"),
            f"{LVS} pool_lv pvtest/winthin": lvm("lvs-thin-pool"),
            f"{LVS} lv_size,data_percent,metadata_percent pvtest/pool": lvm("lvs-pool"),
        }
    )
    volume = volume_at(host.shell, "pvtest/winthin")
    assert volume.thin
    room = room_for(host.shell, volume)
    assert (room.place, room.size_mib, room.full) == ("thin pool pvtest/pool", 64, False)
    assert room.free_mib == 56  # its notes are 10.94 % full, its data not at all


def test_a_volume_in_several_pieces_is_one():
    text = "  vg0|win|linear|134217728|624951296|1048576\n  vg0|win|linear|134217728|624951296|1048576\n"
    assert parse_volume(text) == Volume(
        "vg0", "win", thin=False, size_mib=128, group_size_mib=596, group_free_mib=1
    )


@pytest.mark.parametrize("name", ["lvs-missing", "lvs-missing-group", "lvs-file"])
def test_what_is_no_volume_is_none_and_the_reason_is_told_to_who_needs_one(name):
    host = make_host({OF_VOLUME: lvm(name)})
    assert find_volume(host.shell, "/dev/x/y") is None
    with pytest.raises(CommandFailed, match=r"exit code 5"):
        volume_at(host.shell, "/dev/x/y")


@given(st.text())
def test_no_text_at_all_breaks_the_parsers(text):
    for parse in (parse_volume, lambda text: parse_pool(text, "vg/pool")):
        found = _parsed(parse, text)
        assert isinstance(found, Volume | Room | None)


def _parsed(parse, text):
    try:
        return parse(text)
    except OutputNotUnderstood:
        return None


@pytest.mark.parametrize(("text", "free"), [("1073741824|50.00|1.00", 512), ("1073741824|1,00|75,00", 256)])
def test_the_fuller_half_of_a_pool_counts_in_any_language(text, free):
    assert parse_pool(text, "vg/pool") == Room("thin pool vg/pool", 1024, free, full=False)


def test_a_host_without_lvm_has_no_volumes_and_one_whose_lvm_is_ill_says_so():
    assert volume_names(make_host({}).shell) == ()
    with pytest.raises(InfrastructureError, match="lvs"):
        volume_names(make_host({LVS: (5, "", "  WARNING: duplicate PV\n")}).shell)


def test_only_volumes_that_bear_the_run_s_name_are_its_leftovers():
    names = "  vg0|pvhck-r1-1\n  vg0|pvhck-r1-x\n  vg0|pvhck-r10-1\n  vg0|data\n  vg1|pvhck-r1-12\n"
    host = make_host(
        RECORDED_XL
        | {f"{LVS} vg_name,lv_name": names, "find": "", "losetup -a": "", "ps": "", "xenstore-ls": ""}
    )
    found = leftovers(host.shell, host.toolstack, "r1")
    assert found == (
        Leftover("logical volume", "vg0/pvhck-r1-1"),
        Leftover("logical volume", "vg1/pvhck-r1-12"),
    )


def test_a_volume_is_removed_and_one_that_is_gone_already_is_no_error():
    host = make_host({"lvremove -f": lvm("lvremove"), LVS: ""})
    remove_leftover(host.shell, host.toolstack, Leftover("logical volume", "pvtest/pvhck-rec-3"))
    assert shell_of(host).asked == ["lvremove -f pvtest/pvhck-rec-3"]
    remove_volume(make_host({"lvremove -f": lvm("lvremove-missing"), LVS: ""}).shell, "pvtest/gone")


def test_a_volume_in_use_stays_and_is_said():
    host = make_host({"lvremove -f": lvm("lvremove-in-use"), LVS: "  pvtest|pvhck-rec-1\n"})
    with pytest.raises(CommandFailed, match=r"in use.*lvremove"):
        remove_volume(host.shell, "pvtest/pvhck-rec-1")


FULL = {
    **RECORDED_XL,
    f"{OF_VOLUME} /dev/pvtest/win10": "  pvtest|win10|linear|67108864|624951296|4194304\n",
    "df": "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 9999999 1 9999998 1% /\n",
}


def test_a_host_whose_volume_group_is_full_is_not_taken():
    host = make_host(FULL)
    look_at(host, ["/srv/pvhck/win.img"])
    with pytest.raises(InfrastructureError, match=r"4 of 596 MiB free in volume group pvtest"):
        look_at(host, ["/dev/pvtest/win10"])


def test_a_volume_that_is_not_there_is_left_to_the_test_that_wants_it():
    look_at(make_host(FULL | {OF_VOLUME: lvm("lvs-missing")}), ["/dev/pvtest/nosuch"])


def test_devices_are_told_from_files_by_their_path():
    assert is_device("/dev/vg0/win")
    assert not is_device("/devices/win.img")
    assert not is_device("")
