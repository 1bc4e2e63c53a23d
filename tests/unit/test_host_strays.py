"""What stays of domains that are gone, told apart from what living domains and other people have."""

from __future__ import annotations

import re

from fake_host import recorded
from hypothesis import given
from hypothesis import strategies as st

from harness.host.strays import Gone, ports_of, processes_of, store_paths_of
from harness.host.xenstore import parse_tree

_OURS = re.compile(r"pvhck-r1-\d+")

# The words that libxl 4.17 starts them with (libxl_dm.c, xl_vmcontrol.c), a tapdisk of blktap 2, and others.
_PROCESSES = """\
      1 /sbin/init
    801 /usr/libexec/xen-qemu-system-i386 -xen-domid 7 -no-shutdown -name pvhck-r1-1 -m 1016
    802 xl create /var/lib/pvhck/runs/r1/pvhck-r1-1.cfg
    803 tapdisk2 -n qcow2:/var/lib/pvhck/runs/r1/pvhck-r1-1.qcow2
    804 /usr/bin/qemu-system-x86_64 -xen-domid 8 -name pvhck-r1-2 -m 1016
    805 /usr/lib/xen/bin/qemu-dm -d 6 -domain-name win -videoram 4
    806 flock -w 10 /var/lib/pvhck/runs/r1/alive cat
    807 vi /var/lib/pvhck/runs/r1/pvhck-r1-1.cfg
    808 /usr/libexec/xen-qemu-system-i386 -xen-domid 9 -name pvhck-r2-1
    nonsense
"""


def gone(*domids: int, listed: tuple[str, ...] = ()) -> Gone:
    return Gone(lambda name: bool(_OURS.fullmatch(name)), _OURS, frozenset(listed), frozenset(domids))


def test_a_device_model_that_outlives_its_domain_is_found_by_its_name() -> None:
    found = processes_of(gone(listed=("pvhck-r1-2",)), _PROCESSES)
    assert found == (
        ("801", "xen-qemu-system-i386 of pvhck-r1-1"),
        ("802", "xl of pvhck-r1-1"),
        ("803", "tapdisk2 of pvhck-r1-1"),
    )


def test_a_device_model_is_found_by_its_domain_s_number_too() -> None:
    assert processes_of(gone(6, listed=("pvhck-r1-1", "pvhck-r1-2")), _PROCESSES) == (
        ("805", "qemu-dm of domain 6"),
    )


def test_in_a_listing_of_real_xen_the_model_and_the_xl_of_a_domain_are_found() -> None:
    listing = recorded("ps-all")[1]
    found = processes_of(gone(1), listing)
    assert [words for _, words in found] == ["xen-qemu-system-i386 of domain 1"]
    assert processes_of(gone(2), listing) == ()


def test_programs_of_people_and_of_the_run_itself_are_let_be() -> None:
    numbers = {pid for pid, _ in processes_of(gone(7, 8), _PROCESSES)}
    assert not numbers & {"1", "806", "807", "808"}


def test_what_a_domain_that_lives_has_in_xenstore_is_no_stray() -> None:
    samples = ("xenstore-ls-f-guest", "xenstore-ls-f-backend", "xenstore-ls-libxl", "xenstore-ls-vm")
    tree = {path: value for name in samples for path, value in parse_tree(recorded(name)[1]).items()}
    assert "/local/domain/2/name" in tree
    assert store_paths_of(gone(), tree) == ()


def test_folders_of_a_number_that_is_gone_are_found_in_what_libxl_has_written() -> None:
    tree = parse_tree(recorded("xenstore-ls-f-guest")[1] + recorded("xenstore-ls-f-backend")[1])
    assert store_paths_of(gone(2), tree) == (
        "/local/domain/0/backend/console/2",
        "/local/domain/0/backend/qdisk/2",
        "/local/domain/0/backend/vif/2",
        "/local/domain/0/backend/vkbd/2",
        "/local/domain/2",
    )


def test_folders_are_found_by_the_name_in_them() -> None:
    tree = {
        "/local/domain/7/name": "pvhck-r1-1",
        "/local/domain/7/memory/target": "1",
        "/vm/1111/name": "pvhck-r1-1",
        "/vm/2222/name": "pvhck-r1-2",
        "/local/domain/9/name": "pvhck-r2-1",
        "/local/domain/0/name": "Domain-0",
        "/local/domain/7/data/name": "pvhck-r1-1",
    }
    assert store_paths_of(gone(listed=("pvhck-r1-2",)), tree) == ("/local/domain/7", "/vm/1111")


@given(st.dictionaries(st.text(), st.text()), st.frozensets(st.integers(0, 99)))
def test_dom0_itself_is_never_taken_for_a_stray(tree: dict[str, str], domids: frozenset[int]) -> None:
    tree |= {"/local/domain/0/name": "pvhck-r1-1x", "/local/domain/0/backend/vif": "", "/tool/xenstored": ""}
    found = store_paths_of(gone(*domids), tree)
    assert "/local/domain/0" not in found
    assert "/local/domain/0/backend/vif" not in found


def test_network_devices_are_found_by_number() -> None:
    devices = ["eth0", "lo", "tap7.0", "tap7.1-emu", "tap9.0", "vif7.0", "vif7.0-emu", "vif77.0", "xenbr0"]
    assert ports_of(gone(7), devices) == ("tap7.0", "tap7.1-emu", "vif7.0", "vif7.0-emu")


@given(st.text(), st.frozensets(st.integers(0, 9)))
def test_a_listing_of_anything_is_read_without_an_error(text: str, domids: frozenset[int]) -> None:
    found = processes_of(gone(*domids), text)
    assert all(pid.isdecimal() for pid, _ in found)
    assert set(ports_of(gone(*domids), text.split())) <= set(text.split())
