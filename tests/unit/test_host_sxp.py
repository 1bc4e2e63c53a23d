"""S-expressions of xend and of xl 4.1, read as they are printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import OutputNotUnderstood
from harness.host.toolstack.sxp import children, parse_sxp, value
from harness.host.toolstack.tables import parse_sxp_description
from harness.simlab.xm.sxp import show

# The layout of xend/PrettyPrint.py of 3.4.0-rc3 and stable-4.0; nobody here had a xend to record.
XEND = """\
(domain
    (domid 3)
    (uuid 8b5c0f1e-0000-0000-0000-000000000000)
    (vcpus 2)
    (name 'win 1')
    (maxmem 512)
    (memory 512)
    (image (hvm (kernel ) (loader /usr/lib/xen/boot/hvmloader) (serial file:/var/log/c)))
    (device (vif (bridge xenbr0) (mac 00:16:3e:00:00:01)))
    (device (vbd (uname file:/srv/a.img) (dev hda:disk) (mode w)))
    (device (tap (uname tap:qcow2:/srv/b.img) (dev hdb:disk) (mode w)))
    (device (vbd (uname ) (dev hdc:cdrom) (mode r)))
)
(domain
    (domid 4)
    (name other)
    (maxmem 128)
    (vcpus 1)
)
"""
XL_4_1 = """\
(domain
\t(domid 3)
\t(create_info)
\t(hvm 1)
\t(name win 1)
\t(build_info)
\t(max_vcpus 2)
\t(max_memkb 524288)
\t(device
\t\t(tap
\t\t\t(physpath /srv/a.img)
\t\t\t(virtpath hda)
\t\t\t(is_cdrom 0)
\t\t)
\t)
)
"""


def test_a_domain_of_xend_is_read() -> None:
    described = parse_sxp_description(XEND, "win 1")
    assert (described.max_memory_mib, described.max_vcpus) == (512, 2)
    assert described.disks == ("hda", "hdb", "hdc")
    assert described.text == XEND
    assert parse_sxp_description(XEND, "other").max_memory_mib == 128


def test_a_domain_of_xl_4_1_is_read() -> None:
    described = parse_sxp_description(XL_4_1, "win 1")
    assert (described.max_memory_mib, described.max_vcpus, described.disks) == (512, 2, ("hda",))


def test_a_domain_that_is_not_described_is_said() -> None:
    with pytest.raises(OutputNotUnderstood, match="nosuch"):
        parse_sxp_description(XEND, "nosuch")


def test_children_of_a_name_are_all_found() -> None:
    (domain, _) = parse_sxp(XEND)
    assert [value(child[1], "dev") for child in children(domain, "device")] == [
        "",
        "hda:disk",
        "hdb:disk",
        "hdc:cdrom",
    ]
    assert value(domain, "nosuch") == ""


@pytest.mark.parametrize("text", ["(a", "(a 'b)", "a", "(a))", '(a "b\\")', ")"])
def test_what_is_not_closed_is_said(text: str) -> None:
    with pytest.raises(OutputNotUnderstood):
        parse_sxp(text)


forms = st.recursive(
    st.text(max_size=12), lambda inner: st.lists(inner, min_size=1, max_size=4), max_leaves=12
)


@given(st.lists(forms, min_size=1, max_size=4))
def test_what_xend_shows_is_read_back(form: list[object]) -> None:
    """An empty word is shown as nothing at all: that is how xend is."""

    def seen(part: object) -> object:
        return [seen(item) for item in part if item != ""] if isinstance(part, list) else part

    assert parse_sxp(show(form)) == (seen(form),)  # type: ignore[arg-type]


@given(st.text(max_size=100))
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    try:
        parse_sxp(text)
    except OutputNotUnderstood:
        return
